"""When a child that has ended is started again: the rule of masters and guards. Pure."""

from typing import NamedTuple, Self

FIRST_WAIT_SECS = 1.0  # before the first restart
LONGEST_WAIT_SECS = 60.0  # a cause that goes away is noticed within a minute
GOOD_LIFE_SECS = 60.0  # a child that lived as long did not fail at its start


def next_wait(last: float, lived: float) -> float:
    """Seconds before a dead child is started again: 1, 2, 4 ... 60, and 1 again after a minute of life.

    ``last`` is the wait before the start that has just ended (0 before the first), ``lived`` the seconds
    it held.
    """
    if lived >= GOOD_LIFE_SECS or last <= 0:
        return FIRST_WAIT_SECS
    return min(LONGEST_WAIT_SECS, last * 2)


class Restarts(NamedTuple):
    """When to start a child again."""

    wait: float = 0.0
    """Seconds between the last end and the next start; 0 before the first end."""
    times: int = 0
    """How often the child ended by itself."""
    started: float = 0.0
    """Monotonic second of the last start."""
    due: float | None = None
    """Monotonic second of the next start; None while the child runs."""

    def began(self, now: float) -> Self:
        """The state after a start at ``now`` (monotonic seconds)."""
        return self._replace(started=now, due=None)

    def ended(self, now: float) -> Self:
        """The state after an end at ``now`` that nobody asked for: the next start is due after a wait (``next_wait``)."""
        wait = next_wait(self.wait, now - self.started)
        return self._replace(wait=wait, times=self.times + 1, due=now + wait)

    def postponed(self, due: float | None) -> Self:
        """The state in which the next start is due at this time (monotonic seconds); None: not at all."""
        return self._replace(due=due)
