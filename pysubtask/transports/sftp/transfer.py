"""One transfer of file bytes over SFTP: what is read from the source, sent and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...common.errors import SourceChanged
from ...common.positioned import read_at
from .packets import Status
from .window import Stamp


class Transfer:
    """One transfer of file bytes, of which those from ``offset`` up to ``size`` are not sent yet. ``confirmed``: the server has
    acknowledged all bytes below this offset. ``done`` resolves when all bytes are acknowledged; its exception is SourceChanged,
    TransportLost, or WriteRefused with the server's status."""

    def __init__(
        self,
        handle: bytes,
        fd: int,
        start: int,
        size: int,
        progress: Callable[[int], None],
        sent: Callable[[], None],
        lines: bool,
        base: int,
        done: asyncio.Future[None],
        took: Callable[[int, bytes], None],
    ) -> None:
        self.handle, self.fd, self.size = handle, fd, size
        self.took = took
        self.base = base
        self.progress, self.sent = progress, sent
        self.lines = lines
        self.offset = start
        self.confirmed = start
        self._confirmed_above: dict[int, int] = {}  # acknowledged above a gap: offset -> count
        self.done = done

    def take(self, offset: int, count: int) -> None:
        """The server has acknowledged a WRITE of ``count`` bytes at ``offset``; WRITEs may be acknowledged in any order."""
        if offset != self.confirmed:
            self._confirmed_above[offset] = count
            return
        self.confirmed += count
        while self._confirmed_above and self.confirmed in self._confirmed_above:
            self.confirmed += self._confirmed_above.pop(self.confirmed)

    def fail(self, why: BaseException) -> None:
        """End the transfer with this exception; no more of its bytes are sent."""
        if not self.done.done():
            self.done.set_exception(why)
            self.done.exception()  # marks the exception as retrieved: the waiter may be gone, and asyncio would log it

    def read(self, count: int, largest: int) -> bytes:
        """The bytes of the next WRITE, ``count`` of them or, for a line that is longer, ``largest`` at most; none where the source
        failed, and the transfer with it."""
        left, place = self.size - self.offset, self.offset - self.base
        try:
            data = read_at(self.fd, count, place)
            if self.lines and 0 < len(data) < left:
                end = data.rfind(b"\n") + 1
                if not end:  # a line longer than that: as much of it as a WRITE can hold
                    data = read_at(self.fd, min(largest, left), place)
                    end = data.find(b"\n") + 1
                data = data[: end or len(data)]
        except OSError as exc:
            self.fail(SourceChanged(f"the source cannot be read: {exc.strerror}"))
            return b""
        if not data:
            self.fail(SourceChanged(f"the source ends at {self.offset:,} of {self.size:,} bytes"))
        return data


class WriteRefused(Exception):
    """The server answered a WRITE with this status. Inside this package only."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(str(status))


class WriteAck:
    """A WRITE under way, whose acknowledgement is awaited: ``count`` bytes at ``offset``; ``stamp``: when it was sent."""

    __slots__ = ("count", "offset", "stamp", "transfer")

    def __init__(self, transfer: Transfer, offset: int, count: int, stamp: Stamp) -> None:
        self.transfer, self.offset, self.count, self.stamp = transfer, offset, count, stamp
