"""When a whole folder, or all named files in one, must be scanned without an event, so that scans take little of the time."""

from __future__ import annotations

FULL_SCAN_SECS = 60.0
SHARE, SHARE_BESIDE_EVENTS = 25, 100
"""Full scans take at most one part in this number of the time: where nothing else tells of changes, and beside file events."""


class ScanTime:
    """``at``: when the next scan is due (monotonic seconds); ``cost``: seconds that the last one took. Both are changed by the
    methods only."""

    __slots__ = ("at", "cost")

    def __init__(self) -> None:
        self.at = float("-inf")
        self.cost = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next scan."""
        return now >= self.at

    def wait_until(self, at: float) -> None:
        """Have the next scan made at this time."""
        self.at = at

    def note_cost(self, secs: float) -> None:
        """Note what a scan has cost."""
        self.cost = secs


def rest_secs(cost: float, live: bool, all_reported: bool) -> float:
    """Seconds until the next scan of a whole folder. Pure. ``cost``: seconds that a scan of all folders takes; ``live``: events
    report changes until then, all changes that count where ``all_reported``, else not those by a program that keeps a file
    open."""
    return max(FULL_SCAN_SECS if live and all_reported else 0.0, (SHARE_BESIDE_EVENTS if live else SHARE) * cost)
