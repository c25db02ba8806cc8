"""A pipelined SFTP client over a byte stream: many requests under way, answers matched by their id.

The client knows nothing of ssh, of temp names or of publishing. Small requests are sent at once, in the order
of the calls. File bytes are read from their sources only when the window and the stream have
room, one chunk per file in turn, short files first. One timer checks that the server replies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ...common.errors import TransportError, TransportLost
from ..shared.pace import Pace
from ..shared.standstill import REMEDY
from ..ssh.stream import ByteStream
from . import packets
from .packets import Extended, Handle, Limits, Malformed, Reply, Status
from .transfer import Transfer, WriteAck, WriteRefused
from .window import Window

DEFAULT_WRITE = 32 * 1024
"""Bytes of a WRITE that every server takes (section 3 of the draft)."""
_LARGEST_WRITE = 255 * 1024  # OpenSSH ends the connection above 262,115 bytes
_BACKLOG = 512 * 1024  # bytes read and not yet taken by the stream: it never runs dry, and a small file waits behind few
_WRITE_HEAD = 1024  # what a WRITE needs beside its bytes, as OpenSSH reckons
SHORT_FILE = 64 * 1024
"""Bytes: a file of no more is sent before longer ones, which it hardly delays."""


class Client:
    """One connection. ``stall``: after so many seconds without a complete reply, while one is due, the connection is lost; a part
    of a packet does not count. Construct the client on the running loop, then ``await start()``."""

    def __init__(self, stream: ByteStream, stall: float, pace: Pace | None = None) -> None:
        self._stream = stream
        self._stall = stall
        self._pace = pace or Pace(0)
        self._resting: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._splitter = packets.Splitter()
        # What is under way: a WRITE, or who waits for the answer to another request.
        self._pending: dict[int, WriteAck | asyncio.Future[Reply]] = {}
        self._patience: dict[int, float] = {}
        self._number = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_due = False
        self._short: deque[Transfer] = deque()
        self._long: deque[Transfer] = deque()
        self._version: asyncio.Future[None] | None = None
        self._greeted = False
        self._heard = 0.0
        self._extra_patience = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self.window = Window(DEFAULT_WRITE)
        self.extensions: dict[str, bytes] = {}
        self.limits = Limits(0, 0, 0, 0)
        self.lost: TransportError | None = None

    async def start(self) -> None:
        """INIT, VERSION (section 4), and the server's limits. Raises the error that ended the stream, or TransportLost.

        Only the caller's time limit applies here, as a login may take longer than ``stall``.
        """
        self._version = self._loop.create_future()
        self._stream.start(self)
        self._stream.send([packets.init()])
        await self._version
        largest = DEFAULT_WRITE
        if packets.LIMITS in self.extensions:
            answer = await self.request(packets.EXTENDED, packets.extended(packets.LIMITS))
            if isinstance(answer, Extended):
                try:
                    self.limits = packets.limits(answer.data)
                except Malformed as exc:
                    self.fail(TransportLost(f"the server's limits cannot be read: {exc}"))
                    raise self._gone() from exc
                largest = min(self.limits.write or DEFAULT_WRITE, _LARGEST_WRITE)
                if self.limits.packet:
                    largest = min(largest, max(0, self.limits.packet - _WRITE_HEAD))
        self.window = Window(largest)

    def request(self, kind: int, body: bytes, patience: float = 0.0) -> asyncio.Future[Reply]:
        """Send a request; the future gives the server's answer, good or bad, or raises TransportLost.

        ``patience``: seconds beyond the stall limit that this one may take the server.
        """
        future: asyncio.Future[Reply] = asyncio.Future(loop=self._loop)
        if self.lost is not None:
            _set_lost(future, self._gone())
            return future
        number = (self._number + 1) & 0xFFFFFFFF
        if number in self._pending:
            number = self._next()
        self._number = number
        if not self._pending:
            self._watch_from_now()
        self._pending[number] = future
        if patience:
            self._patience[number] = patience
            self._extra_patience += patience
        data = packets.packet(kind, number, body)
        self._out.append(data)
        self._out_bytes += len(data)
        if not self._flush_due:
            self._flush_soon()
        return future

    def transfer(
        self,
        handle: bytes,
        fd: int,
        size: int,
        progress: Callable[[int], None],
        sent: Callable[[], None],
        start: int = 0,
        lines: bool = False,
        base: int = 0,
        took: Callable[[int, bytes], None] = lambda at, data: None,
    ) -> Transfer:
        """Send the bytes from ``start`` up to ``size`` to their places in an open handle; ``fd`` begins with byte ``base``.

        ``sent`` is called when the last of them has been queued: requests it makes follow right behind.
        ``progress`` gets the offset below which all is confirmed. ``lines``: each WRITE but the last ends with a newline,
        where the bytes have any. ``took`` gets each piece that is sent, with its place. Cancel by ``fail`` on what is returned.
        """
        transfer = Transfer(handle, fd, start, size, progress, sent, lines, base, self._loop.create_future(), took)
        if self.lost is not None:
            transfer.fail(self._gone())
        elif size == start:
            sent()
            transfer.done.set_result(None)
        else:
            (self._short if size - start <= SHORT_FILE else self._long).append(transfer)
            if not self._flush_due:
                self._flush_soon()
        return transfer

    def queue(self) -> None:
        """Queue the bytes that the window has room for now, and not at the end of this turn of the loop: mostly all bytes of a
        short file are queued then, and so are the requests that ``sent`` makes."""
        if self.lost is None:
            self._pump()

    def fail(self, why: TransportError) -> None:
        """The connection is over: every wait ends with the reason. The first reason stays."""
        if self.lost is not None:
            return
        self.lost = why
        self._stream.abort()
        for timer in (self._watch, self._resting):
            if timer is not None:
                timer.cancel()
        waiting, self._pending = self._pending, {}
        self._patience.clear()
        if self._version is not None:
            _set_lost(self._version, why)
        for entry in waiting.values():
            if isinstance(entry, WriteAck):
                entry.transfer.fail(self._gone())
            else:
                _set_lost(entry, self._gone())
        for transfer in (*self._short, *self._long):
            transfer.fail(self._gone())
        self._short.clear()
        self._long.clear()
        self._out.clear()
        self._out_bytes = 0

    @property
    def busy(self) -> bool:
        """Whether an answer is due."""
        return bool(self._pending)

    # What the stream tells

    def data_received(self, data: bytes) -> None:
        """Listener: match whole packets to their requests. The connection is lost where the bytes are not SFTP."""
        try:
            whole = self._splitter.feed(data)
            if whole:
                self._heard = self._loop.time()
            for raw in whole:
                self._take(raw)
                if self.lost is not None:
                    return
        except Malformed as exc:
            self.fail(TransportLost(f"the server does not speak SFTP here (does a login script print something?): {exc}"))
            return
        if self._short or self._long or self._out:
            self._flush()
        # The flush runs after the callbacks of these replies, so their requests are sent in the same turn of the loop.
        if whole and not self._flush_due:
            self._flush_soon()

    def room_again(self) -> None:
        """Listener: the stream has room, so the next packets go out."""
        self._flush()

    def stream_ended(self, why: TransportError) -> None:
        """Listener: fail all requests under way with this reason."""
        self.fail(why)

    # Inside

    def _gone(self) -> TransportLost:
        """A fresh exception for each wait: one shared by many would collect all their tracebacks."""
        return TransportLost(str(self.lost))

    def _next(self) -> int:
        while True:
            self._number = (self._number + 1) & 0xFFFFFFFF
            if self._number not in self._pending:
                return self._number

    def _watch_from_now(self) -> None:
        """A first request is under way, so the stall limit starts now."""
        self._heard = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_at(self._heard + self._stall, self._check_stall)

    def _check_stall(self) -> None:
        """The timer has fired: fail the connection where a reply is overdue, else set the timer again."""
        self._watch = None
        if not self._pending:
            return
        patience = self._stall + self._extra_patience
        if self._loop.time() - self._heard >= patience:
            why = self._stream.standstill()
            reason = f"no answer from the server for {patience:.3g} s"
            self.fail(TransportLost(f"{reason}: {why}", REMEDY) if why else TransportLost(reason))
        else:
            due = self._heard + patience
            if self._extra_patience:  # a reply may end the extra patience at any time, so check earlier
                due = min(due, self._loop.time() + self._stall / 4)
            self._watch = self._loop.call_at(due, self._check_stall)

    def _flush_soon(self) -> None:
        self._flush_due = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self.lost is not None:
            return
        if self._short or self._long:
            self._pump()
        if self._out:
            parts, self._out = self._out, []
            self._out_bytes = 0
            self._stream.send(parts)

    def _pump(self) -> None:
        """Queue chunks while there is room for them."""
        window, out = self.window, self._out
        now = self._loop.time()
        backlog = self._stream.backlog()
        while (queue := self._short or self._long) and backlog + self._out_bytes < _BACKLOG:
            transfer = queue[0]
            if transfer.done.done():
                queue.popleft()
                continue
            count = min(window.chunk, transfer.size - transfer.offset)
            if not window.room(count):
                return
            if self._rests():
                return
            queue.popleft()
            data = transfer.read(self._pace.piece(count), window.largest)
            if not data:
                continue
            count = len(data)
            transfer.took(transfer.offset, data)
            self._pace.spend(count)
            number = self._next()
            if not self._pending:
                self._watch_from_now()
            self._pending[number] = WriteAck(transfer, transfer.offset, count, window.sent(count, now))
            out.append(packets.write_head(number, transfer.handle, transfer.offset, count))
            out.append(data)
            self._out_bytes += count + 64
            transfer.offset += count
            if transfer.offset < transfer.size:
                queue.append(transfer)
            else:
                transfer.sent()

    def _rests(self) -> bool:
        """Whether the rate limit forbids sending now; if so, a timer is set that flushes when it no longer does."""
        wait = self._pace.wait()
        if wait > 0 and self._resting is None:
            self._resting = self._loop.call_later(wait, self._rested)
        return wait > 0

    def _rested(self) -> None:
        self._resting = None
        self._flush()

    def _take(self, raw: bytes) -> None:
        if not self._greeted and self._version is not None and not self._version.done():
            self._greet(raw)
            return
        number, answer = packets.reply(raw)
        entry = self._pending.pop(number, None)
        if entry is None:
            raise Malformed(f"an answer to request {number}, which nobody made")
        if not isinstance(entry, WriteAck):
            if self._patience:
                self._extra_patience = max(0.0, self._extra_patience - self._patience.pop(number, 0.0)) if self._pending else 0.0
            if not entry.done():
                entry.set_result(answer)
            elif isinstance(answer, Handle):  # the requester was cancelled, and nobody else would close the handle
                self.request(packets.CLOSE, packets.string(answer.handle))
            return
        self.window.acknowledged(entry.count, entry.stamp, self._heard)
        if not isinstance(answer, Status):
            # The request is no longer in _pending, where ``fail`` would find the transfer.
            entry.transfer.fail(TransportLost("a WRITE was answered with something else"))
            raise Malformed(f"a WRITE was answered with a packet of type {raw[0]}")
        transfer = entry.transfer
        if transfer.done.done():
            return
        if answer.code != packets.OK:
            transfer.fail(WriteRefused(answer))
            return
        transfer.take(entry.offset, entry.count)
        try:
            transfer.progress(transfer.confirmed)
        except Exception as exc:  # noqa: BLE001 - an error of the caller's callback ends its upload, not this connection
            transfer.fail(exc)
            return
        if transfer.confirmed == transfer.size:
            transfer.done.set_result(None)

    def _greet(self, raw: bytes) -> None:
        assert self._version is not None
        spoken, self.extensions = packets.version(raw)
        if spoken < packets.VERSION_SPOKEN:
            raise Malformed(f"the server speaks only version {spoken} of SFTP, this needs 3")
        if spoken > packets.VERSION_SPOKEN:  # section 4: the lower one of the two; the packets of a higher one read otherwise
            raise Malformed(f"the server answers with version {spoken} of SFTP, though version 3 was asked for")
        self._greeted = True
        self._version.set_result(None)


def _set_lost(future: asyncio.Future[Reply] | asyncio.Future[None], why: TransportError) -> None:
    if not future.done():
        future.set_exception(why)
        future.exception()  # marks it as seen: many waits end at once and not all have a reader
