"""A relay in front of an FTP server whose data connections go through it, too.

An FTP client takes the port of a data connection from the server's answer and the address from where it is
connected to. So the relay listens on another loopback address than the server, on the control port and on every
passive port of the server; nothing in the stream is changed, which leaves TLS alone. Linux.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from ..servers.ports import ADDRESS
from ._wire import Connection, end_tasks
from .relay import Relay


class FTPRelay(Relay):
    """Talk to ``host``:``port``. ``data_ports`` are the server's passive ports; the server is on 127.0.0.1.

    ``connections`` are those to the control port; faults concern all. ``accepted`` counts all.
    """

    def __init__(self, server_port: int, data_ports: Sequence[int], *, buffer: int | None = None) -> None:
        self._data_ports = data_ports
        self._data: list[asyncio.Task[None]] = []
        super().__init__("127.0.0.1", server_port, buffer=buffer)
        self.host = ADDRESS

    @property
    def connections(self) -> list[Connection]:
        """The open connections to the control port; data connections are not among them."""

        def order() -> list[Connection]:
            return [one for one in self._connections if not isinstance(one, _DataConnection)]

        return self._order(order)

    def _bound(self, port: int) -> socket.socket:
        self.host = ADDRESS
        return super()._bound(port)

    def _listen(self) -> None:
        super()._listen()
        if not self._data:
            for port in self._data_ports:
                listener = self._bound(port)
                listener.listen(16)
                self._data.append(asyncio.ensure_future(self._accept_data(listener, port)))

    async def _accept_data(self, listener: socket.socket, port: int) -> None:
        with listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self._connections.add(_DataConnection(self, client, port))

    async def _stop_listening(self) -> None:
        data, self._data = self._data, []
        await end_tasks(data)
        await super()._stop_listening()


class _DataConnection(Connection):
    """A connection to one of the server's passive ports."""

    def __init__(self, relay: Relay, client: socket.socket, port: int) -> None:
        super().__init__(relay, client)
        self._target = ("127.0.0.1", port)  # read by the task, which has not begun
