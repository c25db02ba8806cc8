"""A server of SFTP version 3 on a folder, in the process of its client: it answers each packet where it is sent.

Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for the extensions. What is not needed is refused as unsupported.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pysubtask.transports.sftp import packets
from pysubtask.transports.ssh.stream import Listener

# The server's own calls are not steps of the client.
_open, _close, _fsync = os.open, os.close, os.fsync
_pwrite: Any = getattr(os, "pwrite", None)
_pread: Any = getattr(os, "pread", None)
_rename, _replace, _unlink, _mkdir, _utime, _link = os.rename, os.replace, os.unlink, os.mkdir, os.utime, os.link
_lstat = os.lstat

NAMES = {
    packets.INIT: "INIT",
    packets.OPEN: "OPEN",
    packets.CLOSE: "CLOSE",
    packets.READ: "READ",
    packets.WRITE: "WRITE",
    packets.LSTAT: "LSTAT",
    packets.FSTAT: "FSTAT",
    packets.FSETSTAT: "FSETSTAT",
    packets.REMOVE: "REMOVE",
    packets.MKDIR: "MKDIR",
    packets.STAT: "STAT",
    packets.RENAME: "RENAME",
    packets.EXTENDED: "EXTENDED",
}


class Fields:
    """Reads a packet from its front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, form: str) -> int:
        """The next number, in the format ``form`` of :mod:`struct`, big-endian."""
        (value,) = struct.unpack_from(">" + form, self._data, self._at)
        self._at += struct.calcsize(">" + form)
        return int(value)

    def string(self) -> bytes:
        """The next string: a length of four bytes, and so many bytes."""
        size = self.number("I")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        """The bytes that are not read yet; they stay."""
        return self._data[self._at :]


class Late(NamedTuple):
    """A request that a frozen server will still carry out: its packet in ``data``, and in ``files`` the paths of the files it
    has open, by the packet's handles."""

    data: bytes
    files: dict[bytes, str]


class ModelServer:
    """One connection, as a ByteStream. ``step`` is called for each packet before it is sent and before its answer is read;
    ``changed`` after each request that changed something. ``atomic``: has posix-rename; ``copies``: has copy-data.

    ``slow``: requests are carried out only when the client waits; those that a crash finds undone are kept in
    ``late_dir``, where :func:`run_late` finds them. ``before_rename`` is called before a request that renames.
    """

    def __init__(
        self,
        root: str,
        step: Callable[[str], None],
        changed: Callable[[], None],
        *,
        atomic: bool = True,
        copies: bool = True,
        slow: bool = False,
        before_rename: Callable[[], None] = lambda: None,
    ) -> None:
        self.root = os.fsencode(root)
        self._step = step
        self._changed = changed
        self._extensions = [packets.FSYNC] + [packets.POSIX_RENAME] * atomic + [packets.COPY_DATA] * copies
        self._atomic = atomic
        self._slow = slow
        self._before_rename = before_rename
        self._splitter = packets.Splitter(1 << 20)
        self._listener: Listener | None = None
        self._handles: dict[bytes, int] = {}
        self._number = 0
        self._waiting: list[bytes] = []
        self._ended = False

    # -- ByteStream ---------------------------------------------------------------------------------------

    def start(self, listener: Listener) -> None:
        """Replies go to ``listener`` from now on."""
        self._listener = listener

    def send(self, parts: Sequence[bytes]) -> None:
        """Each request in ``parts`` is a step; it is carried out at once, by a slow server after two turns of the loop."""
        for data in self._splitter.feed(b"".join(parts)):
            self._step(f"send {self._name(data)}")
            self._waiting.append(data)
            if not self._slow:
                self._work()
        if self._slow:
            asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(self._work))

    def backlog(self) -> int:
        """Always 0: nothing waits to be sent."""
        return 0

    def standstill(self) -> str:
        """Always '': this link never stalls."""
        return ""

    def abort(self) -> None:
        """End the connection; its handles are closed."""
        self._ended = True
        for fd in self._handles.values():
            _close(fd)
        self._handles.clear()

    # -- the server ---------------------------------------------------------------------------------------

    def _name(self, data: bytes) -> str:
        if data[0] == packets.EXTENDED:
            return Fields(data[5:]).string().decode().partition("@")[0]
        return NAMES.get(data[0], str(data[0]))

    def _work(self) -> None:
        while self._waiting and not self._ended:
            data = self._waiting.pop(0)
            answer = self.carry_out(data)
            asyncio.get_running_loop().call_soon(self._answer, f"answer to {self._name(data)}", answer)

    def _answer(self, what: str, answer: bytes) -> None:
        if not self._ended and self._listener is not None:
            self._step(what)
            self._listener.data_received(answer)

    def carry_out(self, data: bytes) -> bytes:
        """Do what a packet asks for; the answer."""
        if data[0] == packets.INIT:
            pairs = b"".join(packets.string(name.encode()) + packets.string(b"1") for name in self._extensions)
            return packets.string(struct.pack(">BI", packets.VERSION, 3) + pairs)
        number, fields = struct.unpack_from(">I", data, 1)[0], Fields(data[5:])
        try:
            body = self._do(data[0], fields)
        except OSError as exc:
            code = packets.NO_SUCH_FILE if exc.errno == errno.ENOENT else packets.FAILURE
            body = self._status(code, os.strerror(exc.errno or 0))
        if data[0] not in (packets.READ, packets.STAT, packets.LSTAT, packets.FSTAT):
            self._changed()
        return packets.string(body[:1] + struct.pack(">I", number) + body[1:])

    def _do(self, kind: int, fields: Fields) -> bytes:
        if kind == packets.EXTENDED:
            return self._extended(fields)
        if kind in (packets.CLOSE, packets.READ, packets.WRITE, packets.FSTAT, packets.FSETSTAT):
            return self._on_handle(kind, fields)
        path = self._path(fields.string())
        if kind == packets.OPEN:
            return self._opened(path, fields.number("I"))
        if kind in (packets.STAT, packets.LSTAT):
            return self._attrs(os.lstat(path))
        if kind == packets.REMOVE:
            _unlink(path)
        elif kind == packets.MKDIR:
            _mkdir(path)
        elif kind == packets.RENAME:
            new = self._path(fields.string())
            self._before_rename()
            if os.path.lexists(new):
                return self._status(packets.FAILURE, "it is there already")
            _rename(path, new)
        else:
            return self._status(packets.OP_UNSUPPORTED, "not here")
        return self._status()

    def _opened(self, path: bytes, flags: int) -> bytes:
        both = flags & (packets.READ_FLAG | packets.WRITE_FLAG)
        mode = {packets.READ_FLAG: os.O_RDONLY, packets.WRITE_FLAG: os.O_WRONLY}.get(both, os.O_RDWR)
        mode |= os.O_CREAT * bool(flags & packets.CREAT_FLAG) | os.O_EXCL * bool(flags & packets.EXCL_FLAG)
        mode |= os.O_TRUNC * bool(flags & packets.TRUNC_FLAG)
        return self._handle(_open(path, mode, 0o644))[0]

    def _handle(self, fd: int) -> tuple[bytes, bytes]:
        """The answer that tells a new handle, and the handle."""
        self._number += 1
        handle = b"h%d" % self._number
        self._handles[handle] = fd
        return bytes([packets.HANDLE]) + packets.string(handle), handle

    def _on_handle(self, kind: int, fields: Fields) -> bytes:
        handle = fields.string()
        fd = self._fd(handle)
        if kind == packets.CLOSE:
            _close(self._handles.pop(handle))
        elif kind == packets.WRITE:
            offset = fields.number("Q")
            _pwrite(fd, fields.string(), offset)
        elif kind == packets.READ:
            offset = fields.number("Q")
            found = _pread(fd, fields.number("I"), offset)
            return bytes([packets.DATA]) + packets.string(found) if found else self._status(packets.EOF)
        elif kind == packets.FSTAT:
            return self._attrs(os.fstat(fd))
        else:
            fields.number("I")
            atime, mtime = fields.number("I"), fields.number("I")
            _utime(fd, (atime, mtime))
        return self._status()

    def _extended(self, fields: Fields) -> bytes:
        name = fields.string().decode()
        if name not in self._extensions:
            return self._status(packets.OP_UNSUPPORTED, "not here")
        if name == packets.FSYNC:
            _fsync(self._fd(fields.string()))
        elif name == packets.POSIX_RENAME:
            self._before_rename()
            old, new = self._path(fields.string()), self._path(fields.string())
            if not self._renames_over(new):
                return self._status(packets.FAILURE, "it is there already")
            _replace(old, new)
        else:
            source, origin, count = self._fd(fields.string()), fields.number("Q"), fields.number("Q")
            target, offset = self._fd(fields.string()), fields.number("Q")
            _pwrite(target, _pread(source, count, origin), offset)
        return self._status()

    def _renames_over(self, path: bytes) -> bool:
        """Whether posix-rename may take this name."""
        return True

    def _fd(self, handle: bytes) -> int:
        if handle not in self._handles:
            raise OSError(errno.EBADF, "no such handle")
        return self._handles[handle]

    def _path(self, path: bytes) -> bytes:
        return os.path.join(self.root, path.lstrip(b"/"))

    def _status(self, code: int = packets.OK, words: str = "") -> bytes:
        return struct.pack(">BI", packets.STATUS, code) + packets.string(words.encode()) + packets.string(b"en")

    def _attrs(self, found: os.stat_result) -> bytes:
        return struct.pack(
            ">BIQIII", packets.ATTRS, 1 | 4 | 8, found.st_size, found.st_mode, int(found.st_mtime), int(found.st_mtime)
        )

    # -- what a frozen server still does ------------------------------------------------------------------

    def keep_late(self, late_dir: str) -> None:
        """Keep what is not carried out yet; open files by a link of their own, for they may lose their names meanwhile."""
        os.makedirs(late_dir, exist_ok=True)
        names = {os.lstat(os.path.join(self.root, name)).st_ino: name for name in os.listdir(self.root)}
        for handle, fd in self._handles.items():
            name = names.get(os.fstat(fd).st_ino)
            if name is not None:  # else it has no name any more, and bytes written to it are lost
                _link(os.path.join(self.root, name), os.path.join(os.fsencode(late_dir), handle))
        with open(os.path.join(late_dir, "requests"), "wb") as file:
            for data in self._waiting:
                file.write(packets.string(data))

    def run_late(self, late_dir: str) -> None:
        """Carry out what an earlier connection left undone, once."""
        path = os.path.join(late_dir, "requests")
        if not os.path.exists(path):
            return
        with open(path, "rb") as file:
            waiting = packets.Splitter(1 << 20).feed(file.read())
        _unlink(path)
        old = self._like(os.fsdecode(self.root))
        old._extensions = self._extensions
        old._take_late(late_dir)
        for data in waiting:
            old.carry_out(data)
        old.abort()
        for name in os.listdir(late_dir):
            _unlink(os.path.join(late_dir, name))

    def _like(self, root: str) -> ModelServer:
        """The same server, whose requests are no steps."""
        return ModelServer(root, lambda name: None, self._changed, atomic=self._atomic)

    def _take_late(self, late_dir: str) -> None:
        """Open the files again that the earlier connection had open."""
        for name in os.listdir(late_dir):
            self._handles[name.encode()] = _open(os.path.join(late_dir, name), os.O_RDWR)
