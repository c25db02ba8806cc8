"""A TCP relay that breaks things on demand: put it in front of any server and talk to its port.

::

    with Relay("127.0.0.1", server_port) as relay:
        client = connect("127.0.0.1", relay.port)
        relay.drop("up", after=10_000)     # exactly 10,000 more bytes reach the server, then a reset
        relay.stall()                      # a frozen link: sockets stay open, nothing passes
        relay.thaw()
        relay.heal()                       # every fault off

It runs in a thread of its own with its own event loop, listens on 127.0.0.1, and takes orders from
any thread while it runs. ``"up"`` is from the client to the server, ``"down"`` from the server to
the client. An order that returned is in force: bytes forwarded later obey it. Bytes count at the
moment they are handed to the receiving side's socket, and a cut waits until that side's kernel has
them, so "after n bytes" is exact.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, TypeVar

from ._wire import Connection, Direction, Drop, How, Lane, check_how, end_tasks, lane_names

_T = TypeVar("_T")
_ORDER_SECS = 30.0


class Relay:
    """A relay from 127.0.0.1:``port`` to ``host``:``server_port``; a context manager.

    ``buffer`` (bytes) bounds what the kernel takes from a client ahead of the relay, for tests in
    which a throttled link must not hide megabytes in socket buffers. ``port`` 0 takes a free one.
    Raises OSError where the port cannot be had.
    """

    def __init__(self, host: str, server_port: int, *, port: int = 0, buffer: int | None = None) -> None:
        self.target = (host, server_port)
        self.host = "127.0.0.1"
        self.accepted = 0
        self.drops = 0
        self._buffer = buffer
        self._lanes = {"up": Lane(), "down": Lane()}
        self._connections: set[Connection] = set()
        self._accepting: asyncio.Task[None] | None = None
        # Bound but never listening: no other process gets the port while connections are refused.
        self._holder = self._bound(port)
        self.port: int = self._holder.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"relay-{self.port}", daemon=True)
        self._thread.start()
        try:
            self.accept()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def up(self) -> int:
        """Bytes forwarded to the server, over all connections."""
        return self._lanes["up"].total

    @property
    def down(self) -> int:
        """Bytes forwarded to clients, over all connections."""
        return self._lanes["down"].total

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open now, each with ``up`` and ``down``."""
        return self._order(lambda: list(self._connections))

    @property
    def address(self) -> tuple[str, int]:
        """``host`` and ``port``, as :func:`socket.create_connection` takes an address."""
        return self.host, self.port

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED) until ``accept()``; open ones go on."""
        self._await(self._stop_listening)

    def accept(self) -> None:
        """Take new connections again."""
        self._order(self._listen)

    def drop(
        self, direction: Literal["up", "down"], after: int, *, how: How = "rst", scope: str = "connection", times: int | None = 1
    ) -> None:
        """Forward exactly ``after`` more bytes in a direction, then cut the connection on both sides.

        The cut comes with the last of these bytes; with 0 it comes when the first byte arrives, which is not forwarded.
        ``scope`` ``"connection"`` counts each connection for itself (from this order or from its opening), ``"total"`` counts
        all together. ``how`` is ``"rst"`` or ``"fin"``. The order is spent after ``times`` cuts; None keeps it until ``heal``.
        ``drops`` counts cuts. ValueError for a direction, a scope, a ``how`` or a number of bytes that cannot be.
        """
        check_how(how)
        if direction not in ("up", "down") or scope not in ("connection", "total") or after < 0:
            raise ValueError(f"direction 'up' or 'down', scope 'connection' or 'total', after >= 0; not {direction, scope, after}")

        def order() -> None:
            lane = self._lanes[direction]
            lane.drop, lane.drops_left, lane.drop_base = Drop(after, scope, how), times, lane.total
            for connection in self._connections:
                for pipe in connection._pipes(direction):
                    pipe.drop_base = pipe.forwarded

        self._order(order)

    def stall(self, direction: Direction = "both", *, after: int = 0) -> None:
        """Forward ``after`` more bytes (all connections together, each direction for itself), then
        nothing; sockets stay open, new connections are taken and stall too."""
        self._set(direction, lambda lane: setattr(lane, "pass_left", after))

    def thaw(self, direction: Direction = "both") -> None:
        """Forward again, beginning with the bytes that were held back. A connection that was stalled by its own ``stall`` stays
        stalled."""
        self._set(direction, lambda lane: setattr(lane, "pass_left", None))

    @property
    def stalled(self) -> bool:
        """Whether a direction is held by ``stall`` now (its ``after`` bytes have passed)."""
        return any(lane.pass_left == 0 for lane in self._lanes.values())

    def delay(self, secs: float, direction: Direction = "both") -> None:
        """Every byte read from now on arrives ``secs`` later; the rate stays. 0 ends it."""
        self._set(direction, lambda lane: setattr(lane, "delay", secs))

    def throttle(self, rate: float | None, direction: Direction = "both") -> None:
        """At most ``rate`` bytes per second in each direction, all connections together. None ends it. ValueError for a rate
        that is not above 0."""
        if rate is not None and rate <= 0:
            raise ValueError("a rate is above 0 bytes/s; stall() lets nothing pass")
        self._set(direction, lambda lane: setattr(lane, "rate", rate))

    def heal(self) -> None:
        """Take every fault off: accept, thaw (single connections too), no drop, no delay, no throttle."""
        self._set("both", Lane.heal)
        for connection in self.connections:
            connection.thaw()
        self.accept()

    def cut_all(self, how: How = "rst") -> None:
        """Cut every open connection; return when both sides of each have got the end. ValueError where ``how`` is neither "rst"
        nor "fin"."""
        check_how(how)

        async def order() -> None:
            await asyncio.gather(*(connection._cut(how) for connection in self._connections))

        self._await(order)

    def close(self) -> None:
        """Stop listening, reset what is open, end the thread. May be called twice. RuntimeError where the thread does not end
        within 30 s."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ORDER_SECS)
            if self._thread.is_alive():
                raise RuntimeError(f"the relay's thread did not end within {_ORDER_SECS:.0f} s")
        self._holder.close()

    def _set(self, direction: Direction, change: Callable[[Lane], None]) -> None:
        def order() -> None:
            for name in names:
                change(self._lanes[name])
                self._lanes[name].free_at = 0.0
            for connection in self._connections:
                for pipe in connection._pipes("both"):
                    pipe.wake.set()

        names = lane_names(direction)
        self._order(order)

    def _order(self, change: Callable[[], _T]) -> _T:
        async def order() -> _T:
            return change()

        return self._await(order)

    def _await(self, order: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            return await order()

        if not self._thread.is_alive():
            raise RuntimeError("the relay is closed")
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_ORDER_SECS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop_listening())
        tasks = asyncio.all_tasks(self._loop)
        self._loop.run_until_complete(end_tasks(tasks))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _bound(self, port: int) -> socket.socket:
        fresh = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._buffer is not None:
                fresh.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            fresh.bind((self.host, port))
        except BaseException:
            fresh.close()
            raise
        fresh.setblocking(False)
        return fresh

    def _listen(self) -> None:
        if self._accepting is None:
            listener = self._bound(self.port)
            listener.listen(128)
            self._accepting = asyncio.ensure_future(self._accept_on(listener))

    async def _accept_on(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self._connections.add(Connection(self, client))

    async def _stop_listening(self) -> None:
        if self._accepting is not None:
            accepting, self._accepting = self._accepting, None
            await end_tasks([accepting])
