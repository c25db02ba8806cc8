"""Files that must be quiet for a while before they are taken: new ones in watched folders, and changed ones."""

from __future__ import annotations

from typing import NamedTuple

from ...common.clock import is_plausible
from ...common.entries import Entry
from ...common.notify import Stamp
from .folder import Folder

MOST_SETTLES = 10
LEAST_LONGEST_SECS = 10.0
LAST_SCAN_SECS = 1.0
"""Seconds. At the last scan before an end a file is taken that was quiet for this time, if ``settle_secs`` is more than that."""
LISTED_SECS = 5.0
"""Seconds. A file that has to be quiet for less is not listed on the status page."""
NEW_FACTOR = 6
"""A new file may wait longer by this factor: most new files are finished at some time, and half a photo is of no use."""


def longest_wait(settle_secs: float) -> float:
    """Seconds after which a file that changes all the time is taken though it is not quiet. Pure."""
    return max(LEAST_LONGEST_SECS, MOST_SETTLES * settle_secs) if settle_secs else 0.0


def quiet_enough_at(since: float, first: float, settle_secs: float, longest: float) -> float:
    """When a file that waits since ``first``, and is quiet ``since`` then, is quiet enough. In the second half of its longest wait
    less and less will do, and nothing at its end: so it is taken in the longest pause its writer makes, and not in the midst
    of a write. Pure."""
    # Where quiet == settle_secs * 2 * (1 - waited / longest), solved for the time.
    slope = 2 * settle_secs / longest
    return max(first + longest / 2, (since + 2 * settle_secs + slope * first) / (1 + slope))


def quiet_secs(seen: Stamp, wall: int) -> float:
    """The seconds that a file with this stamp has been quiet, by its modification time; 0 where that is not plausible. ``wall``:
    the wall clock in nanoseconds since the epoch. Pure."""
    return max(0, wall - seen.mtime_ns) / 1e9 if is_plausible(seen.mtime_ns / 1e9) else 0.0


class SettlingFile(NamedTuple):
    """A file that settles: its ``folder`` (None for a named file) and ``entry``, its stamp as ``seen`` last, ``since`` when
    it has this stamp, since when it waits (``first``; both monotonic seconds), and why it will be due (``cause``, see Due).
    ``settled_at``: when it may be taken, computed from all these without a stat of the file."""

    folder: Folder | None
    entry: Entry
    seen: Stamp
    since: float
    first: float
    cause: str
    settled_at: float = 0.0

    def timed(self) -> SettlingFile:
        """The same with the right ``settled_at``, which is stored because it is read at each tick."""
        return self._replace(settled_at=min(self.quiet_at, self.taken_at))

    @property
    def quiet_at(self) -> float:
        """When the file will have been quiet for long enough (monotonic seconds)."""
        settle, longest = self.entry.settle_secs, self.longest
        if not self.goes_anyway or self.since + settle <= self.first + longest / 2:
            return self.since + settle
        return quiet_enough_at(self.since, self.first, settle, longest)

    @property
    def taken_at(self) -> float:
        """When the file is taken at the latest (monotonic seconds). A file that the server has in an older version, and that
        grows without a pause, is taken now and then."""
        return self.first + self.longest if self.goes_anyway else float("inf")

    def may_go_early(self, now: float, age: float) -> bool:
        """Whether the file is quiet enough for the last scan before an end, its modification time being ``age`` seconds ago: a
        file that is being written waits for the next start."""
        return max(age, now - self.since) >= min(self.entry.settle_secs, LAST_SCAN_SECS) or self.is_settled(now)

    @property
    def longest(self) -> float:
        """Seconds that the file waits at most, where it is taken without being quiet."""
        finished = self.cause in ("change", "recheck") or self.folder is None
        return longest_wait(self.entry.settle_secs) * (1 if finished else NEW_FACTOR)

    @property
    def goes_anyway(self) -> bool:
        """Whether the file is taken though it is never quiet. Not a new file whose later changes do not count: the server would
        keep an unfinished state of it."""
        return self.cause == "change" or self.entry.on_change or self.folder is None

    def never_quiet(self, now: float) -> bool:
        """Whether the file waits for longer than one that is just being written."""
        return now - self.first >= LEAST_LONGEST_SECS / 2 and now - self.first >= MOST_SETTLES / 2 * self.entry.settle_secs

    def is_settled(self, now: float) -> bool:
        """Whether the file may be taken, as far as is known without a stat."""
        return now >= self.settled_at


class SettleQueue:
    """The settling files, by their paths."""

    def __init__(self) -> None:
        self._found: dict[str, SettlingFile] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._found

    def put(self, folder: Folder | None, entry: Entry, path: str, seen: Stamp, since: float, cause: str) -> None:
        """A file has the stamp ``seen`` since then; another stamp than before starts its wait again."""
        old = self._found.get(path)
        if old is None or old.folder is not folder:
            self._found[path] = SettlingFile(folder, entry, seen, since, since, cause).timed()
        elif old.seen != seen:
            cause = cause if old.cause == "recheck" else old.cause
            self._found[path] = old._replace(seen=seen, since=since, cause=cause).timed()

    def drop(self, path: str) -> None:
        """Forget a settling file."""
        self._found.pop(path, None)

    def last_scan_at(self) -> float | None:
        """When all of them are quiet enough for the last scan before an end, as far as is known without a stat."""
        return max((found.since + min(found.entry.settle_secs, LAST_SCAN_SECS) for found in self._found.values()), default=None)

    def settled(self, now: float, everything: bool) -> list[tuple[str, SettlingFile]]:
        """The files that were quiet for long enough, as far as is known without a stat, or waited for the longest time;
        ``everything``: all."""
        return [(path, found) for path, found in self._found.items() if everything or found.is_settled(now)]

    def never_quiet(self, now: float) -> list[tuple[str, SettlingFile]]:
        """The files that have been waiting for long because they change all the time."""
        return [(path, found) for path, found in self._found.items() if found.never_quiet(now)]

    def waiting(self, now: float) -> list[tuple[str, SettlingFile]]:
        """The files of which a person may ask where they are: they have to be quiet for long, or have been waiting for a
        while."""
        return [
            (path, found)
            for path, found in self._found.items()
            if not found.never_quiet(now) and (found.entry.settle_secs >= LISTED_SECS or now - found.first >= LISTED_SECS)
        ]

    def next_at(self) -> float | None:
        """When the next file may be taken (monotonic seconds)."""
        return min((found.settled_at for found in self._found.values()), default=None)
