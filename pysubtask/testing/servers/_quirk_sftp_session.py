"""What an SFTP server with quirks does per connection and per session. Runs on the server's own thread; needs asyncssh."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import asyncssh

from ._sftp_session import Files, Login, _edit_greeting

if TYPE_CHECKING:
    from .quirk_sftp import QuirkSFTPServer

_READ, _WRITE, _APPEND, _CREATE, _TRUNCATE, _EXCLUSIVE = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20  # filexfer-02, 6.3
_numbers = itertools.count()


class QuirkLogin(Login):
    """Refuses connections before the version exchange, as sshd does at its limits."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Aborts the connection where the quirks allow no more connections or logins now."""
        server: Any = self._server
        allowed = server.disk.connection_allowed(len(server.connections)) and server.disk.login_allowed()
        super().connection_made(conn)
        if not allowed:
            conn.abort()


class QuirkFiles(Files):
    """The file operations, with the server's quirks of that moment."""

    def __init__(self, server: QuirkSFTPServer, channel: asyncssh.SSHServerChannel[bytes], without: frozenset[str]) -> None:
        super().__init__(server, channel)
        self._quirky = server
        self._ends: dict[int, int] = {}  # how far an open file is written
        self._begun: dict[int, int] = {}  # what it had when it was opened
        self._staged: dict[int, str] = {}  # the path that it gets when it is closed
        if without - server.without:
            _edit_greeting(channel, without)

    def map_path(self, path: bytes) -> bytes:
        """The local path, under the name that the quirks have given to the file."""
        return os.fsencode(self._quirky.disk.found_as(os.fsdecode(super().map_path(path))))

    # --- opening, writing, closing

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """SSH_FXP_OPEN (filexfer-02, section 6.3). SFTPFailure where too many files are open, SFTPOpUnsupported or
        SFTPPermissionDenied where a quirk refuses this kind of opening."""
        server, quirks = self._quirky, self._quirky.quirks
        local, writes = self._local(path), bool(pflags & _WRITE)

        def opened() -> Any:
            if quirks.open_files is not None and server.handles >= quirks.open_files:
                raise asyncssh.SFTPFailure("Too many open files")
            if not writes:
                return self._open_to_read(path, local)
            if pflags & _READ and not quirks.read_write:
                raise asyncssh.SFTPOpUnsupported("a file is read or written here, not both")
            if pflags & _READ and not quirks.reads:
                raise asyncssh.SFTPPermissionDenied("no file may be read here")
            return self._open_to_write(local, pflags, attrs)

        return self._do("open", self._name(path), opened, mode="w" if writes else "r")

    def _open_to_read(self, path: bytes, local: str) -> Any:
        if self._quirky.disk.is_hidden(local):
            raise asyncssh.SFTPNoSuchFile("No such file")
        if not self._quirky.quirks.reads:
            raise asyncssh.SFTPPermissionDenied("no file may be read here")
        return self._keep(open(local, "rb", buffering=0), local)

    def _open_to_write(self, local: str, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        quirks, disk = self._quirky.quirks, self._quirky.disk
        refused = disk.refuses(local)
        if refused is not None:
            raise asyncssh.SFTPPermissionDenied(refused)
        local = disk.stored_as(local)
        if os.path.islink(local) and quirks.links != "followed":
            if quirks.links == "refused":
                raise asyncssh.SFTPPermissionDenied("this is a link")
            os.unlink(local)
            pflags |= _CREATE
        size = os.path.getsize(local) if os.path.isfile(local) else 0
        if size and not pflags & _TRUNCATE and not pflags & _EXCLUSIVE and quirks.append == "refused":
            raise asyncssh.SFTPOpUnsupported("no file is changed here")
        if disk.is_hidden(local):
            disk.write_begins(local)
        flags = os.O_RDWR if pflags & _READ else os.O_WRONLY
        for bit, flag in ((_APPEND, os.O_APPEND), (_CREATE, os.O_CREAT), (_TRUNCATE, os.O_TRUNC), (_EXCLUSIVE, os.O_EXCL)):
            flags |= flag if pflags & bit else 0
        staged = quirks.visible == "after close" and bool(pflags & _CREATE)
        if staged:
            if pflags & _EXCLUSIVE and os.path.lexists(local):
                raise FileExistsError(17, "File exists", local)
            if not os.path.isdir(os.path.dirname(local)):
                raise asyncssh.SFTPNoSuchFile("No such file")
            os.makedirs(self._quirky.staged, exist_ok=True)
            place = os.path.join(self._quirky.staged, str(next(_numbers)))
            flags |= os.O_CREAT
        else:
            place = local
        permissions = 0o666 if attrs.permissions is None else attrs.permissions
        mode = "r+b" if pflags & _READ else "wb"
        file = open(place, mode, buffering=0, opener=lambda name, _: os.open(name, flags, permissions))  # noqa: SIM115
        if staged:
            self._staged[id(file)] = local
        self._begun[id(file)] = self._ends[id(file)] = 0 if pflags & _TRUNCATE else size
        return self._keep(file, local)

    def _keep(self, file: Any, local: str) -> Any:
        self._quirky.open_files[id(file)] = local
        return file

    def read(self, file_obj: object, offset: int, size: int) -> Any:
        """SSH_FXP_READ (section 6.4). SFTPPermissionDenied where no file may be read."""
        file: Any = file_obj
        if not self._quirky.quirks.reads:
            raise asyncssh.SFTPPermissionDenied("no file may be read here")
        return super().read(file, offset, size)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """SSH_FXP_WRITE (section 6.4). SFTPFailure for an offset other than the file's end where a quirk demands order, or for
        an append that is refused late."""
        quirks, end = self._quirky.quirks, self._ends.get(id(file_obj), 0)
        late = quirks.append == "late" and bool(self._begun.get(id(file_obj))) and offset > 0
        if late or (not quirks.random_writes and offset != end):

            def refused() -> int:
                raise asyncssh.SFTPFailure("Illegal seek")

            return self._do("write", self._of(file_obj), refused)
        written = super().write(file_obj, offset, data)
        self._ends[id(file_obj)] = max(end, offset + len(data))
        return written

    def close(self, file_obj: object) -> None:
        """SSH_FXP_CLOSE (section 6.3). A staged file gets its name here, unless the client has gone without closing it."""
        number, writes = id(file_obj), id(file_obj) in self._ends
        before, staged = self._begun.pop(number, 0), self._staged.pop(number, None)
        place = str(getattr(file_obj, "name", ""))
        try:
            super().close(file_obj)
        finally:
            local = self._quirky.open_files.pop(number, "")
            self._ends.pop(number, None)
        if staged is not None:
            if self._is_over():  # what was not closed by the client was never there
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(place)
                return
            os.replace(place, staged)
        if writes:
            self._quirky.disk.write_ended(local, before)

    def _is_over(self) -> bool:
        """Whether the client has gone, so that its open files are closed by the server."""
        return bool(self.channel.is_closing()) or self.connection not in self._quirky.connections

    def _of(self, file_obj: Any) -> str:
        local = self._quirky.open_files.get(id(file_obj))
        return super()._of(file_obj) if local is None else self._below(os.fsencode(local))

    # --- asking

    def stat(self, path: bytes) -> Any:
        """SSH_FXP_STAT (section 6.8), with size and time as the quirks report them."""
        return self._reported(self._local(path), os.stat)

    def lstat(self, path: bytes) -> Any:
        """SSH_FXP_LSTAT (section 6.8), with size and time as the quirks report them."""
        return self._reported(self._local(path), os.lstat)

    def fstat(self, file_obj: object) -> Any:
        """SSH_FXP_FSTAT (section 6.8), with size and time as the quirks report them for a file that is being written."""
        file: Any = file_obj
        local = self._quirky.open_files.get(id(file), "")
        return self._attrs(local, os.fstat(file.fileno()), writing=id(file) in self._ends)

    def _reported(self, local: str, stat: Callable[[str], os.stat_result]) -> Any:
        if self._quirky.disk.is_hidden(local):
            raise asyncssh.SFTPNoSuchFile("No such file")
        writing = local in self._quirky.open_files.values() and any(
            number in self._ends for number, name in self._quirky.open_files.items() if name == local
        )
        return self._attrs(local, stat(local), writing=writing)

    def _attrs(self, local: str, found: os.stat_result, *, writing: bool) -> Any:
        attrs = asyncssh.SFTPAttrs.from_local(found)
        if attrs.mtime is not None:
            attrs.mtime = self._quirky.disk.reported_time(attrs.mtime)
        if not os.path.isfile(local) and not writing:
            return attrs
        size = self._quirky.quirks.size
        if writing and size == "missing":
            raise asyncssh.SFTPNoSuchFile("No such file")
        if size == "never" or (writing and size == "absent"):
            attrs.size = None
        elif writing and size == "zero":
            attrs.size = 0
        elif attrs.size is not None and not writing:
            attrs.size = self._quirky.disk.reported_size(local, attrs.size)
        return attrs

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """The entries for SSH_FXP_READDIR (section 6.7), without the hidden ones, with attributes as ``lstat`` reports them."""
        async for one in super().scandir(path):
            local = os.path.join(self._local(path), os.fsdecode(one.filename))
            if one.filename in (b".", b".."):
                yield one
                continue
            with contextlib.suppress(asyncssh.SFTPNoSuchFile, FileNotFoundError):
                one.attrs = self._reported(local, os.lstat)
                yield one

    # --- changing what is there

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_SETSTAT (section 6.9); does nothing where the quirks ignore attributes."""
        if self._times("setstat", self._name(path)):
            super().setstat(path, attrs)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_FSETSTAT (section 6.9); does nothing where the quirks ignore attributes."""
        if self._times("setstat", self._of(file_obj)):
            super().fsetstat(file_obj, attrs)

    def _times(self, kind: str, name: str) -> bool:
        """Whether attributes are set; refused where the server says so."""

        def refused() -> None:
            raise asyncssh.SFTPOpUnsupported("attributes are not set here")

        if self._quirky.quirks.times == "refused":
            self._do(kind, name, refused)
        return self._quirky.quirks.times == "kept"

    def fsync(self, file_obj: object) -> None:
        """fsync@openssh.com (OpenSSH's PROTOCOL, section 4.6). SFTPOpUnsupported where a quirk does not offer it."""
        if not self._quirky.quirks.fsync:
            raise asyncssh.SFTPOpUnsupported("fsync@openssh.com is not offered here")
        super().fsync(file_obj)

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        """SSH_FXP_RENAME (section 6.5): never over a name that exists."""
        return self._renamed(oldpath, newpath, posix=False)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        """posix-rename@openssh.com (OpenSSH's PROTOCOL, section 4.3): over a name that exists, unless a quirk refuses that."""
        return self._renamed(oldpath, newpath, posix=True)

    def _renamed(self, oldpath: bytes, newpath: bytes, *, posix: bool) -> Any:
        quirks, disk = self._quirky.quirks, self._quirky.disk
        old, new = self._local(oldpath), self._local(newpath)

        def done() -> None:
            if posix and (not quirks.posix_rename or "posix-rename@openssh.com" in self._quirky.without):
                raise asyncssh.SFTPOpUnsupported("posix-rename@openssh.com is not offered here")
            if quirks.rename == "none":
                raise asyncssh.SFTPPermissionDenied("no file is renamed here")
            refused = disk.refuses(new) if os.path.isfile(old) else disk.refuses_folder(new)
            if refused is not None:
                raise asyncssh.SFTPPermissionDenied(refused)
            target = disk.stored_as(new)
            if os.path.lexists(target) and not disk.is_hidden(target) and (not posix or quirks.rename == "new"):
                raise asyncssh.SFTPFailure("the new name exists")
            os.rename(old, target)
            disk.renamed(old, target)

        def listed() -> None:
            self._do("rename", self._name(oldpath), done, other=self._name(newpath), mode="posix" if posix else "")

        async def slowly() -> None:
            await asyncio.sleep(quirks.rename_secs)
            listed()

        return slowly() if quirks.rename_secs else listed()

    def remove(self, path: bytes) -> None:
        """SSH_FXP_REMOVE (section 6.5). SFTPPermissionDenied where no file may be deleted."""

        def refused() -> None:
            raise asyncssh.SFTPPermissionDenied("no file is deleted here")

        if not self._quirky.quirks.delete:
            self._do("remove", self._name(path), refused)
        super().remove(path)

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """SSH_FXP_MKDIR (section 6.6). SFTPPermissionDenied where a quirk refuses this folder."""
        why = self._quirky.disk.refuses_folder(self._local(path))

        def refused() -> None:
            raise asyncssh.SFTPPermissionDenied(str(why))

        if why is not None:
            self._do("mkdir", self._name(path), refused)
        super().mkdir(path, attrs)

    def _local(self, path: bytes) -> str:
        return os.fsdecode(self.map_path(path))
