"""The snapshots of growing files that are kept after their delivery, so that the next snapshot only adds what is new to them.

A flash card wears out by what is written to it: a file of 10 MB that grows by a line every ten seconds would cost 87 GB a day. The
snapshot of a growing file is therefore continued, under the same name. A job reads its snapshot up to the job's own size, so what
is added for a later job changes nothing for an earlier one, and no byte that a job needs is ever written twice.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from .append_tracker import Start

LEAST_BYTES = 128 * 1024
"""Bytes. A smaller file is copied whole each time."""
MOST_TAIL_BYTES = 1024 * 1024
"""Bytes. A snapshot that holds only the end of a file is not continued beyond this size; a new one begins."""
KEPT_SECS = 86400.0
"""Seconds after which the snapshot of a file that has not grown since is not kept any more."""


class GrowingCopy(NamedTuple):
    """``snapshot``: its path; it holds the bytes from ``base`` to ``size`` of the data file, whose first ``size`` bytes have the
    SHA-256 ``digest``. ``name``: all its jobs are queued under this name."""

    snapshot: str
    base: int
    size: int
    digest: str
    name: str


class Continuation(NamedTuple):
    """``copy``: the kept snapshot that a file may continue. ``start``: for an append-only file that at the size of the copy, by
    whose signs the file is known again; without it all bytes are compared."""

    copy: GrowingCopy
    start: Start | None


class GrowingCopies:
    """The kept snapshots by the paths of their data files. For any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._copies: dict[str, tuple[GrowingCopy, float]] = {}
        self._kept: set[str] = set()
        self._released: list[GrowingCopy] = []
        self._now = 0.0

    def turn_begins(self, now: float) -> None:
        """It is ``now`` (monotonic seconds): release what has not grown for a day."""
        self._now = now
        for path in [path for path, (_, at) in self._copies.items() if now - at > KEPT_SECS]:
            self.release(path)

    def of(self, path: str, name: str) -> GrowingCopy | None:
        """The kept snapshot of a data file whose next job has this name; None where there is none."""
        found = self._copies.get(path)
        return None if found is None or found[0].name != name else found[0]

    def keep(self, path: str, copy: GrowingCopy) -> None:
        """Keep the snapshot of a data file; another one that was kept of it is released."""
        with self._guard:
            before = self._copies.get(path)
            self._copies[path] = (copy, self._now)
            self._kept.add(copy.snapshot)
            if before is not None and before[0].snapshot != copy.snapshot:
                self._release(before[0])

    def release(self, path: str) -> None:
        """Keep no snapshot of this data file any more."""
        if path not in self._copies:
            return
        with self._guard:
            before = self._copies.pop(path, None)
            if before is not None:
                self._release(before[0])

    def release_all(self) -> None:
        """Keep nothing any more: the room is needed, or the child ends."""
        for path in list(self._copies):
            self.release(path)

    def is_kept(self, snapshot: str) -> bool:
        """Whether a snapshot, by its path, is kept."""
        return snapshot in self._kept

    def released(self) -> list[GrowingCopy]:
        """The snapshots released since the last call. A job may still need one of them."""
        if not self._released:
            return []
        with self._guard:
            found, self._released = self._released, []
            return found

    def sizes(self) -> list[int]:
        """The number of bytes in each kept snapshot."""
        with self._guard:
            return [copy.size - copy.base for copy, _ in self._copies.values()]

    def _release(self, copy: GrowingCopy) -> None:
        self._kept.discard(copy.snapshot)
        self._released.append(copy)
