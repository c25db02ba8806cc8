"""How many bytes may be in flight: pure, the time is passed in.

The acknowledgements show the rate of the whole path (the pipe, ssh, the link, the server's
disk). The window is the number of bytes that this rate moves in the path's own delay and half a second more, at most in
two seconds, so a slow link never queues many bytes in front of a small file, and a fast link is kept full.
The rate is measured as in draft-cardwell-iccrg-bbr-congestion-control section 4.1 (delivered bytes
over the time since the last acknowledgement before the sending), which no burst can overrate.
"""

from __future__ import annotations

from typing import NamedTuple

START_CHUNK = 32 * 1024
LEAST_CHUNK = 4 * 1024
_START_LIMIT = 2 * START_CHUNK  # two, so that one is under way while the other is acknowledged
_LEAST_LIMIT = 2 * LEAST_CHUNK  # the same for a slow link
_CHUNKS_AT_MOST = 8  # of the largest size: 2 MB, ssh's own channel window; more bytes would only wait in this process
_QUEUE_SECS = 0.5  # bytes queued beyond the path's own delay: enough to bridge a pause of the sender
_LONGEST_SECS = 2.0  # bytes in flight on any path: a small file waits behind no more
_BUCKET_SECS = 4.0  # a rate counts for one to two of these: longer than a pause of the path, shorter than a change of it
_SHIFTED_SECS = 0.75  # above ``_QUEUE_SECS``, by a margin for a server that is busy


class Stamp(NamedTuple):
    """State of the window when some bytes were sent, given back with their acknowledgement. ``sent_at``: when they were sent, in
    seconds; ``delivered``: bytes acknowledged by then, the last of them at ``delivered_at``; ``full``: the window was full with
    these bytes."""

    sent_at: float
    delivered: int
    delivered_at: float
    full: bool


class Window:
    """Bytes in flight on one connection. ``chunk``: bytes of the next write, ``largest`` of any. ``limit``: bytes
    that may be in flight. Times are seconds on any steady clock."""

    def __init__(self, largest_chunk: int) -> None:
        self.largest = max(1024, largest_chunk)
        self._rates = [0.0, 0.0]  # the best of this bucket and of the one before, bytes/s
        self._bucket_end: float | None = None
        self._base: float | None = None  # the shortest delay seen: that of the path without a queue, in seconds
        self._bucket_base: float | None = None
        self._delivered = 0
        self._delivered_at = 0.0
        self.in_flight = 0
        self.limit = _START_LIMIT
        self.chunk = min(START_CHUNK, self.largest)

    @property
    def rate(self) -> float:
        """Bytes per second that the server acknowledges; 0 while unknown."""
        return max(self._rates)

    def room(self, count: int) -> bool:
        """Whether ``count`` bytes may be sent now; always True while no byte is in flight."""
        return not self.in_flight or self.in_flight + count <= self.limit

    def sent(self, count: int, now: float) -> Stamp:
        """Count bytes as sent; the stamp comes back with ``acknowledged``."""
        if not self.in_flight:
            self._delivered_at = now
        self.in_flight += count
        return Stamp(now, self._delivered, self._delivered_at, not self.room(count))

    def acknowledged(self, count: int, stamp: Stamp, now: float) -> None:
        """Count bytes as acknowledged, whatever the status, and update rate and window from their delay."""
        self.in_flight -= count
        self._delivered += count
        self._delivered_at = now
        delay = max(now - stamp.sent_at, 1e-6)
        self._turn(now)
        self._base = delay if self._base is None else min(self._base, delay)
        if stamp.full:
            self._bucket_base = delay if self._bucket_base is None else min(self._bucket_base, delay)
        rate = (self._delivered - stamp.delivered) / max(now - stamp.delivered_at, 1e-6)
        # A window that was not full means that the sender was slower than the path: the rate is then only a lower bound.
        if stamp.full or rate > self.rate:
            self._rates[0] = max(self._rates[0], rate)
        self._set(may_shrink=stamp.full)

    def _turn(self, now: float) -> None:
        if self._bucket_end is None:
            self._bucket_end = now + _BUCKET_SECS
        elif now >= self._bucket_end and self._bucket_base is not None:
            if self._base is not None and self._bucket_base > self._base + _SHIFTED_SECS:
                # More than the own queue of _QUEUE_SECS: the delay of the path itself has grown.
                self._base = self._bucket_base - _QUEUE_SECS
            # Only a bucket that saw a full window may outvote the one before.
            self._rates = [0.0, self._rates[0] or self._rates[1]]
            self._bucket_base = None
            self._bucket_end = now + _BUCKET_SECS

    def _set(self, may_shrink: bool) -> None:
        secs = min((self._base or 0.0) + _QUEUE_SECS, _LONGEST_SECS)
        highest = _CHUNKS_AT_MOST * self.largest
        limit = int(min(max(self.rate * secs, _LEAST_LIMIT), highest))
        if limit < self.limit and not may_shrink:
            return
        self.limit = limit
        self.chunk = min(max(self.limit // 4 // LEAST_CHUNK * LEAST_CHUNK, LEAST_CHUNK), self.largest)
