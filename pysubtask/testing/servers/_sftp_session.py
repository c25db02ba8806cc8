"""What the SFTP server does per connection (``Login``) and per session (``Files``). Needs asyncssh."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import asyncssh

from .sftp import Operation

if TYPE_CHECKING:
    from .sftp import SFTPServer

_T = TypeVar("_T")

_FXF_WRITE = 0x02
_FXP_VERSION = 2
_FXP_EXTENDED_REPLY = 201
CHECK_FILE = "check-file"


class Login(asyncssh.SSHServer):
    """Lets one user in, by one key or one password, and counts."""

    def __init__(self, server: SFTPServer, key: asyncssh.SSHKey, password: str | None) -> None:
        self._server = server
        self._key = key.public_data
        self._password = password
        self._connection: asyncssh.SSHServerConnection | None = None
        self._tried = self._in = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Adds the connection to the server's ``connections``."""
        self._connection = conn
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts a failed login where the client tried to log in and never got in."""
        if self._connection is not None:
            self._server.connections.discard(self._connection)
        if self._tried and not self._in:
            self._server.failed_logins += 1

    def begin_auth(self, username: str) -> bool:
        """Every user has to log in, also an unknown one."""
        return True

    def auth_completed(self) -> None:
        """Counts the login."""
        self._in = True
        self._server.logins += 1

    def public_key_auth_supported(self) -> bool:
        """Keys are always taken (RFC 4252, section 7)."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether this is the one user with the one key."""
        return self._verdict(username, "publickey", key.public_data == self._key)

    def password_auth_supported(self) -> bool:
        """Passwords are taken where the server has one (RFC 4252, section 8)."""
        return self._password is not None

    def validate_password(self, username: str, password: str) -> bool:
        """Whether this is the one user with the one password."""
        return self._verdict(username, "password", hmac.compare_digest(password.encode(), (self._password or "").encode()))

    def kbdint_auth_supported(self) -> bool:
        """Keyboard-interactive (RFC 4256) is never offered."""
        return False  # asyncssh would offer it by itself wherever passwords are taken

    def _verdict(self, username: str, method: str, fits: bool) -> bool:
        self._tried = True
        fits = fits and username == self._server.user
        if not fits:
            self._server.refused.append((username, method))
        return fits


class Files(asyncssh.SFTPServer):
    """asyncssh's file operations, each one listed, and refused where a fault says so."""

    def __init__(self, server: SFTPServer, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel, chroot=os.fsencode(server.root))
        self._server = server
        self._written: dict[int, int] = {}
        if server.without or server.hashes:
            _edit_greeting(channel, server.without, (CHECK_FILE,) if server.hashes else ())

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """SSH_FXP_OPEN (filexfer-02, section 6.3), listed with the mode "r" or "w"."""
        opened = super().open
        return self._do("open", self._name(path), lambda: opened(path, pflags, attrs), mode="w" if pflags & _FXF_WRITE else "r")

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """SSH_FXP_WRITE (section 6.4). OSError (ENOSPC) once the server's ``room`` is used up; what still fitted is written."""
        file: Any = file_obj
        room = self._server.room
        taken = len(data) if room is None else min(len(data), max(0, room))

        flips = self._server.flips > 0 and offset == 0
        self._server.flips -= flips

        def whole() -> int:
            file.seek(offset)
            left = memoryview(bytes((data[0] ^ 1,)) + data[1:] if flips else data)[:taken]
            while left:  # the file is unbuffered and may take less than it was given
                left = left[file.write(left) :]
            if room is not None:
                self._server.room = room - taken
            self._server.bytes_written += taken
            self._written[id(file)] = self._written.get(id(file), 0) + taken
            if taken < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return taken

        return self._do("write", self._of(file), whole, listed=False)

    def close(self, file_obj: object) -> None:
        """SSH_FXP_CLOSE (section 6.3), listed with the bytes that were written to the file."""
        name, size = self._of(file_obj), self._written.pop(id(file_obj), 0)
        closed = super().close
        self._do("close", name, lambda: closed(file_obj), size=size)

    def fsync(self, file_obj: object) -> None:
        """fsync@openssh.com (OpenSSH's PROTOCOL, section 4.6)."""
        self._offered("fsync@openssh.com")
        synced = super().fsync
        self._do("fsync", self._of(file_obj), lambda: synced(file_obj))

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_SETSTAT (section 6.9)."""
        done = super().setstat
        self._do("setstat", self._name(path), lambda: done(path, attrs))

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_FSETSTAT (section 6.9), listed as "setstat"."""
        done = super().fsetstat
        self._do("setstat", self._of(file_obj), lambda: done(file_obj, attrs))

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """SSH_FXP_RENAME (section 6.5). SFTPFailure where the new name exists, as OpenSSH does it."""

        def plain() -> None:
            if os.path.lexists(self.map_path(newpath)):
                raise asyncssh.SFTPFailure("the new name exists")
            os.rename(self.map_path(oldpath), self.map_path(newpath))

        self._do("rename", self._name(oldpath), plain, other=self._name(newpath))

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """posix-rename@openssh.com (OpenSSH's PROTOCOL, section 4.3), listed as a rename of mode "posix"."""
        self._offered("posix-rename@openssh.com")
        done = super().posix_rename
        self._do("rename", self._name(oldpath), lambda: done(oldpath, newpath), other=self._name(newpath), mode="posix")

    def remove(self, path: bytes) -> None:
        """SSH_FXP_REMOVE (section 6.5)."""
        done = super().remove
        self._do("remove", self._name(path), lambda: done(path))

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_MKDIR (section 6.6)."""
        done = super().mkdir
        self._do("mkdir", self._name(path), lambda: done(path, attrs))

    def rmdir(self, path: bytes) -> None:
        """SSH_FXP_RMDIR (section 6.6)."""
        done = super().rmdir
        self._do("rmdir", self._name(path), lambda: done(path))

    def check_file(self, path: bytes, requested: list[str]) -> bytes:
        """The fields of a reply to check-file-name: which algorithm, and the hash. SFTPOpUnsupported where the server has none
        of the requested algorithms."""
        chosen = next((name for name in requested if name in self._server.hashes), None)
        if chosen is None:
            raise asyncssh.SFTPOpUnsupported("none of these algorithms")

        def hashed() -> bytes:
            with open(self.map_path(path), "rb") as file:
                return hashlib.file_digest(file, chosen).digest()

        return _string(chosen.encode()) + self._do("check", self._name(path), hashed)

    def _do(
        self, kind: str, name: str, work: Callable[[], _T], *, other: str = "", mode: str = "", size: int = 0, listed: bool = True
    ) -> _T:
        try:
            fault = self._server.fault(kind, name, other)
            if fault is not None:
                raise asyncssh.SFTPError(fault.code, fault.message)
            result = work()
        except (OSError, asyncssh.SFTPError) as exc:
            self._server.log.append(Operation(kind, name, other, mode, size, str(exc)))
            raise
        if listed:
            self._server.log.append(Operation(kind, name, other, mode, size))
        return result

    def _offered(self, extension: str) -> None:
        if extension in self._server.without:
            raise asyncssh.SFTPOpUnsupported(f"{extension} is not offered here")

    def _of(self, file_obj: Any) -> str:
        """The name a file was opened under."""
        return self._below(os.fsencode(file_obj.name))

    def _name(self, path: bytes) -> str:
        return self._below(self.map_path(path))

    def _below(self, path: bytes) -> str:
        return os.fsdecode(os.path.relpath(path, os.fsencode(self._server.root)))


class _Fields:
    """The fields of a reply, which asyncssh writes unchanged."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def encode(self, version: int) -> bytes:
        return self.data


async def _process_check_file(handler: Any, packet: Any) -> _Fields:
    """A check-file-name request (draft-ietf-secsh-filexfer-13, 9.1.2), of which only whole files are answered."""
    path, requested = packet.get_string(), packet.get_string().decode().split(",")
    parts = packet.get_uint64(), packet.get_uint64(), packet.get_uint32()
    packet.check_end()
    files = handler._server
    if not isinstance(files, Files) or parts != (0, 0, 0):
        raise asyncssh.SFTPOpUnsupported("not here")
    return _Fields(files.check_file(path, requested))


def _teach_check_file() -> None:
    """Register the request with asyncssh, which has no interface for extensions."""
    from asyncssh.sftp import SFTPServerHandler

    SFTPServerHandler._packet_handlers[b"check-file-name"] = _process_check_file
    SFTPServerHandler._return_types[b"check-file-name"] = _FXP_EXTENDED_REPLY


_teach_check_file()


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _edit_greeting(channel: Any, without: frozenset[str], more: tuple[str, ...] = ()) -> None:
    """Take extensions out of SSH_FXP_VERSION, the first packet of a session (filexfer-02, section 4), and add ``more``."""
    write = channel.write

    def edited(data: bytes, *rest: Any) -> Any:
        channel.write = write
        return write(without_extensions(data, without, more), *rest)

    channel.write = edited


def without_extensions(packet: bytes, names: frozenset[str], more: tuple[str, ...] = ()) -> bytes:
    """An SSH_FXP_VERSION packet without the extensions of these names, and with ``more``. ValueError for a packet of another
    type."""
    kind, version = struct.unpack(">BI", packet[4:9])
    if kind != _FXP_VERSION:
        raise ValueError(f"packet type {kind} is not SSH_FXP_VERSION")
    strings, place = [], 9
    while place < len(packet):
        (size,) = struct.unpack(">I", packet[place : place + 4])
        strings.append(packet[place : place + 4 + size])
        place += 4 + size
    pairs = [name + value for name, value in zip(strings[::2], strings[1::2], strict=True) if name[4:].decode() not in names]
    body = struct.pack(">BI", kind, version) + b"".join(pairs)
    body += b"".join(_string(name.encode()) + _string(b"") for name in more)
    return struct.pack(">I", len(body)) + body
