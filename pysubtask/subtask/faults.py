"""Data files that cannot be snapshotted at the moment: said once, tried again, ever less often."""

from __future__ import annotations

import itertools
from collections.abc import Container, Hashable

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0


class Faults:
    """Pure bookkeeping; times are monotonic seconds. ``asked``: what a file was to be taken for, a notify's stamp for example."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, int, float, Hashable]] = {}

    def add(self, path: str, reason: str, now: float, asked: Hashable = None) -> bool:
        """Note a failure; True where this reason is new and should be said. Whoever is ``asked`` anew before the wait is over
        is not kept waiting; with None everybody waits."""
        old, count, *_ = self._rows.get(path, ("", 0, 0.0, None))
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(count, 16))
        self._rows[path] = (reason, count + 1, now + wait, asked)
        return reason != old

    def waits(self, path: str, now: float, asked: Hashable = None) -> bool:
        """Whether the file is left alone for now."""
        row = self._rows.get(path)
        return row is not None and now < row[2] and row[3] in (None, asked)

    def clear(self, path: str) -> None:
        """It worked."""
        self._rows.pop(path, None)

    def next_at(self) -> float | None:
        """When the first of them is tried again."""
        return min((row[2] for row in self._rows.values()), default=None)

    def listing(self, limit: int = 20, but: Container[str] = ()) -> list[dict[str, str]]:
        """The first of them with their reasons, for the status page, without those told of elsewhere (``but``)."""
        found = ((path, row[0]) for path, row in self._rows.items() if path not in but)
        return [{"path": path, "reason": reason} for path, reason in itertools.islice(found, limit)]
