"""Detects files that a scan found and no event reported: the file system of such a folder does not report all changes."""

from __future__ import annotations

from collections.abc import Collection, Container

PATIENCE_SECS = 10.0
"""Seconds. An event that comes at all has come by then, however busy the machine is."""
_MOST = 100


class MissedEvents:
    """Pure bookkeeping. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._last: Container[str] = ()

    def found(self, path: str, now: float) -> None:
        """A scan found a new file in a folder whose events were thought to report it; of a file with an event in the last batch
        nothing is noted."""
        if path not in self._last and len(self._since) < _MOST:
            self._since.setdefault(path, now)

    def heard(self, paths: Collection[str], lost: bool) -> None:
        """These files had an event, the last batch of which this is; with ``lost`` any file may have had one."""
        self._last = paths
        if not self._since:
            return
        if lost:
            self._since.clear()
        for path in paths:
            self._since.pop(path, None)

    def overdue(self, now: float) -> str | None:
        """A file of which no event came, reported once; None where there is none."""
        late = next((path for path, since in self._since.items() if now - since >= PATIENCE_SECS), None)
        if late is not None:
            self._since.clear()
        return late
