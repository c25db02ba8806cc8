"""A relay for FTP that forwards the data connections, too, for any ports that the server gives out.

The port of a data connection is in a reply on the control connection (RFC 959, PASV; RFC 2428, EPSV). The relay reads the
replies as they pass, and listens on that port before it forwards the reply. Under TLS it cannot read the replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket

from ...testing.link._wire import Connection, Pipe, end_tasks
from ...testing.link.relay import Relay
from ...testing.servers.ports import ADDRESS

_EPSV = re.compile(rb"^229 .*\(\|\|\|(\d{1,5})\|\)", re.MULTILINE)
_PASV = re.compile(rb"^227 .*?\d+,\d+,\d+,\d+,(\d{1,3}),(\d{1,3})", re.MULTILINE)


def ports_in(replies: bytes) -> list[int]:
    """The data ports in replies. Pure."""
    found = [int(port) for port in _EPSV.findall(replies)]
    found += [int(high) * 256 + int(low) for high, low in _PASV.findall(replies)]
    return [port for port in found if 0 < port < 65536]


class FTPLink(Relay):
    """Listens on ``host``:``port`` and forwards to ``server``:``server_port``. Plain FTP in passive mode only. Linux only."""

    def __init__(self, server: str, server_port: int) -> None:
        self._data: dict[int, asyncio.Task[None]] = {}
        super().__init__(server, server_port)

    def listen_for_data(self, port: int) -> None:
        """Listen on a data port of the server. Called on the event loop."""
        if port in self._data:
            return
        try:
            listener = self._bound(port)
        except OSError:
            return  # a server on this machine listens on all addresses: its data connections bypass the relay
        listener.listen(4)
        self._data[port] = asyncio.ensure_future(self._accept_data(listener, port))

    async def _accept_data(self, listener: socket.socket, port: int) -> None:
        with listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self._connections.add(_Data(self, client, port))

    async def _accept_on(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self._connections.add(_Control(self, client))

    def _bound(self, port: int) -> socket.socket:
        self.host = ADDRESS  # the server's own address is in use where the server is on this machine
        return super()._bound(port)

    async def _stop_listening(self) -> None:
        data, self._data = self._data, {}
        await end_tasks(list(data.values()))
        await super()._stop_listening()


class _Data(Connection):
    def __init__(self, relay: Relay, client: socket.socket, port: int) -> None:
        super().__init__(relay, client)
        self._target = (relay.target[0], port)  # the connection's task reads it later, when it starts


class _Control(Connection):
    def __init__(self, relay: FTPLink, client: socket.socket) -> None:
        super().__init__(relay, client)
        self._down = _Listening(relay, self)


class _Listening(Pipe):
    """The direction from the server to the client, with the replies read as they pass."""

    def __init__(self, relay: FTPLink, connection: Connection) -> None:
        super().__init__(relay._lanes["down"], connection)
        self._relay = relay
        self._last = b""

    async def read(self, source: socket.socket) -> None:
        """Read each block before the relay forwards it, so that the relay listens on a data port before the client knows the
        port."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        passing = asyncio.ensure_future(super().read(theirs))
        try:
            while block := await loop.sock_recv(source, 65536):
                self._last = (self._last + block)[-4096:]
                for port in ports_in(self._last):
                    self._relay.listen_for_data(port)
                await loop.sock_sendall(ours, block)
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
            await passing
        finally:
            await end_tasks([passing])
            ours.close()
            theirs.close()
