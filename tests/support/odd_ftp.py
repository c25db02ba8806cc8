"""A small FTP server on real files, of which a test changes one answer: a subclass gives another method for a command.

It keeps to RFC 959 and RFC 3659 otherwise, hides nothing and forgets nothing; one thread for each control connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FEATURES = ("SIZE", "MDTM", "MFMT", "REST STREAM", "EPSV", "UTF8")


class Ended(Exception):
    """The server ends this control connection."""


class Talk:
    """One control connection. ``do_VERB(arg)`` gives the reply, or nothing where it has sent it itself."""

    features: tuple[str, ...] = FEATURES

    def __init__(self, server: OddFTP, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.rest, self.old = 0, b""
        self.listener: socket.socket | None = None
        self._lock = threading.Lock()

    def path(self, name: bytes) -> bytes:
        """Where a name is on the disk."""
        return os.path.join(os.fsencode(self.server.root), name.lstrip(b"/").removeprefix(b"./"))

    def say(self, text: str) -> None:
        with self._lock:
            self.sock.sendall(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def run(self) -> None:
        self.say("220 ready")
        heard = b""
        while True:
            while b"\n" not in heard:
                block = self.sock.recv(4096)
                if not block:
                    return
                heard += block
            line, _, heard = heard.partition(b"\n")
            verb, _, arg = line.rstrip(b"\r").partition(b" ")
            name = verb.decode("ascii", "replace").upper()
            with self.server.guard:
                self.server.commands.append((name, arg))
            found = getattr(self, f"do_{name}", None)
            reply = "502 not here" if found is None else found(arg)
            if reply is not None:
                self.say(reply)

    # --- login and state

    def do_USER(self, arg: bytes) -> str | None:
        return "331 password"

    def do_PASS(self, arg: bytes) -> str | None:
        self.server.logins += 1
        return "230 in"

    def do_FEAT(self, arg: bytes) -> str | None:
        return "211-Features:\r\n" + "".join(f" {name}\r\n" for name in self.features) + "211 End"

    def do_TYPE(self, arg: bytes) -> str | None:
        return "200 ok"

    do_OPTS = do_NOOP = do_TYPE

    def do_REST(self, arg: bytes) -> str | None:
        self.rest = int(arg)
        return "350 go on"

    # --- data

    def do_EPSV(self, arg: bytes) -> str | None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        return f"229 Extended (|||{self.listener.getsockname()[1]}|)"

    def data(self) -> socket.socket:
        """The data connection that comes."""
        listener, self.listener = self.listener, None
        assert listener is not None
        with listener:
            listener.settimeout(20)
            sock, _ = listener.accept()
        sock.settimeout(20)
        return sock

    def do_STOR(self, arg: bytes) -> str | None:
        at, self.rest = self.rest, 0
        try:
            file = open(self.path(arg), "r+b" if at else "wb")  # noqa: SIM115 - closed below
        except OSError:
            return "553 no such folder"
        self.say("150 go")
        with file, self.data() as sock:
            file.seek(at)
            self.receive(sock, file)
        return "226 done"

    def receive(self, sock: socket.socket, file: Any) -> None:
        while block := sock.recv(65536):
            file.write(block)
        file.flush()

    def do_RETR(self, arg: bytes) -> str | None:
        at, self.rest = self.rest, 0
        if not os.path.isfile(self.path(arg)):
            return "550 no such file"
        self.say("150 go")
        with self.data() as sock:
            sock.sendall(Path(os.fsdecode(self.path(arg))).read_bytes()[at:])
        return "226 sent"

    def do_LIST(self, arg: bytes) -> str | None:
        path = self.path(arg)
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [arg] if os.path.lexists(path) else []
        folder = path if os.path.isdir(path) else b""
        self.say("150 go")
        with self.data() as sock:
            for name in names:
                where = os.path.join(folder, name) if folder else path
                sock.sendall(self.row(name, where) + b"\r\n")
        return "226 sent"

    def row(self, name: bytes, path: bytes) -> bytes:
        found = os.lstat(path)
        kind = b"l" if os.path.islink(path) else b"d" if os.path.isdir(path) else b"-"
        more = b" -> " + os.readlink(path) if kind == b"l" else b""
        stamp = time.strftime("%b %d %H:%M", time.gmtime(found.st_mtime)).encode()
        return kind + b"rw-r--r--    1 pi pi %8d %s " % (found.st_size, stamp) + name + more

    def do_STAT(self, arg: bytes) -> str | None:
        path = self.path(arg)
        rows = [self.row(arg, path)] if os.path.lexists(path) else []
        return "213-Status:\r\n" + "".join(f" {os.fsdecode(row)}\r\n" for row in rows) + "213 End"

    # --- files

    def do_SIZE(self, arg: bytes) -> str | None:
        path = self.path(arg)
        return f"213 {os.path.getsize(path)}" if os.path.isfile(path) else "550 no such file"

    def do_MDTM(self, arg: bytes) -> str | None:
        path = self.path(arg)
        if not os.path.isfile(path):
            return "550 no such file"
        return "213 " + time.strftime("%Y%m%d%H%M%S", time.gmtime(os.path.getmtime(path)))

    def do_MFMT(self, arg: bytes) -> str | None:
        import calendar

        stamp, _, name = arg.partition(b" ")
        secs = calendar.timegm(time.strptime(stamp.decode(), "%Y%m%d%H%M%S"))
        try:
            os.utime(self.path(name), (secs, secs))
        except FileNotFoundError:
            return "550 no such file"
        return f"213 Modify={stamp.decode()}; x"

    def do_RNFR(self, arg: bytes) -> str | None:
        self.old = arg
        return "350 to?" if os.path.lexists(self.path(arg)) else "550 no such file"

    def do_RNTO(self, arg: bytes) -> str | None:
        os.replace(self.path(self.old), self.path(arg))
        return "250 done"

    def do_DELE(self, arg: bytes) -> str | None:
        try:
            os.unlink(self.path(arg))
        except OSError:
            return "550 no such file"
        return "250 gone"

    def do_MKD(self, arg: bytes) -> str | None:
        try:
            os.mkdir(self.path(arg))
        except OSError:
            return "550 no"
        return "257 made"

    def do_QUIT(self, arg: bytes) -> str | None:
        self.say("221 bye")
        raise Ended


class OddFTP:
    """A running server over ``root``. ``commands``: what it was asked, ``logins``: how often somebody logged in."""

    def __init__(self, root: Path, talk: type[Talk] = Talk) -> None:
        self.root, self.talk = root, talk
        root.mkdir(parents=True, exist_ok=True)
        self.commands: list[tuple[str, bytes]] = []
        self.logins = 0
        self.guard = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="odd-ftp", daemon=True).start()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here."""
        return {
            "UseSFTP": False,
            "Host": "127.0.0.1",
            "HostPort": self.port,
            "User": "pi",
            "Password": "a password",
            "HostPath": "",
            "ConnectTimeoutSecs": 20,
            "StallSecs": 20,
            "Connections": 1,
            **more,
        }

    def count(self, verb: str) -> int:
        with self.guard:
            return sum(one == verb for one, _ in self.commands)

    def names(self) -> set[str]:
        return set(os.listdir(self.root))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self.guard:
                self._socks.add(sock)
            threading.Thread(target=self._serve, args=(sock,), name="odd-ftp-session", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, Ended), sock:
            self.talk(self, sock).run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
