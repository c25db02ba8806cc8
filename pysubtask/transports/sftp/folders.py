"""Missing folders on the server: one MKDIR per folder, however many uploads wait for it."""

from __future__ import annotations

import asyncio

from ..shared.sftp_names import parent_of
from . import packets
from .client import Client
from .packets import Status


class Folders:
    """Makes folders over one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._making: dict[bytes, asyncio.Future[Status]] = {}

    async def make(self, folder: bytes) -> Status:
        """Create a folder and its missing parents; the reply to the last MKDIR.

        SFTP 3 has no status for a folder that exists already (section 7: SSH_FX_FAILURE), so the reply is only text
        for an error message: the OPEN of a file in the folder shows whether the folder is good.
        """
        running = self._making.get(folder)
        if running is None:
            running = self._making[folder] = asyncio.ensure_future(self._make(folder))
            running.add_done_callback(lambda done: self._forget(folder, done))
        # One upload may be cancelled while others wait for the same folder.
        return await asyncio.shield(running)

    async def _make(self, folder: bytes) -> Status:
        reply = await self._once(folder)
        above = parent_of(folder)
        if reply.code == packets.NO_SUCH_FILE and above not in (b"", b"/"):
            await self.make(above)
            reply = await self._once(folder)
        return reply

    async def _once(self, folder: bytes) -> Status:
        answer = await self._client.request(packets.MKDIR, packets.make_folder(folder))
        return answer if isinstance(answer, Status) else Status(packets.BAD_MESSAGE, "an answer of the wrong kind")

    def _forget(self, folder: bytes, done: asyncio.Future[Status]) -> None:
        self._making.pop(folder, None)
        if not done.cancelled():
            done.exception()
