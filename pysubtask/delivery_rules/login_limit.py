"""How many failed logins a server gets to see in a minute: many servers ban an address for more. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_SECS = 60.0
BAN_SECS = 75.0
"""Seconds. Most bans last a minute from the last connection on, so after what looks like a ban no connection is made for this
time."""
_LONGEST_BAN_SECS = 300.0
_SUSPICIOUS = 3
"""This number of failed logins within two minutes, and then connections without an answer, look like a ban."""


class LoginLimit:
    """At most ``most`` failed logins in any minute; 0 sets no limit. Times in seconds of a monotonic clock.

    A login counts as failed when it was refused, or when it went well and the connection was lost again. A login that ended
    because there was nothing to send does not count, nor does a connection that did not come to a login: a server that is down is
    tried again as the settings say. But where connections get no answer any more after several failed logins, the address may be
    banned, and each further connection would prolong the ban.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._failed: deque[float] = deque()
        self._unanswered = 0
        self._unanswered_at = 0.0
        self._suspected = False

    def failed(self, now: float) -> None:
        """A login failed at ``now``."""
        self._failed.append(now)
        self._unanswered = 0
        while len(self._failed) > max(_SUSPICIOUS, self.most):
            self._failed.popleft()

    def unanswered(self, now: float) -> None:
        """A connection got no answer, or was closed before the greeting."""
        if not self._unanswered:
            lately = sum(now - at < 2 * WINDOW_SECS for at in self._failed)
            self._suspected = self.most > 0 and lately >= min(_SUSPICIOUS, self.most)
        self._unanswered += 1
        self._unanswered_at = now

    def answered(self) -> None:
        """A login went well."""
        self._unanswered = 0

    def wait(self, now: float) -> float:
        """Seconds until the next login is allowed."""
        secs = 0.0
        if 0 < self.most <= len(self._failed):
            secs = self._failed[-self.most] + WINDOW_SECS - now
        if self._seems_banned:
            ban = min(BAN_SECS * 2.0 ** min(self._unanswered - 2, 8), _LONGEST_BAN_SECS)
            secs = max(secs, self._unanswered_at + ban - now)
        return max(0.0, secs)

    @property
    def _seems_banned(self) -> bool:
        """Whether the address seems to be banned. One connection without an answer is not enough: that may be a short
        disturbance."""
        return self._suspected and self._unanswered >= 2

    def forget(self) -> None:
        """Forget the failed logins: a person has repaired their cause."""
        self._failed.clear()
        self._unanswered = 0

    def words(self) -> str:
        """Why the next login has to wait, in words."""
        if self._seems_banned:
            return (
                "after several logins that came to nothing nobody answers: the server may have banned this address, and each "
                "connection may begin that anew (LoginsPerMinute)"
            )
        return f"{self.most} logins within a minute came to nothing, and many servers ban an address for more (LoginsPerMinute)"
