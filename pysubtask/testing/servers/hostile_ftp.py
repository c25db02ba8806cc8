"""An FTP server that means harm, or is broken: what it does to a client, and at which command, is chosen by name.

::

    with hostile_ftp_server("preliminary", at="SIZE") as server:
        transport = FTPTransport(server.settings(), workdir)

At every other command it is an honest one in memory (RFC 959, RFC 3659), which keeps sizes and no bytes. ``replies`` gives the very
bytes that answer a command, for tests that make them up.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

BEHAVIOURS: dict[str, str] = {
    "honest": "does what it is asked",
    "preliminary": "says '110 still here' every 0.1 s, without end",
    "preliminaries": "the same without a pause",
    "lines": "begins a reply of many lines and never ends it",
    "line": "begins a line and never ends it",
    "nested": "begins replies within replies, without end",
    "slow-lines": "a line of a reply every 0.2 s, without end",
    "drip": "one byte of a reply a second",
    "silent": "says nothing",
    "eof": "hangs up",
    "reset": "hangs up without a goodbye (RST)",
    "digits": "gives replies of 250 KB of digits",
    "numbers": "gives numbers and times that cannot be",
    "low-port": "names port 25 for the data",
    "foreign": "names another machine for the data",
    "words": "refuses with words that steer a terminal and forge lines",
    "data-silent": "takes a data connection and never reads it",
    "data-endless": "sends without end on a data connection",
}
"""What it can do, by name."""

WORDS = "550 no\x1b]0;OWNED\x07\x1b[2J\r\x0b<3>[ftp.FTPSubtask.1]: ERROR: forged \u202egnp.exe\x9b31m\r\n"
"""What "words" says."""

_FEATURES = ("SIZE", "MDTM", "MFMT", "REST STREAM", "EPSV", "MLST type*;size*;modify*;", "UTF8")
_NEVER = 600.0


class HostileFTP:
    """A running server at ``host``:``port``; ended by ``close`` or by leaving its ``with``. ``commands``: what it was asked so far.
    ``dialled``: whether a data connection came to the port it named."""

    host = "127.0.0.1"

    def __init__(self, behaviour: str, at: str, replies: Mapping[str, bytes]) -> None:
        if behaviour not in BEHAVIOURS:
            raise ValueError(f"{behaviour!r} is no behaviour: give one of {', '.join(BEHAVIOURS)}")
        self.behaviour, self.at, self.replies = behaviour, at.upper(), {key.upper(): value for key, value in replies.items()}
        self.commands: list[str] = []
        self.files: dict[str, int] = {}
        self.dialled = 0
        self._over = threading.Event()
        self._socks: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._listener = socket.create_server((self.host, 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="hostile-ftp", daemon=True).start()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here."""
        return {
            "Host": self.host,
            "HostPort": self.port,
            "User": "u",
            "Password": "a password",
            "HostPath": "",
            "UseTLS": None,
            "ConnectTimeoutSecs": 20,
            "StallSecs": 30,
            "Connections": 1,
            **more,
        }

    def close(self) -> None:
        """End it and every connection."""
        self._over.set()
        with self._guard:
            socks = [self._listener, *self._socks]
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def __enter__(self) -> HostileFTP:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._keep(sock)
            threading.Thread(target=self._serve, args=(sock,), name="hostile-ftp-session", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), sock:
            _Session(self, sock).run()

    def _keep(self, sock: socket.socket) -> None:
        with self._guard:
            self._socks = {old for old in self._socks if old.fileno() >= 0} | {sock}

    def rest(self, secs: float) -> None:
        """Wait for so many seconds; OSError where the server is ended meanwhile."""
        if self._over.wait(secs):
            raise OSError("ended")


class _Session:
    """One control connection."""

    def __init__(self, server: HostileFTP, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._data: socket.socket | None = None
        self._renaming = ""
        self._rest = 0

    def run(self) -> None:
        if not self._say("GREETING", "220 ready"):
            return
        with self._sock.makefile("rb") as lines:
            for raw in lines:
                line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
                self._server.commands.append(line)
                verb, _, argument = line.partition(" ")
                if not self._answer(verb.upper(), argument):
                    return

    def _answer(self, verb: str, name: str) -> bool:
        """Answer a command; whether the connection goes on."""
        files = self._server.files
        if verb in ("STOR", "RETR", "LIST", "MLSD", "NLST"):
            return self._transfer(verb, name)
        words = "200 done"
        if verb == "USER":
            words = "331 password"
        elif verb == "PASS":
            words = "230 in"
        elif verb == "FEAT":
            words = "\r\n".join(("211-Features:", *(f" {feature}" for feature in _FEATURES), "211 End"))
        elif verb in ("EPSV", "PASV"):
            words = self._listen(verb)
        elif verb == "SIZE":
            words = f"213 {files[name]}" if name in files else "550 none"
        elif verb == "MDTM":
            words = "213 20200913122641" if name in files else "550 none"
        elif verb == "MLST":
            words = f"250-\r\n size={files[name]};modify=20200913122641; {name}\r\n250 End" if name in files else "550 none"
        elif verb == "RNFR":
            self._renaming, words = name, "350 to"
        elif verb == "RNTO":
            files[name], words = files.pop(self._renaming, 0), "250 done"
        elif verb == "DELE":
            words = "550 none" if files.pop(name, None) is None else "250 done"
        elif verb == "MKD":
            words = f'257 "{name}"'
        elif verb == "REST":
            self._rest, words = int(name or 0), "350 from there"
        elif verb == "QUIT":
            words = "221 bye"
        return self._say(verb, words) and verb != "QUIT"

    def _listen(self, verb: str) -> str:
        if self._data is not None:
            self._data.close()
        self._data = socket.create_server((self._server.host, 0), backlog=1)
        self._server._keep(self._data)
        port = int(self._data.getsockname()[1])
        host = self._server.host.replace(".", ",")
        if self._server.behaviour == "low-port":
            port = 25
        elif self._server.behaviour == "foreign":
            host = "192,0,2,1"  # TEST-NET-1, RFC 5737: nobody is there
        if verb == "EPSV":
            return f"229 ok (|||{port}|)"
        return f"227 ok ({host},{port >> 8},{port & 255})"

    def _transfer(self, verb: str, name: str) -> bool:
        listener, self._data = self._data, None
        start, self._rest = self._rest, 0
        if listener is None:
            return self._say(verb, "425 no data connection")
        if not self._server.replies.get(verb, b"1").startswith(b"1"):  # refused before it begins
            listener.close()
            return self._say(verb, "")
        with listener:
            listener.settimeout(20)
            data, _ = listener.accept()
        self._server.dialled += 1
        self._server._keep(data)
        with data:
            if not self._say(verb, "150 go"):
                return False
            count = self._take(data, verb)
        if verb == "STOR":
            self._server.files[name] = start + count
        return self._say(f"{verb} END", "226 done")

    def _take(self, data: socket.socket, verb: str) -> int:
        behaviour = self._server.behaviour
        if behaviour == "data-silent":
            self._server.rest(_NEVER)
        if behaviour == "data-endless" and verb != "STOR":
            while True:
                data.sendall(b"-rw-r--r-- 1 u u 5 Jan  1 00:00 x\r\n" * 1000)
        count = 0
        while verb == "STOR" and (block := data.recv(65536)):
            count += len(block)
        return count

    def _say(self, verb: str, words: str) -> bool:
        """Answer a command, well or badly; whether the connection goes on."""
        server = self._server
        if verb in server.replies:
            self._sock.sendall(server.replies[verb])
            return True
        if server.at != verb or server.behaviour not in _SPOILT:
            self._sock.sendall(f"{words}\r\n".encode("utf-8", "surrogateescape"))
            return True
        return _SPOILT[server.behaviour](self, words)

    # What it does instead

    def _repeat(self, piece: bytes, secs: float = 0.0) -> bool:
        while True:
            self._sock.sendall(piece)
            if secs or self._server._over.is_set():
                self._server.rest(secs)

    def preliminary(self, words: str) -> bool:
        return self._repeat(b"110 still here\r\n", 0.1)

    def preliminaries(self, words: str) -> bool:
        return self._repeat(b"110 still here\r\n" * 100)

    def lines(self, words: str) -> bool:
        self._sock.sendall(words[:3].encode() + b"-\r\n")
        return self._repeat(b" and more\r\n" * 100)

    def line(self, words: str) -> bool:
        self._sock.sendall(words[:3].encode() + b" ")
        return self._repeat(b"x" * 1000)

    def nested(self, words: str) -> bool:
        return self._repeat(b"".join(b"%d-%d-%d-\r\n" % (code, code, code) for code in range(211, 599)))

    def slow_lines(self, words: str) -> bool:
        self._sock.sendall(words[:3].encode() + b"-\r\n")
        return self._repeat(b" and more\r\n", 0.2)

    def drip(self, words: str) -> bool:
        self._sock.sendall(words[:4].encode())
        return self._repeat(b"x", 1)

    def silent(self, words: str) -> bool:
        self._server.rest(_NEVER)
        return False

    def eof(self, words: str) -> bool:
        return False

    def reset(self, words: str) -> bool:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def digits(self, words: str) -> bool:
        code = words[:3].encode()
        self._sock.sendall(code + b"-\r\n" + (b"9" * 8000 + b"\r\n") * 30 + code + b" end\r\n")
        return True

    def numbers(self, words: str) -> bool:
        wrong = {
            "213": "213 00000000000000" if "20200913" in words else "213 9999999999999999999",
            "250": f"250-\r\n type=file;size={'9' * 5000};modify=00000101000000; x\r\n250 End",
        }
        self._sock.sendall(f"{wrong.get(words[:3], words)}\r\n".encode())
        return True

    def words(self, words: str) -> bool:
        self._sock.sendall(WORDS.encode())
        return True


_SPOILT: dict[str, Callable[[_Session, str], bool]] = {
    "preliminary": _Session.preliminary,
    "preliminaries": _Session.preliminaries,
    "lines": _Session.lines,
    "line": _Session.line,
    "nested": _Session.nested,
    "slow-lines": _Session.slow_lines,
    "drip": _Session.drip,
    "silent": _Session.silent,
    "eof": _Session.eof,
    "reset": _Session.reset,
    "digits": _Session.digits,
    "numbers": _Session.numbers,
    "words": _Session.words,
}


@contextlib.contextmanager
def hostile_ftp_server(
    behaviour: str = "honest", at: str = "SIZE", replies: Mapping[str, bytes] | None = None
) -> Iterator[HostileFTP]:
    """A running server on 127.0.0.1. ``at``: the command it misbehaves at, ``GREETING`` before any, ``STOR END`` after the data;
    behaviours of data connections need none. ``replies``: whole replies by command, in place of everything else."""
    with HostileFTP(behaviour, at, replies or {}) as server:
        yield server
