"""A transport with the further operations that an examination needs: listing a folder, reading a file, free space, removal.

Paths are as the server takes them: from its root with a leading slash, else from the folder in which a login begins.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from ...common.errors import TransportError
from ...transports.base import Transport

OURS = (".pysubtask-", "pysubtask-doctor-", "pysubtask-selftest-")
_OUR_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")

FOLDER, FILE, MISSING, UNKNOWN = "folder", "file", "missing", "unknown"


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


def open_remote(transport: str, settings: Mapping[str, Any], workdir: str) -> Remote:
    """A transport with the operations of an examination, not yet connected. Raises ConfigError as the transport itself,
    ImportError without its library."""
    if transport == "pysftp":
        from .remote_pysftp import PySFTPRemote

        return PySFTPRemote(settings, workdir)
    if transport == "dropbox":
        from .remote_dropbox import DropboxRemote

        return DropboxRemote(settings, workdir)
    if transport == "ftp":
        from .remote_ftp import FTPRemote

        return FTPRemote(settings, workdir)
    assert transport == "sftp", transport
    from .remote_sftp import SFTPRemote

    return SFTPRemote(settings, workdir)


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
