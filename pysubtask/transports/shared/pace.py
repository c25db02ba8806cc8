"""The rate limit: one token bucket for all uploads of a child.

Source: the token bucket of RFC 2697 section 3, with one rate. The bucket may go into debt by the last piece, so that a piece of
any size can be sent and the average rate is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECS = 0.25  # what may be sent at once after a pause: short, so that a shared link hardly notices
_POLL_SECS = 0.2  # a thread that waits sees a new rate or the end of its connection this soon
_LEAST_BURST = 16 * 1024  # bytes: below this, a slow rate would cut a file into pieces that are mostly headers


class Pace:
    """``rate`` in bytes per second, 0 for no limit; it may be set at any time, from any thread. ``clock`` in seconds."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._at = clock()
        self._rate = 0.0
        self._tokens = 0.0
        self.rate = rate

    @property
    def rate(self) -> float:
        """Bytes per second, 0 for no limit. A new rate forgives the debt made at the old one."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        with self._guard:
            self._fill()
            # A debt made at the old rate would block a slower rate for long.
            self._rate, self._tokens = max(0.0, float(rate)), max(self._tokens, 0.0)
            self._tokens = min(self._tokens, self._burst())

    def wait(self) -> float:
        """Seconds until the next piece may be sent; 0 where it may be sent now."""
        with self._guard:
            if not self._rate:
                return 0.0
            self._fill()
            return max(0.0, -self._tokens / self._rate)

    def spend(self, count: int) -> None:
        """Take ``count`` bytes out of the bucket, as they are being sent."""
        with self._guard:
            if self._rate:
                self._fill()
                self._tokens -= count

    def hold(self, count: int, step: Callable[[], None]) -> None:
        """In a thread that works on one upload: wait until a piece may be sent, and spend ``count``. ``step`` is called
        at each poll, and ends the wait by raising."""
        while (wait := self.wait()) > 0:
            step()
            time.sleep(min(wait, _POLL_SECS))
        self.spend(count)

    def piece(self, most: int) -> int:
        """Bytes to send at a time, at most ``most``: not more than one second's bytes, so that the flow stays even."""
        return most if not self._rate else max(1024, min(most, int(self._rate)))

    def _burst(self) -> float:
        return max(self._rate * _BURST_SECS, _LEAST_BURST)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst())
        self._at = now
