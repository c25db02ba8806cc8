"""Data files that cannot be snapshotted at the moment: reported once, tried again at growing intervals."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import NamedTuple

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
READ, CHANGING, MISSING, CLASH = "read", "changing", "missing", "clash"
"""The kinds of errors: the file cannot be read; it is being written all the time; it is notified and missing; its remote name
belongs to another file."""


class _Row(NamedTuple):
    reason: str
    tries: int
    until: float
    asked: Hashable
    kind: str


class ReadErrors:
    """Pure bookkeeping; times are monotonic seconds. ``asked``: the cause of the snapshot, a stamp of the notify file for
    example."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, path: object) -> bool:
        return path in self._rows

    def add(self, path: str, reason: str, now: float, asked: Hashable = None, kind: str = READ) -> bool:
        """Note a failure of a ``kind``; True where this reason is new and should be logged. A file with another ``asked`` than
        this one does not wait; with None every cause waits."""
        old = self._rows.get(path, _Row("", 0, 0.0, None, kind))
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(old.tries, 16))
        self._rows[path] = _Row(reason, old.tries + 1, now + wait, asked, kind)
        return reason != old.reason

    def waits(self, path: str, now: float, asked: Hashable = None) -> bool:
        """Whether the file has to wait for its next try."""
        row = self._rows.get(path)
        return row is not None and now < row.until and row.asked in (None, asked)

    def clear(self, path: str) -> None:
        """The file was read: forget its error."""
        self._rows.pop(path, None)

    def next_at(self) -> float | None:
        """When the first file is tried again (monotonic seconds)."""
        return min((row.until for row in self._rows.values()), default=None)

    def listing(self, limit: int = 20) -> list[dict[str, str]]:
        """The first of the files with their reasons, for the status page; ``kind`` only where it is not READ."""
        return [
            {"path": path, "reason": row.reason, **({} if row.kind == READ else {"kind": row.kind})}
            for path, row in itertools.islice(self._rows.items(), limit)
        ]
