"""How many logins that come to nothing a server gets to see in a minute: many ban an address for more. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_SECS = 60.0


class Logins:
    """``most`` in any minute; 0 sets no limit. Times in seconds of a monotonic clock.

    Counted are logins that were refused, or that went well and were lost again. Not one that ended because there was nothing to
    send, and no connection that did not come to a login: a server that is down is tried again as the settings say.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._failed: deque[float] = deque()

    def failed(self, now: float) -> None:
        """One ended in an error."""
        self._failed.append(now)
        while len(self._failed) > max(1, self.most):
            self._failed.popleft()

    def wait(self, now: float) -> float:
        """Seconds until the next one is allowed."""
        if self.most <= 0 or len(self._failed) < self.most:
            return 0.0
        return max(0.0, self._failed[-self.most] + WINDOW_SECS - now)

    def forget(self) -> None:
        """Somebody has mended what was wrong."""
        self._failed.clear()

    def words(self) -> str:
        """Why it is waited."""
        return f"{self.most} logins within a minute came to nothing, and many servers ban an address for more (LoginsPerMinute)"
