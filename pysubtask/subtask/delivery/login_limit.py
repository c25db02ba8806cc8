"""How many logins that come to nothing a server gets to see in a minute: many ban an address for more. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_SECS = 60.0
BAN_SECS = 75.0
"""Most bans last a minute from the last connection on: no other one is made for so long, where this looks like one."""
_LONGEST_BAN_SECS = 300.0
_SUSPICIOUS = 3
"""Logins that came to nothing within two minutes, and then nobody answers: that looks like a ban."""


class Logins:
    """``most`` in any minute; 0 sets no limit. Times in seconds of a monotonic clock.

    Counted are logins that were refused, or that went well and were lost again. Not one that ended because there was nothing to
    send, and no connection that did not come to a login: a server that is down is tried again as the settings say. But where
    nobody answers any more after several that were counted, it may be a ban that each connection would begin anew.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._failed: deque[float] = deque()
        self._unanswered = 0
        self._unanswered_at = 0.0
        self._suspected = False

    def failed(self, now: float) -> None:
        """One ended in an error."""
        self._failed.append(now)
        self._unanswered = 0
        while len(self._failed) > max(_SUSPICIOUS, self.most):
            self._failed.popleft()

    def unanswered(self, now: float) -> None:
        """Nobody answered a connection, or it was refused before a word."""
        if not self._unanswered:
            lately = sum(now - at < 2 * WINDOW_SECS for at in self._failed)
            self._suspected = self.most > 0 and lately >= min(_SUSPICIOUS, self.most)
        self._unanswered += 1
        self._unanswered_at = now

    def answered(self) -> None:
        """A login went well."""
        self._unanswered = 0

    def wait(self, now: float) -> float:
        """Seconds until the next one is allowed."""
        secs = 0.0
        if 0 < self.most <= len(self._failed):
            secs = self._failed[-self.most] + WINDOW_SECS - now
        if self._seems_banned:
            ban = min(BAN_SECS * 2.0 ** min(self._unanswered - 2, 8), _LONGEST_BAN_SECS)
            secs = max(secs, self._unanswered_at + ban - now)
        return max(0.0, secs)

    @property
    def _seems_banned(self) -> bool:
        """The first connection without an answer may have met a moment's trouble."""
        return self._suspected and self._unanswered >= 2

    def forget(self) -> None:
        """Somebody has mended what was wrong."""
        self._failed.clear()
        self._unanswered = 0

    def words(self) -> str:
        """Why it is waited."""
        if self._seems_banned:
            return (
                "after several logins that came to nothing nobody answers: the server may have banned this address, and each "
                "connection may begin that anew (LoginsPerMinute)"
            )
        return f"{self.most} logins within a minute came to nothing, and many servers ban an address for more (LoginsPerMinute)"
