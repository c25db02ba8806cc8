"""How old files are, where this machine's clock may have been wrong when they were written."""

import os
import time
from collections.abc import Callable, Sequence

from ..common.clock import Steps
from .mover import Old


class FileAges:
    """The times of last change of files. ``wall``: seconds since the epoch; ``boot``: as ``since_boot``.

    A modification time of before the clock was set is no evidence of age: for such a file the change of its inode (ctime) and the
    time of its delivery count, and it stays where these are no evidence either.
    """

    def __init__(self, wall: Callable[[], float], boot: Callable[[], float]) -> None:
        self._wall = wall
        self._boot = boot
        self._steps = Steps(wall(), boot())
        self._without_time: dict[str, float] = {}

    def now(self) -> float:
        """The time, in seconds since the epoch. A step of the clock is noted."""
        now = self._wall()
        self._steps.note(now, self._boot())
        return now

    def begin(self) -> float:
        """Judge every file again; the time."""
        self._without_time.clear()
        return self.now()

    def is_to_be_judged(self, path: str, found: os.stat_result, before: float) -> bool:
        """Whether a file with a modification time of before ``before`` may be old: not where that time is doubtful and its inode
        was changed since."""
        if self._steps.is_doubtful(found.st_mtime):
            if found.st_ctime >= before:
                return False
            self._without_time[path] = max(found.st_mtime, found.st_ctime)
        return True

    def is_plausible(self, old: Old) -> bool:
        """Whether the modification time of a file may be believed."""
        return old.path not in self._without_time

    def is_delivered_before(self, old: Old, delivered: Sequence[str], before: float) -> bool:
        """Whether a file without a plausible time was delivered before ``before``; ``delivered``: the times of its receipts."""
        at = max([self._without_time[old.path], *map(_seconds, delivered)])
        self._without_time[old.path] = at
        return at < before and not self._steps.is_doubtful(at)

    def changed_at(self, old: Old) -> float:
        """When a file was last changed, as far as that is known, in seconds since the epoch."""
        return self._without_time.get(old.path, old.mtime_ns / 1e9)

    def is_doubtful(self, old: Old) -> bool:
        """Whether nothing tells when a file was last changed."""
        return self._steps.is_doubtful(self.changed_at(old))


def _seconds(at: str) -> float:
    """A receipt's time in seconds since the epoch; 0 where it is none."""
    from calendar import timegm  # for the few files whose own time says nothing

    try:
        return float(timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0
