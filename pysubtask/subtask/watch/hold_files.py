"""Hold files: which data a burst holds back, and when each file is due even where the app has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...common.notify import Stamp, hold_name

_SECOND = 1_000_000_000
# Seconds after the time in the hold file. A living app notifies at that time itself, and one delivery is enough.
GRACE_SECS = 0.5


class HoldFile(NamedTuple):
    """A hold file that was seen ``since`` (monotonic seconds) with this stamp; its data belong to ``entry_index``."""

    entry_index: int
    stamp: Stamp
    since: float


class HoldFiles:
    """The hold files seen. ``longest``: seconds after which a file is due whatever time its hold file carries, so that a clock
    that was set back delays nothing for long. ``stat`` and ``handled`` give the present and the last handled stamp of a hold
    file."""

    def __init__(self, longest: float, stat: Callable[[str], Stamp | None], handled: Callable[[str], Stamp | None]) -> None:
        self._longest = longest
        self._stat = stat
        self._handled = handled
        self._seen: dict[str, HoldFile] = {}

    def __contains__(self, path: str) -> bool:
        """Whether a hold file of this data file was seen and is not due yet."""
        return path in self._seen

    def check(self, path: str, entry_index: int, now: float) -> None:
        """Read the stamp of the hold file of a data file."""
        stamp = self._stat(hold_name(path))
        if stamp is None or stamp == self._handled(hold_name(path)):
            self._seen.pop(path, None)
            return
        old = self._seen.get(path)
        if old is None or old.stamp != stamp:
            self._seen[path] = HoldFile(entry_index, stamp, now)

    def due(self, now: float, wall: int, everything: bool) -> dict[str, HoldFile]:
        """The data files that are due at ``now`` (monotonic seconds; ``wall`` in nanoseconds); ``everything``: all."""
        found = {}
        for path, hold_file in list(self._seen.items()):
            if everything or self._at(hold_file, now, wall) <= now:
                # The hold file may have been removed, or have a later time now.
                self.check(path, hold_file.entry_index, now)
                again = self._seen.get(path)
                if again is not None and (everything or again == hold_file):
                    found[path] = again
        return found

    def take(self, path: str) -> Stamp | None:
        """The stamp of the hold file of this data file, which is not held any more: the caller snapshots the file."""
        hold_file = self._seen.pop(path, None)
        return None if hold_file is None else hold_file.stamp

    def next_at(self, now: float, wall: int) -> float | None:
        """When the next one is due (monotonic seconds)."""
        return min((self._at(hold_file, now, wall) for hold_file in self._seen.values()), default=None)

    def _at(self, hold_file: HoldFile, now: float, wall: int) -> float:
        return min(hold_file.since + self._longest, now + (hold_file.stamp.mtime_ns - wall) / _SECOND + GRACE_SECS)
