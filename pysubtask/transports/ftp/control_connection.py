"""One control connection and its data connections. Blocking, for one thread at a time.

Built on ftplib, with what ftplib lacks: a time limit for each reply, EPSV over IPv4, file names of any bytes.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
import ssl
import time
from collections.abc import Callable

from ...common.errors import TransportLost
from ..shared.dial import dial, dial_name
from ..shared.meter import Meter
from ..shared.pace import Pace
from .options import Login
from .replies import CannotRestart, NotFTP, Reply, Standstill, not_ftp
from .server_features import DataLost, NoPassivePort, NotConnected
from .sockets import Sockets, keep_alive
from .tls import handshake_error

_LONGEST_LINE = 8192  # bytes; ftplib has the same limit: a server must not fill the memory
_LONGEST_REPLY = 256 * 1024  # bytes: longer than any banner, and a server must not fill the memory
_MOST_PRELIMINARY = 100  # replies 1yz to one command; a server that sends more would hold the thread for ever
_FINAL_REPLY_SECS = 2.0  # for the reason of a failure, after the server was silent for a whole time limit
_LEAST_PORT = 1024  # below are other services: a server must not be able to direct data to them
_LONGEST_PORT_WORDS = 1024  # characters that are searched for a port, as the search takes longer than linear time
_OPENING = "opening a data connection"
_SLICE_SECS = 1.0  # how often the kernel is asked whether bytes moved, while a reply is awaited
# Replies of a Telnet layer (RFC 854) to the byte 255 in a name, in front of the FTP reply; no FTP reply begins with 255.
_TELNET = re.compile(rb"\A(?:\xff[\xfb-\xfe].|\xff[\xf0-\xfa])+", re.DOTALL)
_STARTS_REPLY = re.compile(r"[1-6][0-9]{2}(?:[ -]|\Z)")

Moved = Callable[[], bool]


class ControlConnection(Sockets):
    """``open`` it, ``ask`` it; any thread may ``cut`` it. Raises OSError, EOFError, NotFTP, ftplib.Error.

    ``passive_commands``: "epsv" and "pasv" in the order in which they are sent. ``data_method``: how the last data connection
    was opened ("epsv", "pasv", "pasv_control_address" or "active"). ``refused``: the server's reply to the command tried before
    that one; ``unknown``: the server did not even know that command. ``ended``: the server ended this connection, which says
    nothing about others. ``spoilt``: replies no longer match commands, so the connection must not be used again. ``escapes``:
    whether the byte 255 is sent twice (RFC 854). ``standstill``: why the present transfer does not move, where the kernel
    tells.
    """

    def __init__(self, login: Login, pace: Pace, meter: Meter) -> None:
        super().__init__(login, meter)
        self.pace = pace
        self.passive_commands: tuple[str, ...] = ("epsv", "pasv")
        self.data_method = self.refused = ""
        self.unknown = False
        self.escapes: Callable[[], bool] = lambda: False
        self._buffer = bytearray()
        self._reply_size = 0
        self._moved: Moved | None = None
        self._reply_end = 0.0
        self.standstill = ""  # why the present transfer does not move, where the kernel tells
        self.ended = self.spoilt = False

    # --- opening and ending

    def open(self, context: ssl.SSLContext | None) -> Reply:
        """Connect, begin TLS where it is implicit, and read the greeting."""
        login, self._context = self.login_data, context
        self.host = login.host
        self.sock = dial_name(
            login.host,
            login.port,
            min(self.wait(), login.connect_secs),
            adopt=self._adopt,
            drop=self.drop,
            over=lambda: self._aborted,
        )
        self.af = self.sock.family
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(self.sock)
        if login.tls == "implicit":
            self.secure()
        return self.read_reply()

    def secure(self) -> None:
        """Begin TLS. Raises ConnectionAbortedError after ``cut``, TransportLost where plain text followed the reply to AUTH, the
        error of ``handshake_error`` where the handshake failed."""
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        if self._buffer:
            raise TransportLost("the server sent more than its answer before TLS began: somebody may sit in between")
        try:
            self.sock = self._wrap(self.sock)
        except ssl.SSLError as exc:
            raise handshake_error(self.login_data, exc) from exc

    def send_quit(self) -> None:
        """Send QUIT without waiting for the reply, and close."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if self.sock is not None:
                self.sock.settimeout(0)
                self.sock.send(b"QUIT\r\n")
        self.close()

    def is_over(self) -> bool:
        """Whether the server has closed the connection, or has sent something, while no reply was due. Never waits."""
        try:
            if self.sock is None:
                return True
            self.sock.settimeout(0)
            self._buffer += self.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True

    def has_reply(self) -> bool:
        """Whether a line of a reply has arrived. Never waits. Raises EOFError or OSError where the connection has ended."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            assert self.sock is not None
            self.sock.settimeout(0)
            block = self.sock.recv(4096)
            if not block:
                raise EOFError
            self._buffer += block
        return b"\n" in self._buffer

    # --- commands and replies

    def ask(self, command: str, patience: float = 0.0) -> Reply:
        """Send a command and read its reply. Preliminary replies (1yz) to commands that transfer nothing are skipped; all
        replies to one command share one time limit. ``patience``: more seconds for a command that takes long."""
        self.putcmd(command)
        end = time.monotonic() + self.wait(patience)
        for _ in range(_MOST_PRELIMINARY):
            reply = self.read_reply(end=end)
            if reply.code >= 200:
                return reply
        raise ftplib.error_proto(f"{_MOST_PRELIMINARY} replies 1yz and no other: {reply}")

    def begin(self, command: str) -> Reply:
        """Send a command and read its first reply, a preliminary one (1yz) included."""
        self.putcmd(command)
        return self.read_reply()

    def read_reply(self, moved: Moved | None = None, patience: float = 0.0, end: float | None = None) -> Reply:
        """Read one reply within one time limit, in however many lines and packets it comes.

        ``moved``: the limit begins again whenever this returns True, for a transfer whose last bytes are still under way.
        ``patience``: more seconds than the usual limit. ``end``: when (monotonic) the reply must be complete, instead of a
        limit from now on. Raises TransportLost for 421, after which the server closes the connection, NotFTP for anything but a
        reply, TimeoutError.
        """
        self._reply_size = 0
        self._moved = moved
        self._reply_end = time.monotonic() + self.wait(patience) if end is None else end
        try:
            lines = [self.getline()]
            code = lines[0][:3]
            if not _STARTS_REPLY.match(lines[0]):
                raise NotFTP(not_ftp(lines[0].encode("utf-8", "surrogateescape") + bytes(self._buffer)))
            # RFC 959 4.2: a reply goes from "code-" to a line that begins with "code " (some servers leave the space out).
            while lines[0][3:4] == "-" and (len(lines) == 1 or lines[-1][:3] != code or lines[-1][3:4] == "-"):
                lines.append(self.getline())
        except TimeoutError as exc:
            raise (Standstill(self.standstill) if self.standstill else exc) from exc
        finally:
            self._moved = None
        reply = Reply(int(code), tuple(lines))
        if reply.code == 421:
            self.ended = True
            raise TransportLost(f"the server ends the connection: {reply}")
        return reply

    def final_reply(self) -> Reply:
        """Read one reply for a moment only: the server has been silent for a whole time limit already."""
        return self.read_reply(end=time.monotonic() + min(_FINAL_REPLY_SECS, self.wait()))

    def putline(self, line: str) -> None:
        """Send one line, encoded as names are. Raises ValueError for a line break, ConnectionAbortedError after ``cut``."""
        if any(sign in line for sign in "\r\n\0"):
            raise ValueError("a line break in a command")  # every name was checked before, so this is a defect of the caller
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        self.sock.settimeout(self.wait())
        raw = line.encode("utf-8", "surrogateescape")
        # RFC 959 3.3 and RFC 854: the byte 255 begins a Telnet command; sent twice, it is the byte itself.
        self.sock.sendall((raw.replace(b"\xff", b"\xff\xff") if self.escapes() else raw) + b"\r\n")

    def getline(self) -> str:
        """Read one line of a reply. Raises TimeoutError after the reply's time limit, NotFTP for a line without end,
        ftplib.Error for a reply without end."""
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE or self._buffer.startswith((b"\x15\x03", b"\x16\x03")):
                raise NotFTP(not_ftp(bytes(self._buffer)))
            if self._moved is not None and self._moved():
                self._reply_end = max(self._reply_end, time.monotonic() + self.wait())
            self._receive(self._reply_end)
        if time.monotonic() > self._reply_end:
            raise TimeoutError
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        self._reply_size += at + 1
        if self._reply_size > _LONGEST_REPLY:
            raise ftplib.error_proto("a reply without an end")
        return _TELNET.sub(b"", line.rstrip(b"\r")).decode("utf-8", "surrogateescape")

    def _receive(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        self.sock.settimeout(left if self._moved is None else min(left, _SLICE_SECS))
        try:
            block = self.sock.recv(4096)
        except TimeoutError:
            return
        if not block:
            if self._buffer:
                raise NotFTP(not_ftp(bytes(self._buffer)))
            raise EOFError
        self._buffer += block

    # --- data connections

    def open_data(self, command: str, start: int = 0, *, active: bool = False) -> tuple[socket.socket | None, Reply]:
        """Begin a transfer ``start`` bytes into the file: the data socket (None where the server refused the command) and the
        first reply. ``active``: the server connects to this machine, whatever the settings prefer. Raises CannotRestart where
        the server refuses REST, NoPassivePort where it offers no port."""
        listener = None
        self.standstill = ""
        if self.passiveserver and not active:
            sock = self._reach_data()
        else:
            listener = self.makeport()
        try:
            # RFC 3659 5.3: no command may come between REST and the transfer, so the port was requested before.
            if start and (reply := self.ask(f"REST {start}")).code != 350:
                raise CannotRestart(str(reply))
            reply = self.begin(command)
            if reply.ok:  # some servers send 200 before 150
                reply = self.read_reply()
            if not 100 <= reply.code < 200:
                if listener is None:
                    self.drop(sock)
                return None, reply
            if listener is not None:
                sock = self._accept(listener)
        except BaseException:
            if listener is None:
                self.drop(sock)
            raise
        finally:
            if listener is not None:
                self.drop(listener)
        return (self._wrap(sock) if self._context is not None else sock), reply

    def _reach_data(self) -> socket.socket:
        """Ask for a passive port with EPSV (RFC 2428) and PASV (RFC 959) in the order set, and connect to it. The second
        command follows at once where the first is refused or leads nowhere, as some firewalls know only one of the two. Raises
        DataLost where neither works."""
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        peer = self.sock.getpeername()
        failed: DataLost | None = None
        for command in self.passive_commands if self.af == socket.AF_INET else ("epsv",):
            reply = self.ask(command.upper())
            address = self._port_in(command, reply, peer)
            if address is None:
                self.unknown, words = reply.unknown, reply.text
                if command == "pasv" and reply.code < 400:
                    raise TransportLost(f"the server gives no passive port: {reply} (not an answer to that)")
                failed = failed or NoPassivePort(f"the server gives no passive port: {reply}", step=_OPENING, server_text=words)
            else:
                # The address in a reply to PASV is ignored: behind NAT it is wrong, and a hostile server could misdirect data.
                host, port = address
                try:
                    end = time.monotonic() + min(self.wait(), self.login_data.connect_secs)
                    sock = dial(
                        [(self.af, (peer[0], port, *peer[2:]))], end, adopt=self._adopt, drop=self.drop, over=lambda: self._aborted
                    )
                except OSError as exc:
                    self.unknown, words = False, f"port {port}: {exc.strerror or exc or 'no answer'}"
                    failed = DataLost(
                        f"the data connection to port {port} cannot be opened: {exc.strerror or exc or 'no answer'}. "
                        "The server's passive ports must be open in every firewall on the way",
                        step=_OPENING,
                    )
                else:
                    self.data_method = "pasv_control_address" if host != peer[0] else command
                    return sock
            self.refused = words
        assert failed is not None
        raise failed

    @staticmethod
    def _port_in(command: str, reply: Reply, peer: tuple[str, int]) -> tuple[str, int] | None:
        """Address and port in a reply to EPSV or PASV; None where the reply names none."""
        if reply.code != (229 if command == "epsv" else 227):
            return None
        try:
            host, port = ftplib.parse229(_port_words(reply), peer) if command == "epsv" else ftplib.parse227(_port_words(reply))
        except (ftplib.Error, ValueError):
            if command == "epsv":
                return None
            raise
        return host, _port(port)

    def makeport(self) -> socket.socket:
        """Listen, and tell the server where (PORT, RFC 959; EPRT, RFC 2428). Raises NotConnected where the server refuses,
        ConnectionAbortedError after ``cut``."""
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        here = self.sock.getsockname()
        listener = self._adopt(socket.create_server((here[0], 0, *here[2:]), family=self.af, backlog=1))
        try:
            port = int(listener.getsockname()[1])
            if self.af == socket.AF_INET:
                reply = self.ask(f"PORT {','.join(here[0].split('.'))},{port >> 8},{port & 255}")
            else:
                reply = self.ask(f"EPRT |2|{here[0].partition('%')[0]}|{port}|")
            if not reply.ok:
                raise NotConnected(
                    f"the server does not connect to here: {reply}. Switch ftp.PassiveMode on",
                    step=_OPENING,
                    server_text=reply.text,
                )
        except BaseException:
            self.drop(listener)
            raise
        return listener

    def _accept(self, listener: socket.socket) -> socket.socket:
        if self.sock is None:
            raise ConnectionAbortedError("closed from here")
        server = self.sock.getpeername()[0]
        end = time.monotonic() + self.wait()
        while True:
            listener.settimeout(max(0.001, end - time.monotonic()))
            try:
                sock, peer = listener.accept()
            except TimeoutError as exc:
                words = self.final_reply().text
                raise DataLost(
                    "the server's data connection never came: a firewall here or NAT on the way keeps it out. "
                    "Switch ftp.PassiveMode on",
                    step=_OPENING,
                    server_text=words,
                ) from exc
            if peer[0] == server:
                return self._adopt(sock)
            sock.close()


def _port_words(reply: Reply) -> str:
    """The beginning of a reply that names a port: the time ftplib's search takes grows with the square of the length."""
    return "\n".join(reply.lines)[:_LONGEST_PORT_WORDS]


def _port(number: int) -> int:
    if not _LEAST_PORT <= number < 65536:
        raise ftplib.error_proto(f"{str(number)[:10]} as the port of a data connection, which is refused")
    return number
