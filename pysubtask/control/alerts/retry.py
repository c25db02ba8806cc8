"""When the user's program is started again after a failure. Pure."""

from __future__ import annotations

from typing import NamedTuple, Self

_FIRST_SECS, _LONGEST_SECS = 60.0, 3600.0


class Retry(NamedTuple):
    """``failures``: the number of failures in a row. ``not_before``: the time of the next attempt, in monotonic seconds."""

    failures: int = 0
    not_before: float = 0.0

    def failed(self, now: float) -> Self:
        """The state after one more failure. The wait doubles each time, from a minute to an hour."""
        wait = min(_LONGEST_SECS, _FIRST_SECS * 2 ** min(self.failures, 10))
        return self._replace(failures=self.failures + 1, not_before=now + wait)

    def may(self, now: float) -> bool:
        """Whether the program may be started at ``now`` (monotonic seconds)."""
        return now >= self.not_before
