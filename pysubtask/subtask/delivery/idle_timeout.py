"""Detects that connections die while they are idle (a carrier, firewall or NAT forgets them). Pure."""

from __future__ import annotations

_TIMES = 2


class IdleTimeout:
    """Carriers and firewalls forget a connection over which nothing was sent for a while, and notify neither end. All times in
    seconds.

    Call ``begins`` when something is sent after a pause, then ``lived`` or ``died`` with the outcome.
    """

    def __init__(self) -> None:
        self._now: float | None = None
        self._lived = 0.0
        self._died = float("inf")
        self._times = 0

    def begins(self, pause: float) -> None:
        """Something is sent after ``pause`` seconds without traffic."""
        self._now = pause

    def lived(self) -> None:
        """What was sent after the pause has arrived."""
        if self._now is not None:
            self._lived = max(self._lived, self._now)
            if self._lived >= self._died:  # the pause was not the cause
                self._times, self._died = 0, float("inf")
            self._now = None

    def died(self) -> str:
        """The connection was dead after the pause. The message for the log; '' where the conclusion is not new or not clear."""
        pause, self._now = self._now, None
        if pause is None or pause <= self._lived:
            return ""
        shorter = pause < self._died
        self._died = min(self._died, pause)
        self._times += 1
        if self._times < _TIMES or not (shorter or self._times == _TIMES):
            return ""
        closed = max(1, int(self._died * 0.8)) * 1000
        return (
            f"connections are dead after a pause of {self._died:.0f} s: something on the way (a carrier, a firewall, NAT) "
            f"forgets those that are idle. DeadTimeMilli = {closed} has them closed before that"
        )
