"""The transport over the old library pysftp, with the further operations that an examination needs."""

from __future__ import annotations

import stat as modes
from collections.abc import Callable
from typing import Any, TypeVar

from ...transports.pysftp import PySFTPTransport
from .remote import FILE, FOLDER, MISSING, UNKNOWN, Remote, below, ours_among

_T = TypeVar("_T")


class PySFTPRemote(PySFTPTransport, Remote):
    """SFTP, over pysftp's connection of the transport."""

    async def on_connection(self, work: Callable[[Any], _T]) -> _T | None:
        """Blocking work with pysftp's connection; None where the server refuses it."""
        from ...transports.pysftp.link import Status as Refused

        link = self._open()

        def tried() -> _T | None:
            try:
                return work(link.connection)
            except (Refused, OSError):
                return None

        async with link.turn:
            return await self._apart(link, lambda call: tried())

    async def kind(self, path: str) -> str:
        """By stat; MISSING, too, where the server refuses it."""
        found = await self.on_connection(lambda connection: connection.stat(path or "."))
        if found is None:
            return MISSING
        return UNKNOWN if found.st_mode is None else FOLDER if modes.S_ISDIR(found.st_mode) else FILE

    async def home(self) -> str:
        """By normalize(".")."""
        return str(await self.on_connection(lambda connection: connection.normalize(".")) or "")

    async def drop_folder(self, path: str) -> bool:
        """By rmdir."""
        return await self.on_connection(lambda connection: [connection.rmdir(path)]) is not None

    async def drop_file(self, path: str) -> bool:
        """By remove."""
        return await self.on_connection(lambda connection: [connection.remove(path)]) is not None

    async def ours_in(self, path: str) -> list[str]:
        """By listdir, which gets all names at once."""
        found = await self.on_connection(lambda connection: list(connection.listdir(path or ".")))
        return ours_among(map(str, found or []))

    async def fetch(self, name: str, most: int) -> bytes | None:
        """By a read of ``most`` bytes at the beginning."""

        def got(connection: Any) -> bytes:
            with connection.open(below(self._folder, name), "rb") as file:
                return bytes(file.read(most))

        return await self.on_connection(got)
