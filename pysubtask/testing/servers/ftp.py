"""A whole FTP server (pyftpdlib) in a thread, with the oddities and faults that servers have. Extra ``testing``.

::

    with ftp_server(tmp_path, tls="explicit", rename_over=False) as server:
        transport = FTPTransport(server.settings(), workdir)
        server.lose_reply("RNTO")     # the next one is carried out, and nobody hears of it

TLS needs pyOpenSSL besides. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ._certificate import Certificate, make_certificate
from ._extra import needs_libraries
from ._settings import ftp_settings
from .ports import OwnPorts

_POLL_SECS = 0.05
_END_SECS = 10.0
_DATA_PORTS = 40


class Oddities(NamedTuple):
    """What a server does not do, or does badly: ``without``, ``rename_over``, ``rename``, ``utf8``, ``file_limit``,
    ``full_reply``, ``max_sessions``, ``busy_logins``, ``short_by``, ``restart`` and ``hashes`` are the arguments of
    ``ftp_server``, and are explained there."""

    without: tuple[str, ...] = ()
    rename_over: bool = True
    rename: bool = True
    utf8: bool = True
    file_limit: int | None = None
    full_reply: str | None = None
    max_sessions: int | None = None
    busy_logins: tuple[int, ...] = ()
    short_by: int = 0
    restart: str = ""
    hashes: tuple[str, ...] = ()


class FTPServer(OwnPorts):
    """A running server. ``files`` is the folder a login starts in, as "/"; ``counts`` how often each command came;
    of so many uploads as ``flips`` says a byte is changed on the disk. ``heard``, where set, is called with all bytes of files
    that come, on the server's thread."""

    user = "pi"
    password = "a password"

    def __init__(self, root: Path, host: str, tls: str | None, tls_version: str | None, oddities: Oddities) -> None:
        self.files = root
        self.host = host
        self.tls = tls
        self.oddities = oddities
        self.counts: Counter[str] = Counter()
        self.logins = 0
        self.sessions: set[Any] = set()
        self.certificate: Certificate | None = None
        self.flips = 0
        self.heard: Callable[[bytes], None] | None = None
        self._lost: set[str] = set()
        self._tls_version = tls_version
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.port = 0
        self.data_ports = range(0)
        root.mkdir(parents=True, exist_ok=True)
        if tls is not None:
            with needs_libraries("ftp_server"):
                self.certificate = make_certificate(root.with_name(root.name + ".tls"))

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of an FTPTransport that logs in here and verifies the certificate."""
        settings = ftp_settings(self.host, self.port, self.user, self.password, tls=self.tls, certificate=self.certificate)
        return {**settings, **more}

    def lose_reply(self, command: str) -> None:
        """The next such command is carried out, and the connection ends in place of its last reply."""
        self._lost.add(command)

    def loses(self, command: str) -> bool:
        """Whether the reply to this command is to be lost; the handler asks once for each."""
        lost = command in self._lost
        self._lost.discard(command)
        return lost

    def names(self) -> set[str]:
        """Every file it holds, relative to ``files``."""
        return {str(path.relative_to(self.files)) for path in self.files.rglob("*") if path.is_file()}

    def start(self) -> None:
        """Start it; the second time on the ports it had."""
        with needs_libraries("ftp_server"):
            from pyftpdlib.ioloop import IOLoop
            from pyftpdlib.servers import FTPServer as Server

            from . import _ftp_handler  # noqa: F401 - so that what it needs is told here

        log = logging.getLogger("pyftpdlib")
        if not log.handlers:
            log.addHandler(logging.NullHandler())  # else it sets itself up to write to stderr
        ports = self._take_ports(_DATA_PORTS + 1)
        handler = self._handler(ports[1:], self._tls_version)
        server = Server((self.host, ports[0]), handler, ioloop=IOLoop())
        self.port, self.data_ports = ports[0], ports[1:]
        self._stopping.clear()

        def serve() -> None:
            try:
                while not self._stopping.is_set():
                    server.ioloop.loop(timeout=_POLL_SECS, blocking=False)
            finally:
                server.close_all()

        self._thread = threading.Thread(target=serve, name=f"ftp-server-{self.port}", daemon=True)
        self._thread.start()

    def _handler(self, data_ports: range, tls_version: str | None) -> type[Any]:
        """The class that handles a session."""
        from ._ftp_handler import make_handler

        return make_handler(self, data_ports, tls_version)

    def stop(self) -> None:
        """End it and every session. ``start`` works again. RuntimeError where its thread does not end within 10 s."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(_END_SECS)
            if thread.is_alive():
                raise RuntimeError(f"the FTP server's thread did not end within {_END_SECS:.0f} s")
            self.sessions.clear()


class OddFile:
    """A file that is written to on an odd disk, or by an odd server."""

    def __init__(self, file: Any, oddities: Oddities, flips: bool = False, heard: Callable[[bytes], None] | None = None) -> None:
        self._file = file
        self._heard = heard
        self._flips = flips
        self._limit = oddities.file_limit
        self._short_by = oddities.short_by
        self._restart = oddities.restart

    def close(self) -> None:
        """Close the file, shorter by the bytes that the server loses in silence."""
        if self._short_by and not self._file.closed:
            self._file.truncate(max(0, self._file.tell() - self._short_by))
        self._file.close()

    def seek(self, place: int) -> int:
        """Set the place of a transfer that does not begin at 0 (REST)."""
        if self._restart in ("emptied", "emptied, ignored"):
            self._file.truncate(0)
        if self._restart in ("ignored", "emptied, ignored"):
            return 0
        found = int(self._file.seek(0, os.SEEK_END) if self._restart == "appended" else self._file.seek(place))
        if self._restart == "cut off":
            self._file.truncate()
        return found

    def write(self, data: bytes) -> int:
        """Write a block, and return how many bytes were taken. OSError (ENOSPC) where the file would grow beyond its limit."""
        if self._heard is not None:
            self._heard(data)
        if self._limit is not None and self._file.tell() + len(data) > self._limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._flips and data:
            self._flips, data = False, bytes((data[0] ^ 1,)) + data[1:]
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def ftp_server(
    root: str | os.PathLike[str],
    tls: str | None = None,
    *,
    tls_version: str | None = None,
    without: tuple[str, ...] = (),
    rename_over: bool = True,
    rename: bool = True,
    utf8: bool = True,
    file_limit: int | None = None,
    full_reply: str | None = None,
    max_sessions: int | None = None,
    busy_logins: tuple[int, ...] = (),
    short_by: int = 0,
    restart: str = "",
    hashes: tuple[str, ...] = (),
    host: str = "127.0.0.1",
) -> Iterator[FTPServer]:
    """A running FTP server whose files are in ``root``; ended at the end. ``host``: the loopback address it listens on.

    ``tls``: None, "explicit" or "implicit"; ``tls_version``: "1.2" or "1.3" alone. ``without``: commands it does not
    know ("MFMT", "EPSV", "SIZE", "MLST"...). ``rename_over=False``: no rename to a name that is there;
    ``rename=False``: none at all. ``utf8=False``: says nothing of UTF-8. ``file_limit``: bytes a file may have before the
    disk is full, said by ``full_reply`` (pyftpdlib's own is a 426). ``max_sessions``: one more gets a 421 as greeting.
    ``busy_logins``: which logins, counted from 1, get a 421. ``short_by``: so many bytes of each file are lost in silence.
    ``restart``: what STOR after REST does with a file: "" as it should be, "refused", "cut off" at that place, "emptied" before,
    "ignored" (it begins at the beginning), "emptied, ignored", or "appended" to wherever it ends. ``hashes``: which commands
    for them it has, of "HASH", "XSHA256", "XMD5" and "XCRC".
    """
    oddities = Oddities(
        without, rename_over, rename, utf8, file_limit, full_reply, max_sessions, busy_logins, short_by, restart, hashes
    )
    server = FTPServer(Path(root).absolute(), host, tls, tls_version, oddities)
    try:
        server.start()
        yield server
    finally:
        server.close()
