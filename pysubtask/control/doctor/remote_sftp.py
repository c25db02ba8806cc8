"""SFTP with the further operations that an examination needs."""

from __future__ import annotations

import asyncio
import os
import stat as modes
from collections.abc import Callable, Iterable

from ...transports.sftp import SFTPTransport, packets
from ...transports.sftp.packets import Attrs, Data, Extended, Handle, Names, Status, string
from ...transports.shared.means import WRITES
from .remote import FILE, FOLDER, MISSING, UNKNOWN, Remote, below, ours_among

_BLOCK = 32 * 1024  # every server answers a READ of this size (filexfer-02, section 3)
_STATVFS = "statvfs@openssh.com"
# A hostile server can send a listing without end: these limits end it.
_MOST_LISTED, _MOST_OURS, _LIST_SECS = 500_000, 10_000, 60.0


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


def _is_ok(answer: packets.Reply) -> bool:
    return isinstance(answer, Status) and answer.code == packets.OK
