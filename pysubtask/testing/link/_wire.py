"""The inside of the relay: a lane's faults, a pipe that obeys them, a connection made of two pipes.

Everything here runs on the relay's own event loop, except the public methods of ``Connection``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from .relay import Relay

Direction = Literal["up", "down", "both"]
How = Literal["rst", "fin"]

_BLOCK = 64 * 1024
_FASTEST = 64 * 1024 * 1024  # bytes/s that an unthrottled delayed lane has room for
_SLICE_SECS = 0.02
_LINGER_SECS = 5.0


class Drop(NamedTuple):
    """An order to cut: ``after`` so many bytes, counted per connection or in all (``scope``: "connection" or "total"), by
    ``how``: "rst" or "fin"."""

    after: int
    scope: str
    how: How


class Lane:
    """One direction of the whole relay: its faults and its total."""

    def __init__(self) -> None:
        self.total = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.free_at = 0.0
        self.pass_left: int | None = None
        self.drop: Drop | None = None
        self.drop_base = 0
        self.drops_left: int | None = None

    def heal(self) -> None:
        """Take every fault off; the total of forwarded bytes stays."""
        self.delay, self.rate, self.pass_left, self.drop = 0.0, None, None, None


class Pipe:
    """One direction of one connection: it reads here, holds the bytes as long as the faults ask, and writes there."""

    def __init__(self, lane: Lane, connection: Connection) -> None:
        self.lane = lane
        self.connection = connection
        self.wake = asyncio.Event()
        self.forwarded = 0
        self.drop_base = 0
        self.frozen = False
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued = 0

    def _held(self) -> bool:
        return self.frozen or self.lane.pass_left == 0 or self.connection.cutting

    async def _pause(self, secs: float | None = None) -> None:
        self.wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self.wake.wait()

    async def read(self, source: socket.socket) -> None:
        """Read from ``source`` until its stream ends; an empty block in the queue represents that end. OSError where the socket
        fails."""
        loop = asyncio.get_running_loop()
        while True:
            room = _BLOCK + self.lane.delay * (self.lane.rate or _FASTEST)
            if self._held() or self._queued >= room:
                await self._pause()
                continue
            block = await loop.sock_recv(source, _BLOCK)
            self._queue.append((loop.time() + self.lane.delay, block))
            self._queued += len(block)
            self.wake.set()
            if not block:
                return

    async def write(self, target: socket.socket) -> None:
        """Write to ``target`` each block once its delay, the rate and the faults allow, and the end of the stream after the
        last. OSError where the socket fails."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue or self._held():
                await self._pause()
                continue
            due, block = self._queue[0]
            ready = max(due, self.lane.free_at if self.lane.rate and block else 0.0)
            if ready > loop.time():
                await self._pause(ready - loop.time())
                continue
            if not block:
                target.shutdown(socket.SHUT_WR)
                return
            allowed = self._allowed(len(block))
            if not allowed:
                self._fire()
                continue
            try:
                sent = target.send(block[:allowed])
            except BlockingIOError:
                await _writable(target)
                continue
            self._count(sent, loop.time())
            if sent == len(block):
                self._queue.popleft()
            else:
                self._queue[0] = (due, block[sent:])
            self._queued -= sent
            self.wake.set()
            if self._drop_left() == 0:
                self._fire()

    def _drop_left(self) -> int | None:
        drop = self.lane.drop
        if drop is None:
            return None
        done = self.lane.total - self.lane.drop_base if drop.scope == "total" else self.forwarded - self.drop_base
        return max(0, drop.after - done)

    def _allowed(self, requested: int) -> int:
        limits = [requested, self.lane.pass_left, self._drop_left()]
        if self.lane.rate:
            limits.append(max(1, int(self.lane.rate * _SLICE_SECS)))
        return min(limit for limit in limits if limit is not None)

    def _count(self, sent: int, now: float) -> None:
        self.forwarded += sent
        self.lane.total += sent
        if self.lane.pass_left is not None:
            self.lane.pass_left -= sent
        if self.lane.rate:
            self.lane.free_at = max(now, self.lane.free_at) + sent / self.lane.rate

    def _fire(self) -> None:
        drop = self.lane.drop
        assert drop is not None
        if self.lane.drops_left is not None:
            self.lane.drops_left -= 1
            if self.lane.drops_left <= 0:
                self.lane.drop = None
        self.connection.relay.drops += 1
        self.connection._order_cut(drop.how)


class Connection:
    """One client's connection through the relay. ``up`` and ``down`` are the bytes forwarded so far."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        self.relay = relay
        self.cutting = False
        self._target = relay.target
        self._client = client
        self._server: socket.socket | None = None
        self._up = Pipe(relay._lanes["up"], self)
        self._down = Pipe(relay._lanes["down"], self)
        self._how: asyncio.Future[How] = asyncio.get_running_loop().create_future()
        self._is_cut = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def up(self) -> int:
        """Bytes forwarded to the server."""
        return self._up.forwarded

    @property
    def down(self) -> int:
        """Bytes forwarded to the client."""
        return self._down.forwarded

    def stall(self, direction: Direction = "both") -> None:
        """Stop forwarding on this connection alone; its sockets stay open."""
        self._freeze(direction, True)

    def thaw(self, direction: Direction = "both") -> None:
        """Forward again on this connection, beginning with what was held back."""
        self._freeze(direction, False)

    def cut(self, how: How = "rst") -> None:
        """End this connection on both sides: ``"rst"`` a reset, ``"fin"`` an orderly end of the stream. ValueError for any
        other ``how``."""
        check_how(how)
        self.relay._await(lambda: self._cut(how))

    def _freeze(self, direction: Direction, frozen: bool) -> None:
        def order() -> None:
            for pipe in self._pipes(direction):
                pipe.frozen = frozen
                pipe.wake.set()

        lane_names(direction)
        self.relay._order(order)

    def _pipes(self, direction: Direction) -> list[Pipe]:
        return [pipe for name, pipe in (("up", self._up), ("down", self._down)) if direction in (name, "both")]

    def _order_cut(self, how: How) -> None:
        self.cutting = True
        if not self._how.done():
            self._how.set_result(how)

    async def _cut(self, how: How) -> None:
        self._order_cut(how)
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._is_cut.wait()), self._task]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waits[0].cancel()

    async def _run(self) -> None:
        """Forward until both sides have ended, one of them failed, or a cut was ordered."""
        tasks: list[asyncio.Task[None]] = []
        try:
            self._server = await self._reach()
            for pipe, source, target in ((self._up, self._client, self._server), (self._down, self._server, self._client)):
                tasks += [asyncio.ensure_future(pipe.read(source)), asyncio.ensure_future(pipe.write(target))]
            running: set[asyncio.Future[Any]] = set(tasks)
            while running and not self._how.done():
                done, _ = await asyncio.wait([*running, self._how], return_when=asyncio.FIRST_COMPLETED)
                for task in done & running:
                    task.result()
                running -= done
            if not self._how.done():
                self._close()
                return
            await end_tasks(tasks)
            await self._break(self._how.result())
        except OSError:
            self._reset()  # one side failed: the other one gets the same end
        finally:
            await end_tasks(tasks)
            self._reset()
            self.relay._connections.discard(self)

    async def _reach(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        family, kind, proto, _, address = (await _addresses(*self._target))[0]
        server = socket.socket(family, kind, proto)
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reaching = asyncio.ensure_future(loop.sock_connect(server, address))
        try:
            first: list[asyncio.Future[Any]] = [reaching, self._how]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not reaching.done():
                raise ConnectionAbortedError("cut before the server was reached")
            reaching.result()
        except BaseException:
            await end_tasks([reaching])
            server.close()
            raise
        return server

    async def _break(self, how: How) -> None:
        """Both sides first get the bytes that were forwarded to them, then the end."""
        sides = self._sides()
        for side in sides:
            await _drained(side)
        if how == "fin":
            for side in sides:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_WR)
        else:
            self._reset()
        self.relay._connections.discard(self)
        self._is_cut.set()
        if how == "fin":  # closing with unread bytes would turn the end into a reset
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_SECS):
                    await asyncio.gather(*(_swallow(side) for side in sides))
            self._close()

    def _sides(self) -> list[socket.socket]:
        return [side for side in (self._client, self._server) if side is not None and side.fileno() >= 0]

    def _close(self) -> None:
        for side in self._sides():
            side.close()

    def _reset(self) -> None:
        for side in self._sides():
            with contextlib.suppress(OSError):  # the peer has reset it before us
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.close()


def check_how(how: str) -> None:
    """ValueError where a connection cannot be ended by ``how``."""
    if how not in ("rst", "fin"):
        raise ValueError(f"a connection ends by 'rst' or 'fin', not by {how!r}")


def lane_names(direction: str) -> tuple[str, ...]:
    """The lanes that a direction names: one, or both. ValueError where it is no direction."""
    if direction not in ("up", "down", "both"):
        raise ValueError(f"the direction is 'up', 'down' or 'both', not {direction!r}")
    return ("up", "down") if direction == "both" else (direction,)


async def end_tasks(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until they are over."""
    known = list(tasks)
    for task in known:
        task.cancel()
    if known:
        await asyncio.wait(known)
    for task in known:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved


async def _addresses(host: str, port: int) -> Any:
    """As getaddrinfo returns them. A number waits for no thread: a relay that reaches an FTP server's passive port late may get
    there when the server has opened that port for another transfer."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _writable(target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    handle = target.fileno()
    loop.add_writer(handle, _tell, ready)
    try:
        await ready
    finally:
        loop.remove_writer(handle)


async def _drained(side: socket.socket) -> None:
    """Wait until the peer's kernel has every byte (Linux: SIOCOUTQ is 0), at most _LINGER_SECS."""
    if sys.platform == "win32":
        raise NotImplementedError
    loop = asyncio.get_running_loop()
    limit = loop.time() + _LINGER_SECS
    if sys.platform == "win32":  # the kernel does not tell how many bytes are in flight
        return
    import fcntl
    import termios

    while loop.time() < limit:
        try:
            if not struct.unpack("i", fcntl.ioctl(side.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]:
                return
        except OSError:
            return
        await asyncio.sleep(0.001)


async def _swallow(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(side, _BLOCK):
            continue
