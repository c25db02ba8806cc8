"""A relay in front of an FTP server whose data connections go through it, too.

An FTP client takes the port of a data connection from the server's answer and the address from where it is
connected to. So the relay listens on another loopback address than the server, on the control port and on every
passive port of the server; nothing in the stream is changed, which leaves TLS alone. Linux.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence

from ._wire import Connection, end_tasks
from .relay import Relay

ADDRESS = "127.0.0.2"
_CLAIM_ADDRESS = "127.41.0.1"
_FIRST_PORT, _LAST_PORT, _ROW = 20_032, 32_000, 64


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
        self._target = ("127.0.0.1", port)  # looked at in the task, which has not begun


class PortRow:
    """So many TCP ports in a row, below those the system gives out, that nobody listens on and no other PortRow has, in any
    process of this machine, until it is closed or its process ends. RuntimeError where there are none.

    A server's passive ports are free most of the time. Another server that began in the same row would have its first
    caller taken for a data connection of this one's.
    """

    def __init__(self, count: int) -> None:
        starts = list(range(_FIRST_PORT, _LAST_PORT, _ROW))
        if count > _ROW:
            raise ValueError(f"a row has {_ROW} ports, not {count}")
        random.shuffle(starts)
        for start in starts:
            self._claim = socket.socket()
            try:
                # Bound and never listening, where nothing else is: whoever has it, has the row.
                self._claim.bind((_CLAIM_ADDRESS, start))
                self.ports = range(start, start + count)
                for port in self.ports:
                    for address in ("127.0.0.1", ADDRESS):
                        with socket.socket() as probe:
                            probe.bind((address, port))
            except OSError:
                self._claim.close()
                continue
            return
        raise RuntimeError(f"no {count} free ports in a row")

    def close(self) -> None:
        """Others may have these ports; harmless twice."""
        self._claim.close()
