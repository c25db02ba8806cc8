"""The network between FTPTransport and the model of an FTP server: sockets that hand each byte over where it is sent, and the
transport's threads and clock on the caller's thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pysubtask.common.errors import TransportLost
from pysubtask.transports.ftp import arrival, control_connection, data, pool, session, sockets, transfers, transport
from pysubtask.transports.ftp.pool import Pool
from pysubtask.transports.ftp.session import Session
from pysubtask.transports.ftp.transport import _Reporter

from .ftp_model import ModelFTP

_V = TypeVar("_V")

_HOST = "127.0.0.1"
_FIRST_PORT = 40_000
_CLOCKED = (arrival, control_connection, data, pool, session, sockets, transfers, transport)
"""The modules that read a clock or wait."""


class _Socket(socket.socket):
    """One end of a pair: what code of the kernel does to it (shutdown, close) is seen at ``peer``."""

    def __init__(self) -> None:
        here, self.peer = socket.socketpair()
        super().__init__(fileno=here.detach())
        self.peer.setblocking(False)

    @property
    def family(self) -> socket.AddressFamily:
        """That of the connection which this stands for."""
        return socket.AF_INET

    def setsockopt(self, *args: Any) -> None:
        """Nothing: there is no TCP."""

    def settimeout(self, value: float | None) -> None:
        """Nothing: no call waits."""

    def getpeername(self) -> Any:
        """The address of the server."""
        return (_HOST, 21)

    def is_over(self) -> bool:
        """Whether this side has ended what it sends."""
        try:
            return self.peer.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class _ControlSocket(_Socket):
    def __init__(self, network: Network, server: ModelFTP) -> None:
        super().__init__()
        self._network = network
        self._server = server

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Each line is a command."""
        if self._server.ended:
            raise BrokenPipeError("the link is cut")
        for line in bytes(data).split(b"\r\n")[:-1]:
            self._server.command(line.decode("utf-8", "surrogateescape"))

    def send(self, data: Any, flags: int = 0) -> int:
        """QUIT, whose answer nobody reads."""
        return len(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Replies; b'' at the end of the connection."""
        if self._server.ended or self.is_over():
            return b""
        found = self._server.answer(self._network.has_data_ended)
        if not found:
            raise BlockingIOError("nothing is to be said")
        return found

    def close(self) -> None:
        """End the connection."""
        self._network.lose(self._server)
        super().close()


class _DataSocket(_Socket):
    def __init__(self, network: Network, server: ModelFTP) -> None:
        super().__init__()
        self._network = network
        self._server = server
        self._drops = False

    def send(self, data: Any, flags: int = 0) -> int:
        """The next piece; how many bytes it has."""
        server, transfer = self._server, self._server.transfer
        piece = bytes(data[: server.rules.piece])
        if transfer is not None and self._network.cuts(server, transfer.end + len(piece)):
            if not server.rules.quietly:
                self._network.lose(server)
                raise ConnectionResetError("the link is cut")
            self._drops = True
        if not self._drops:
            server.data(piece)
        return len(piece)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Bytes of a file or of a listing."""
        found, self._server.outgoing = self._server.outgoing[:size], self._server.outgoing[size:]
        return found


class _Clock:
    """The module ``time``, but for waits, which move the clock."""

    def __init__(self, now: Callable[[], float], wait: Callable[[float], None]) -> None:
        self.monotonic = now
        self.sleep = wait

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Network:
    """``reach`` gives the server that answers a new control connection. ``step`` counts steps; ``late_dir`` takes what a slow
    server has left undone when its link is cut; ``may_cut`` tells, and records, that the link breaks now."""

    def __init__(
        self, reach: Callable[[], ModelFTP], step: Callable[[str], None], late_dir: str, may_cut: Callable[[], bool]
    ) -> None:
        self._reach = reach
        self._step = step
        self._late_dir = late_dir
        self._may_cut = may_cut
        self._ports: dict[int, ModelFTP] = {}
        self._data: _DataSocket | None = None

    def parts(self, now: Callable[[], float], wait: Callable[[float], None]) -> list[tuple[Any, str, Any]]:
        """What to replace: (module or class, name, part)."""
        return [
            (control_connection, "dial_name", self._dial_name),
            (control_connection, "dial", self._dial),
            (Pool, "_run_in_thread", _run_here),
            (_Reporter, "_hand", _hand_at_once),
            *((module, "time", _Clock(now, wait)) for module in _CLOCKED),
        ]

    def _dial_name(self, host: str, port: int, secs: float, *, adopt: Callable[[socket.socket], Any], **_: Any) -> socket.socket:
        self._step("connect")
        server = self._reach()
        server.on_port(lambda: self._port_of(server))
        sock = _ControlSocket(self, server)
        adopt(sock)
        return sock

    def _port_of(self, server: ModelFTP) -> int:
        port = _FIRST_PORT + len(self._ports)
        self._ports[port] = server
        return port

    def _dial(self, places: Any, until: float, *, adopt: Callable[[socket.socket], Any], **_: Any) -> socket.socket:
        ((_, address),) = places
        self._data = _DataSocket(self, self._ports[address[1]])
        adopt(self._data)
        return self._data

    def has_data_ended(self) -> bool:
        """Whether the client has ended its last data connection."""
        return self._data is None or self._data.is_over()

    def cuts(self, server: ModelFTP, offset: int) -> bool:
        """Whether the link breaks before a transfer comes to ``offset``."""
        return 0 < server.rules.cut_at <= offset and self._may_cut()

    def lose(self, server: ModelFTP) -> None:
        """End a connection; a slow server will carry out later what it has received."""
        if not server.ended and server.slow:
            server.keep_late(self._late_dir)
        if not server.ended:
            server.end()


async def _run_here(self: Pool, session: Session, work: Callable[[], _V], limit: float) -> _V:
    """In the place of ``Pool._run_in_thread``."""
    if self._closed.done():
        raise TransportLost("closed meanwhile")
    session.control.enter(limit)
    try:
        return work()
    finally:
        session.control.leave()


def _hand_at_once(self: _Reporter, call: Callable[[_V], None], value: _V) -> None:
    """In the place of ``_Reporter._hand``: this is the loop's own thread."""
    call(value)
