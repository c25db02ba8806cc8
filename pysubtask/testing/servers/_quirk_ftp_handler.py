"""The inside of an FTP server with quirks: pyftpdlib's handlers. Runs on the server's own thread."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.handlers import DTPHandler

from ._ftp_handler import _Files, make_handler

if TYPE_CHECKING:
    from .quirk_ftp import QuirkFTPServer
    from .quirks import Quirks

_OPEN_SECS = 10.0  # how long a data connection that nobody closes stays
_SLOW_SECS = 0.004  # the pause after each block that is read behind an early 226
_POLL_SECS = 0.02
_WRITING = ("w", "a", "r+", "x")


class _QuirkFiles(_Files):
    """The files, with the server's quirks of that moment; a FilesystemError becomes a 550."""

    @property
    def _owner(self) -> QuirkFTPServer:
        owner: QuirkFTPServer = self.cmd_channel.owner
        return owner

    @property
    def _quirks(self) -> Quirks:
        return self._owner.quirks

    def ftp2fs(self, ftppath: str) -> str:
        return self._owner.disk.found_as(str(super().ftp2fs(ftppath)))

    def getmtime(self, path: str) -> float:
        return self._owner.disk.reported_time(super().getmtime(path))

    def open(self, filename: str, mode: str) -> Any:
        quirks, disk = self._quirks, self._owner.disk
        if not mode.startswith(_WRITING):
            self._may_be_seen(filename)
            if not quirks.reads:
                raise FilesystemError("No file may be read here")
            return super().open(filename, mode)
        refused = disk.refuses(filename)
        if refused is not None:
            raise FilesystemError(refused)
        filename = disk.stored_as(filename)
        if mode.startswith("w") and quirks.overwrite != "yes" and os.path.lexists(filename):
            if quirks.overwrite == "refused":
                raise FilesystemError("Overwriting a file is not allowed here")
            filename = next(free for number in range(1, 1000) if not os.path.lexists(free := f"{filename}.{number}"))
        if os.path.islink(filename) and quirks.links != "followed":
            if quirks.links == "refused":
                raise FilesystemError("This is a link")
            os.unlink(filename)
        if disk.is_hidden(filename):
            disk.write_begins(filename)
        with contextlib.suppress(OSError):
            self.cmd_channel.before = 0 if mode.startswith("w") else os.path.getsize(filename)
        file = super().open(filename, mode)
        return _TextFile(file) if quirks.line_ends == "changed" else file

    def rename(self, src: str, dst: str) -> None:
        quirks, disk = self._quirks, self._owner.disk
        if quirks.rename == "none":
            raise FilesystemError("No file is renamed here")
        refused = disk.refuses(dst) if os.path.isfile(src) else disk.refuses_folder(dst)
        if refused is not None:
            raise FilesystemError(refused)
        target = disk.stored_as(dst)
        if quirks.rename == "new" and os.path.lexists(target) and not disk.is_hidden(target):
            raise FilesystemError("A file of that name exists")
        super().rename(src, target)
        disk.renamed(src, target)

    def remove(self, path: str) -> None:
        if not self._quirks.delete:
            raise FilesystemError("No file is deleted here")
        super().remove(path)

    def mkdir(self, path: str) -> None:
        refused = self._owner.disk.refuses_folder(path)
        if refused is not None:
            raise FilesystemError(refused)
        super().mkdir(path)

    def utime(self, path: str, timeval: float) -> None:
        self._may_be_seen(path)
        if self._quirks.times == "refused":
            raise FilesystemError("Times are not set here")
        if self._quirks.times == "kept":
            super().utime(path, timeval)

    def getsize(self, path: str) -> int:
        self._tells_sizes()
        if self._quirks.size == "denied":
            raise FilesystemError("Permission denied")
        return int(self.stat(path).st_size)

    def stat(self, path: str) -> os.stat_result:
        self._may_be_seen(path)
        return self._reported(path, super().stat(path))

    def lstat(self, path: str) -> os.stat_result:
        self._may_be_seen(path)
        return self._reported(path, super().lstat(path))

    def isfile(self, path: str) -> bool:
        return not self._owner.disk.is_hidden(path) and bool(super().isfile(path))

    def listdir(self, path: str) -> list[str]:
        self._tells_sizes()
        return [name for name in super().listdir(path) if not self._owner.disk.is_hidden(os.path.join(path, name))]

    def format_mlsx(self, basedir: str, listing: list[str], *rest: Any, **more: Any) -> Any:
        for name in listing:
            if os.path.isfile(os.path.join(basedir, name)):
                self._tells_sizes()
        return super().format_mlsx(basedir, listing, *rest, **more)

    def format_list(self, basedir: str, listing: list[str], *rest: Any, **more: Any) -> Any:
        for name in listing:
            if os.path.isfile(os.path.join(basedir, name)):
                self._tells_sizes()
        return super().format_list(basedir, listing, *rest, **more)

    def _tells_sizes(self) -> None:
        if self._quirks.size == "never":
            raise FilesystemError("Permission denied")

    def _may_be_seen(self, path: str) -> None:
        if self._owner.disk.is_hidden(path):
            raise FilesystemError("No such file or directory")

    def _reported(self, path: str, found: os.stat_result) -> os.stat_result:
        size, secs = self._owner.disk.reported_size(path, found.st_size), self._owner.disk.reported_time(found.st_mtime)
        if (size, secs) == (found.st_size, int(found.st_mtime)) or not os.path.isfile(path):
            return found
        return os.stat_result((*found[:6], size, found[7], secs, found[9]), {"st_mtime": float(secs), "st_mtime_ns": secs * 10**9})


class _TextFile:
    """A file that is written in text mode."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data.replace(b"\n", b"\r\n"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _QuirkHandler:
    """The commands whose answers do not come from the files."""

    owner: QuirkFTPServer
    before = 0  # bytes of the file that is being written, when it was opened
    masquerade_address: str | None
    _restart_position: int

    def handle(self) -> None:
        if self.owner.disk.connection_allowed(len(self.owner.sessions)):
            super().handle()  # type: ignore[misc]
            return
        self.respond("421 There are too many connections from your address.")  # type: ignore[attr-defined]
        self.close_when_done()  # type: ignore[attr-defined]

    def ftp_PASS(self, line: str) -> None:
        if self.owner.disk.login_allowed():
            super().ftp_PASS(line)  # type: ignore[misc]
            return
        self.respond("421 There were too many logins from your address, try again later.")  # type: ignore[attr-defined]
        self.close_when_done()  # type: ignore[attr-defined]

    def ftp_EPSV(self, line: str) -> None:
        if not self.owner.quirks.passive:
            self.respond("500 EPSV not understood.")  # type: ignore[attr-defined]
        elif self.owner.quirks.epsv:
            super().ftp_EPSV(line)  # type: ignore[misc]
        else:
            self.respond("502 EPSV is not implemented.")  # type: ignore[attr-defined]

    def ftp_PASV(self, line: str) -> None:
        if not self.owner.quirks.passive:
            self.respond("500 PASV not understood.")  # type: ignore[attr-defined]
            return
        self.masquerade_address = self.owner.quirks.pasv_address
        super().ftp_PASV(line)  # type: ignore[misc]

    def ftp_REST(self, line: str) -> None:
        if self.owner.quirks.append == "refused" and line.strip() != "0":
            self.respond("502 REST is not implemented.")  # type: ignore[attr-defined]
        else:
            super().ftp_REST(line)  # type: ignore[misc]

    def ftp_APPE(self, file: str) -> Any:
        if self.owner.quirks.append == "yes" or not os.path.lexists(file) or not os.path.getsize(file):
            return super().ftp_APPE(file)  # type: ignore[misc]
        self.respond("550 No file is appended to here.")  # type: ignore[attr-defined]
        return None

    def _no_new_name(self, path: str) -> bool:
        """Whether the quota of names is used up; the reply is sent then."""
        most = self.owner.quirks.names
        if most is None or os.path.lexists(path):
            return False
        used = sum(len(folders) + len(files) for _, folders, files in os.walk(self.owner.disk.root))
        if used >= most:
            self.respond(f"552 Exceeded storage allocation: {used} of {most} files.")  # type: ignore[attr-defined]
        return used >= most

    def ftp_MKD(self, path: str) -> Any:
        return None if self._no_new_name(path) else super().ftp_MKD(path)  # type: ignore[misc]

    def ftp_STOR(self, file: str, mode: str = "w") -> Any:
        quirks = self.owner.quirks
        if self._no_new_name(file):
            return None
        if quirks.append != "yes" and self._restart_position:
            self._restart_position = 0
            self.respond("451 Append/Restart not permitted, try again.")  # type: ignore[attr-defined]
            return None
        if quirks.open_files is not None and self._others() >= quirks.open_files:
            self.respond("450 Too many open files, try again later.")  # type: ignore[attr-defined]
            return None
        return super().ftp_STOR(file, mode)  # type: ignore[misc]

    def _others(self) -> int:
        """How many files other sessions are transferring."""
        return sum(
            1
            for one in self.owner.sessions
            if one is not self and (one._in_dtp_queue or (one.data_channel and one.data_channel.file_obj))
        )

    def on_file_received(self, file: str) -> None:
        self.owner.disk.write_ended(file, self.before)


class _Apart:
    """A session whose replies go nowhere, for a data connection that the session has done with."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def respond(self, *reply: Any, **more: Any) -> None:
        """Send nothing: the reply was sent before."""

    def _on_dtp_close(self) -> None:
        """The session may have another one by now."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class _QuirkData:
    """A data connection that ends as the server's quirks say."""

    cmd_channel: Any
    receive: bool
    socket: Any
    ioloop: Any
    file_obj: Any
    _resp: Any
    _closed: bool

    _paused = _waited = _ssl_established = False

    def recv(self, size: int) -> bytes:
        chunk: bytes = super().recv(size)  # type: ignore[misc]
        owner = self.cmd_channel.owner
        owner.stored += len(chunk)
        if chunk and self.receive and owner.quirks.data_end == "early":
            if not isinstance(self.cmd_channel, _Apart):
                self._answer_now()
            self.del_channel()  # type: ignore[attr-defined]
            self._paused = True
            self.ioloop.call_later(_SLOW_SECS, self._read_on)
        return chunk

    def modify_ioloop_events(self, events: int, **more: Any) -> None:
        if not self._paused:
            super().modify_ioloop_events(events, **more)  # type: ignore[misc]

    def _read_on(self) -> None:
        if self._paused and not self._closed:
            self._paused = False
            self.add_channel(events=self.ioloop.READ)  # type: ignore[attr-defined]

    def _answer_now(self) -> None:
        session, self.cmd_channel = self.cmd_channel, _Apart(self.cmd_channel)
        session.respond("226 Transfer complete.")
        session._on_dtp_close()

    def close(self) -> None:
        done = self.receive and not self._closed and bool(self._resp) and str(self._resp[0]).startswith("226")
        how = self.cmd_channel.owner.quirks.data_end if done else ""
        if how == "open":
            self._leave_open()
            return
        if how == "waits" and not self._waited and self._ssl_established:
            self._wait_for_its_end()
            return
        if how == "cut":
            self._ssl_established = False
        if how == "reset":
            with socket.socket(fileno=os.dup(self.socket.fileno())) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._ssl_established = False
        super().close()  # type: ignore[misc]

    def _wait_for_its_end(self, secs: float = _OPEN_SECS) -> None:
        """Wait until the client has closed TCP, then close here and reply."""
        if not self._paused:
            self._paused = True
            self.del_channel()  # type: ignore[attr-defined]
        try:
            with socket.socket(fileno=os.dup(self.socket.fileno())) as raw:
                over = not raw.recv(1, socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0))
        except BlockingIOError:
            over = False
        except OSError:
            over = True
        if not over and secs > 0:
            self.ioloop.call_later(_POLL_SECS, lambda: self._wait_for_its_end(secs - _POLL_SECS))
            return
        if not over:
            self._resp = ("426 The data connection did not end.", logging.debug)
        self._waited, self._ssl_established = True, False
        self.close()

    def _leave_open(self) -> None:
        self.file_obj.close()
        self.cmd_channel.on_file_received(self.file_obj.name)
        self.file_obj, self._resp = None, ()
        self._answer_now()
        self.del_channel()  # type: ignore[attr-defined]
        self._ssl_established = False
        self.ioloop.call_later(_OPEN_SECS, self.close)


def _plain_data() -> type[Any]:
    class Data(_QuirkData, DTPHandler):  # type: ignore[misc]
        pass

    return Data


def _tls_data(base: type[Any]) -> type[Any]:
    from OpenSSL import SSL

    class Data(_QuirkData, base):  # type: ignore[misc]
        def handle_ssl_established(self) -> None:
            """A session that must be one of the control connection's is refused where it is a new one."""
            version = {"TLSv1.2": "1.2", "TLSv1.3": "1.3"}.get(self.socket.get_protocol_version_name(), "")
            demanded = version in self.cmd_channel.owner.quirks.reuse
            if demanded and not SSL._lib.SSL_session_reused(self.socket._ssl):  # type: ignore[attr-defined]
                self._resp = ("522 SSL connection failed: session reuse is required.", logging.debug)
                self._error = True
                self.close()
                return
            super().handle_ssl_established()

    return Data


def make_quirk_handler(owner: QuirkFTPServer, data_ports: range, tls_version: str | None) -> type[Any]:
    """A handler class for one server."""
    base = make_handler(owner, data_ports, tls_version)
    values: dict[str, Any] = {"abstracted_fs": _QuirkFiles}
    if owner.tls is None:
        values["dtp_handler"] = _plain_data()
    else:
        values["dtp_handler"] = _tls_data(base.dtp_handler)
        base.ssl_context.set_session_id(b"pysubtask")
    return type("QuirkHandler", (_QuirkHandler, base), values)
