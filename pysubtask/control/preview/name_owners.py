"""The owner of each name on a server, over the tasks of a config and those that run, as a start would find it. Nothing is
changed."""

from __future__ import annotations

import time
from typing import Any

from ...common.destination import server_of
from ...subtask.offline.offline_queue import NameClaims, Other


class NameOwners:
    """The names that tasks would claim. The tasks must be asked for in the order of their start, since the first that claims a name
    has it. A context manager: it closes the databases with the claims of running tasks."""

    def __init__(self) -> None:
        self._claims: dict[str, NameClaims] = {}
        self._first: dict[tuple[str, str], Other] = {}

    def other(self, task: str, state_dir: str, destination: str, exact: bool, name: str, path: str) -> Other | None:
        """The owner of ``name`` at ``destination``, if it is another path or task, so that ``task`` would leave ``path`` out; None
        where the task would get the name. ``exact``: the server distinguishes upper and lower case."""
        claims = self._claims.get(state_dir)
        if claims is None:
            claims = self._claims[state_dir] = NameClaims(
                destination, state_dir, task, time.monotonic, case_sensitive=exact, read_only=True
            )
        found = claims.owner_of(name, path)
        if found is not None:
            return found
        server = server_of(destination)
        full = server.full(name)
        first = self._first.setdefault((server.key, full if exact else full.casefold()), Other(task, path))
        return None if first.path == path else first

    def close(self) -> None:
        """Close the databases that were opened."""
        for claims in self._claims.values():
            claims.close()

    def __enter__(self) -> NameOwners:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
