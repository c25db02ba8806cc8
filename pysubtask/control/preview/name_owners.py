"""Whose each name on a server is, over the tasks of a config and those that run: what a start would find, and nothing changed."""

from __future__ import annotations

import time
from typing import Any

from ...common.destination import server_of
from ...subtask.offline.offline_queue import Claims, Other


class Names:
    """Asked for one task after the other, in the order in which they would be started."""

    def __init__(self) -> None:
        self._claims: dict[str, Claims] = {}
        self._first: dict[tuple[str, str], Other] = {}

    def other(self, task: str, state_dir: str, destination: str, exact: bool, name: str, path: str) -> Other | None:
        """Who has this ``name`` of ``destination``, so that ``task`` (as people know it) would leave ``path`` out; None where it
        would have the name. ``exact``: upper and lower case differ there."""
        claims = self._claims.get(state_dir)
        if claims is None:
            claims = self._claims[state_dir] = Claims(
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
        """Close what was opened for it."""
        for claims in self._claims.values():
            claims.close()

    def __enter__(self) -> Names:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
