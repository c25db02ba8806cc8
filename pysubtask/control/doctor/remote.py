"""The transports with the further operations that an examination needs: listing a folder, reading a file, free space, removal.

Paths are as the server takes them: from its root with a leading slash, else from the folder in which a login begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat as modes
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ...common.errors import TransportError
from ...transports.base import Transport
from ...transports.ftp import FTPTransport
from ...transports.ftp.data import receive
from ...transports.ftp.replies import Reply, number_in
from ...transports.ftp.session import Session
from ...transports.sftp import SFTPTransport, packets
from ...transports.sftp.packets import Attrs, Data, Extended, Handle, Names, Status, string
from ...transports.shared.means import WRITES

OURS = (".pysubtask-", "pysubtask-doctor-", "pysubtask-selftest-")
_BLOCK = 32 * 1024  # every server answers a READ of this size (filexfer-02, section 3)
_STATVFS = "statvfs@openssh.com"
_LONGEST_LIST = 1 << 20  # bytes of an FTP listing
_OUR_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
# A hostile server can send a listing without end: these limits end it.
_MOST_LISTED, _MOST_OURS, _LIST_SECS = 500_000, 10_000, 60.0

FOLDER, FILE, MISSING, UNKNOWN = "folder", "file", "missing", "unknown"
_T = TypeVar("_T")


def ours_among(names: Iterable[str]) -> list[str]:
    """The names of a server's listing that begin as pysubtask's own. A name with a slash or with characters that pysubtask
    never writes is left out, as a hostile listing may hold one."""
    return [name for name in names if name.startswith(OURS) and _OUR_NAME.fullmatch(name)]


def parents(folder: str) -> list[str]:
    """A folder and those above it, the deepest first, without the root and the folder in which a login begins."""
    parts = [part for part in folder.split("/") if part]
    start = "/" if folder.startswith("/") else ""
    return [start + "/".join(parts[:count]) for count in range(len(parts), 0, -1)]


class Remote(Transport):
    """A transport with the operations of an examination. All of them need ``connect`` first, and raise TransportError as any
    transport does."""

    _folder: str

    @property
    def folder(self) -> str:
        """The destination's folder on the server."""
        return self._folder

    @abstractmethod
    async def kind(self, path: str) -> str:
        """FOLDER, FILE, MISSING, or UNKNOWN where the server does not say."""

    @abstractmethod
    async def home(self) -> str:
        """The folder in which a login begins, "" where the server does not say."""

    @abstractmethod
    async def drop_folder(self, path: str) -> bool:
        """Remove an empty folder; True where the server did."""

    @abstractmethod
    async def drop_file(self, path: str) -> bool:
        """Remove a file; True where the server did."""

    @abstractmethod
    async def ours_in(self, path: str) -> list[str]:
        """The names in a folder that begin with one of ``OURS``; none where the server does not list."""

    async def names_in(self, path: str) -> list[str]:
        """The names in a folder, up to a limit; none where the server does not list."""
        return []

    @abstractmethod
    async def fetch(self, name: str, most: int) -> bytes | None:
        """The first ``most`` bytes of the file ``name`` in the destination's folder; None where the file cannot be read."""

    async def may_write(self, path: str) -> bool:
        """Whether an empty file can be created in a folder; the file is removed."""
        return False

    async def space(self) -> int | None:
        """The free bytes for this login, None where the server does not say."""
        return None

    async def reuses_session(self) -> bool | None:
        """Whether a data connection resumes the TLS session of the control connection; None where there is no such connection."""
        return None

    async def missing(self, path: str) -> list[str]:
        """The folders that do not exist, of a folder and those above it; the deepest first."""
        found = []
        for folder in parents(path):
            if await self.kind(folder) != MISSING:
                break
            found.append(folder)
        return found


class SFTPRemote(SFTPTransport, Remote):
    """SFTP version 3 (draft-ietf-secsh-filexfer-02), over the connection of the transport."""

    async def ask(self, kind: int, body: bytes) -> packets.Reply:
        """Send one request and await its reply. ``kind``: the type byte; ``body``: the bytes behind the request's id."""
        client, _ = self._open()
        return await client.request(kind, body)

    def offers(self, name: str) -> bool:
        """Whether the server's SSH_FXP_VERSION lists the extension ``name``."""
        return name in self._open()[0].extensions

    async def kind(self, path: str) -> str:
        """By SSH_FXP_STAT (draft-ietf-secsh-filexfer-02, section 6.8); UNKNOWN where the attributes have no permissions."""
        answer = await self.ask(packets.STAT, string(os.fsencode(path or ".")))
        if isinstance(answer, Attrs):
            return UNKNOWN if answer.permissions is None else FOLDER if modes.S_ISDIR(answer.permissions) else FILE
        return MISSING if isinstance(answer, Status) and answer.code == packets.NO_SUCH_FILE else UNKNOWN

    async def home(self) -> str:
        """By SSH_FXP_REALPATH of "." (filexfer-02, section 6.11)."""
        answer = await self.ask(packets.REALPATH, string(b"."))
        return os.fsdecode(answer.names[0]) if isinstance(answer, Names) and answer.names else ""

    async def drop_folder(self, path: str) -> bool:
        """By SSH_FXP_RMDIR (filexfer-02, section 6.6)."""
        return _is_ok(await self.ask(packets.RMDIR, string(os.fsencode(path))))

    async def drop_file(self, path: str) -> bool:
        """By SSH_FXP_REMOVE (filexfer-02, section 6.5)."""
        return _is_ok(await self.ask(packets.REMOVE, string(os.fsencode(path))))

    async def ours_in(self, path: str) -> list[str]:
        """At most ``_MOST_OURS`` of them, by the requests of ``names_in``."""
        return (await self._names(path, ours_among, _MOST_OURS))[:_MOST_OURS]

    async def names_in(self, path: str) -> list[str]:
        """By SSH_FXP_OPENDIR and SSH_FXP_READDIR (filexfer-02, section 6.7); at most ``_MOST_LISTED`` names."""
        return await self._names(path, list, _MOST_LISTED)

    async def _names(self, path: str, chosen: Callable[[Iterable[str]], list[str]], most: int) -> list[str]:
        opened = await self.ask(packets.OPENDIR, string(os.fsencode(path or ".")))
        if not isinstance(opened, Handle):
            return []
        found: dict[str, None] = {}
        listed, end = 0, asyncio.get_running_loop().time() + _LIST_SECS
        while isinstance(answer := await self.ask(packets.READDIR, string(opened.handle)), Names) and answer.names:
            found.update(dict.fromkeys(chosen(map(os.fsdecode, answer.names))))
            listed += len(answer.names)
            if listed >= _MOST_LISTED or len(found) >= most or asyncio.get_running_loop().time() > end:
                break
        await self.ask(packets.CLOSE, string(opened.handle))
        return list(found)

    async def fetch(self, name: str, most: int) -> bytes | None:
        """By SSH_FXP_READ (filexfer-02, section 6.4), all blocks at once."""
        path = os.fsencode(below(self._folder, name))
        opened = await self.ask(packets.OPEN, packets.open_old(path, read=True, write=False))
        if not isinstance(opened, Handle):
            return None
        try:
            starts = range(0, max(most, 1), _BLOCK)
            answers = await asyncio.gather(
                *(self.ask(packets.READ, packets.read(opened.handle, at, min(_BLOCK, most - at))) for at in starts)
            )
        finally:
            await self.ask(packets.CLOSE, string(opened.handle))
        found = b""
        for answer in answers:
            if isinstance(answer, Status) and answer.code != packets.EOF:
                return None
            if not isinstance(answer, Data):
                break
            found += answer.data
            if len(answer.data) < _BLOCK:
                break
        return found

    async def why_no_resume(self, path: str) -> str:
        """Why an interrupted upload cannot be resumed: ``WRITES.lacks`` where the server takes bytes in their order only, else
        the server's reply; '' where it can. The test creates the file ``path``, which the caller removes."""
        name = os.fsencode(path)
        opened = await self.ask(packets.OPEN, packets.open_new(name))
        if not isinstance(opened, Handle):
            return str(opened)
        early = await self.ask(packets.WRITE, packets.write(opened.handle, 4, b"more"))
        answers = [
            await self.ask(packets.WRITE, packets.write(opened.handle, 0, b"half")),
            await self.ask(packets.CLOSE, string(opened.handle)),
        ]
        if any(not _is_ok(answer) for answer in answers):
            return str(next(answer for answer in answers if not _is_ok(answer)))
        if not _is_ok(early):
            return WRITES.lacks["in_order"]
        opened = await self.ask(packets.OPEN, packets.open_old(name, read=True, write=True))
        if not isinstance(opened, Handle):
            return str(opened)
        found = await self.ask(packets.READ, packets.read(opened.handle, 0, 4))
        answers = [
            await self.ask(packets.WRITE, packets.write(opened.handle, 4, b"rest")),
            await self.ask(packets.CLOSE, string(opened.handle)),
        ]
        return next((str(answer) for answer in answers if not _is_ok(answer)), "" if isinstance(found, Data) else str(found))

    async def may_write(self, path: str) -> bool:
        """Creates an empty file by SSH_FXP_OPEN (filexfer-02, section 6.3) and removes it."""
        name = os.fsencode(below(path, f".pysubtask-{os.urandom(8).hex()}.part"))
        opened = await self.ask(packets.OPEN, packets.open_new(name))
        if not isinstance(opened, Handle):
            return False
        await self.ask(packets.CLOSE, string(opened.handle))
        return _is_ok(await self.ask(packets.REMOVE, string(name)))

    async def space(self) -> int | None:
        """By statvfs@openssh.com (OpenSSH PROTOCOL, section 4.4): eleven 64-bit numbers, of which the second is the size of a
        block and the fifth the number of free blocks."""
        if not self.offers(_STATVFS):
            return None
        answer = await self.ask(packets.EXTENDED, packets.extended(_STATVFS, os.fsencode(self._folder or ".")))
        if not isinstance(answer, Extended) or len(answer.data) < 88:
            return None
        numbers = [int.from_bytes(answer.data[at : at + 8]) for at in range(0, 88, 8)]
        return numbers[1] * numbers[4]


class FTPRemote(FTPTransport, Remote):
    """FTP (RFC 959), over sessions of the transport."""

    async def on_session(self, work: Callable[[Session], _T]) -> _T:
        """Run any commands in a thread, with a session that no other task uses meanwhile."""
        pool, _ = self._open()
        async with pool.lease() as session:
            return await pool.run(session, lambda: work(session))

    async def kind(self, path: str) -> str:
        """By CWD (RFC 959, section 4.1.1) and back for a folder; by SIZE, MLST or LIST for a file."""

        def probe(session: Session) -> str:
            if not path:
                return FOLDER
            before = _quoted(session.ask("PWD"))
            if session.ask(f"CWD {path}").ok:
                session.ask(f"CWD {before or '/'}")
                return FOLDER
            return FILE if session.is_there(path) else MISSING

        return await self.on_session(probe)

    async def home(self) -> str:
        """By PWD (RFC 959, section 4.1.3): a session's working folder is the first one, as ``kind`` returns to it."""
        return await self.on_session(lambda session: _quoted(session.ask("PWD")))

    async def drop_folder(self, path: str) -> bool:
        """By RMD (RFC 959, section 4.1.3)."""
        return await self.on_session(lambda session: session.ask(f"RMD {path}").ok)

    async def drop_file(self, path: str) -> bool:
        """By DELE (RFC 959, section 4.1.3)."""
        return await self.on_session(lambda session: session.delete(path).ok)

    async def ours_in(self, path: str) -> list[str]:
        """From the listing of ``names_in``."""
        return ours_among(await self.names_in(path))

    async def names_in(self, path: str) -> list[str]:
        """By MLSD (RFC 3659, section 7) where the server has it, else by LIST -a."""

        def listed(session: Session) -> list[str]:
            command = "MLSD" if "MLST" in session.known.features else "LIST -a"  # NLST leaves hidden names out at many servers
            found = session.listing(f"{command} {path}".rstrip(), _LONGEST_LIST)
            return [line.split(" ")[-1] for line in found.decode("utf-8", "surrogateescape").splitlines()]

        return await self.on_session(listed)

    async def fetch(self, name: str, most: int) -> bytes | None:
        """By RETR (RFC 959, section 4.1.3), broken off after ``most`` bytes."""
        path = below(self._folder, name)

        def got(session: Session) -> bytes | None:
            found = session.fetch(path, 0, most)
            return None if found is None else found[:most]

        return await self.on_session(got)

    async def may_write(self, path: str) -> bool:
        """By STOR of an empty file, which is removed by DELE (RFC 959, section 4.1.3)."""
        name = below(path, f".pysubtask-{os.urandom(8).hex()}.part")

        def tried(session: Session) -> bool:
            sock, _ = session.control.open_data(f"STOR {name}")
            if sock is None:
                return False
            session.control.drop(sock)
            session.control.read_reply()
            return session.delete(name).ok

        with contextlib.suppress(OSError, EOFError):
            return await self.on_session(tried)
        return False

    async def renames(self, name: str) -> bool:
        """Whether a file in the destination's folder can be renamed (RNFR and RNTO, RFC 959); the file gets its name back."""
        path = below(self._folder, name)
        other = f"{path}.renamed"

        def tried(session: Session) -> bool:
            return session.rename(path, other).ok and session.rename(other, path).ok

        return await self.on_session(tried)

    async def space(self) -> int | None:
        """By AVBL (draft-peterson-streamlined-ftp-command-extensions) where FEAT lists it."""

        def available(session: Session) -> int | None:
            if "AVBL" not in session.known.features:
                return None
            reply = session.ask(f"AVBL {self._folder}".rstrip())
            return number_in(reply.lines[0][3:].strip()) if reply.code == 213 else None

        return await self.on_session(available)

    async def reuses_session(self) -> bool | None:
        """By the data connection of an NLST (RFC 959, section 4.1.3); None, too, where the server refuses one."""

        def reused(session: Session) -> bool | None:
            with session.translated_errors():
                sock, _ = session.control.open_data("NLST")
                if sock is None:
                    return None
                reuse = getattr(sock, "session_reused", None)
                try:
                    receive(session.control, sock, _LONGEST_LIST)
                finally:
                    session.control.drop(sock)
                session.control.read_reply()
                return reuse

        return await self.on_session(reused)

    async def offers_tls(self) -> bool:
        """Whether FEAT lists AUTH TLS (RFC 4217, section 6)."""
        return await self.on_session(lambda session: "TLS" in session.known.features.get("AUTH", "").upper())

    async def certificate(self) -> dict[str, Any]:
        """The fields of the server's certificate; empty without TLS, or where the certificate is pinned by its fingerprint."""

        def fields(session: Session) -> dict[str, Any]:
            get = getattr(session.control.sock, "getpeercert", None)
            return dict(get() or {}) if get is not None else {}

        return await self.on_session(fields)


def open_remote(transport: str, settings: Mapping[str, Any], workdir: str) -> Remote:
    """A transport with the operations of an examination, not yet connected. Raises ConfigError as the transport itself,
    ImportError without its library."""
    if transport == "pysftp":
        from .remote_pysftp import PySFTPRemote

        return PySFTPRemote(settings, workdir)
    if transport == "dropbox":
        from .remote_dropbox import DropboxRemote

        return DropboxRemote(settings, workdir)
    known: dict[str, type[Remote]] = {"sftp": SFTPRemote, "ftp": FTPRemote}
    return known[transport](settings, workdir)


async def clean(remote: Remote, files: list[str], folders: list[str]) -> list[str]:
    """Remove files, then folders, which must be in order with the deepest first. Returns the paths that are still there."""
    left = []
    for drop, kind, paths in ((remote.drop_file, FILE, files), (remote.drop_folder, FOLDER, folders)):
        for path in paths:
            try:
                if not await drop(path) and await remote.kind(path) in (kind, UNKNOWN):
                    left.append(path)
            except TransportError:
                left.append(path)
    return left


def below(folder: str, name: str) -> str:
    """The path of a name in a folder; the name alone where the folder is ''."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _is_ok(answer: packets.Reply) -> bool:
    return isinstance(answer, Status) and answer.code == packets.OK


def _quoted(reply: Reply) -> str:
    """RFC 959, appendix II: the path in a 257 reply, with its quotes doubled."""
    _, quote, rest = reply.lines[0].partition('"')
    return rest.rpartition('"')[0].replace('""', '"') if reply.code == 257 and quote else ""
