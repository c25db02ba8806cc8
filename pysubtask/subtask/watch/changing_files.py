"""Named files whose every change counts (``on_change``), and when each is checked without an event.

File events report a file that was closed after writing, created, or moved to its name. A program that keeps its file open causes
none of these, and asking for an event of each write would cost a thousand a second. Such a file is found by its time and size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...common.notify import Stamp
from ..platform.change_times import is_changed

FEW = 100
"""Up to this number of files all are checked in each tick."""
ROUND_SECS = 10.0
"""Seconds. Of more files each is checked once in this time at the latest."""
_TICK_SECS = 0.2
_SHARE = 25
"""Checking many files takes at most one part in this number of the time."""


class ChangingFiles:
    """``files``: their paths. ``timer`` in seconds."""

    def __init__(self, files: Iterable[str], timer: Callable[[], float] = time.monotonic) -> None:
        self._order = list(files)
        self._files = frozenset(self._order)
        self._ctimes: dict[str, int] = {}
        self._timer = timer
        self._at = 0
        self._last: float | None = None
        self._rest_until = float("-inf")

    def __contains__(self, path: str) -> bool:
        """Whether every change of this file counts, by an entry that names it."""
        return path in self._files

    def note_ctime(self, path: str, ctime: int) -> None:
        """Note the ctime of a named file, in nanoseconds since the epoch."""
        self._ctimes[path] = ctime

    def is_changed(self, path: str, seen: Stamp, *, event: bool = False, since_ns: int | None = None) -> bool:
        """Whether a named file with the stamp of its snapshot may have another content (see ``platform/change_times.py``)."""
        return is_changed(self._ctimes, path, seen, event=event, since_ns=since_ns)

    def turn(self, now: float, everything: bool) -> Iterator[str]:
        """The files to be checked, ``now`` in monotonic seconds. The caller must handle them one by one, as the time that takes
        is measured as the cost."""
        chosen = self._choose(now, everything)
        if not chosen:
            return
        begun = self._timer()
        yield from chosen
        if len(self._order) > FEW:
            self._rest_until = now + _SHARE * (self._timer() - begun)

    def _choose(self, now: float, everything: bool) -> Sequence[str]:
        count = len(self._order)
        if everything or count <= FEW:
            return self._order
        if self._last is None:
            self._last = now
        share = int(count * (now - self._last) / ROUND_SECS)
        if now - self._last >= _TICK_SECS:
            share = max(share, FEW)
        if share <= 0 or now < self._rest_until:
            return ()
        self._last = now
        if share >= count:
            return self._order
        begin, self._at = self._at, (self._at + share) % count
        return self._order[begin : begin + share] + self._order[: max(0, begin + share - count)]
