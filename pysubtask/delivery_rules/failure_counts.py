"""Which files' attempts failed while the connection was good, and how often in a row: pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..common.errors import AttemptFailed
from ..common.events import utc

_MOST_NAMES = 1000
_MOST_LISTED = 20


class _Row(NamedTuple):
    times: int
    arrived: int
    reason: str = ""
    until: float = 0.0


class FailureCounts:
    """Failed attempts in a row, by remote name. A newer version of a file takes over the count of the version before."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._arrived = 0

    def failed(self, name: str, error: AttemptFailed) -> tuple[int, bool]:
        """Count one more failure; how many in a row that makes, and whether other files arrived since the first of them. An attempt
        that got further than the one before starts a new row."""
        row = self._rows.pop(name, None)
        if row is None or error.further:
            row = _Row(0, self._arrived)
        while len(self._rows) >= _MOST_NAMES:
            del self._rows[next(iter(self._rows))]
        self._rows[name] = row = row._replace(times=row.times + 1)
        return row.times, self._arrived != row.arrived

    def arrived(self, name: str) -> None:
        """The file was delivered."""
        self._arrived += 1
        self.over(name)

    def waits(self, name: str, reason: str, until: float) -> None:
        """The file waits alone ``until`` this time (wall clock)."""
        row = self._rows.pop(name, None)
        if row is not None:
            self._rows[name] = row._replace(reason=reason, until=until)

    def parked(self, name: str) -> None:
        """The file is parked. Its count stays, so that the next failure parks it again at once."""
        self.waits(name, "", 0.0)

    def over(self, name: str) -> None:
        """The file left the queue."""
        self._rows.pop(name, None)

    def page(self) -> list[dict[str, Any]]:
        """The last of the waiting files, for the status page."""
        waiting = [(name, row) for name, row in self._rows.items() if row.reason]
        return [
            {"name": name, "reason": row.reason, "tries": row.times, "next_try": utc(row.until)}
            for name, row in waiting[-_MOST_LISTED:]
        ]
