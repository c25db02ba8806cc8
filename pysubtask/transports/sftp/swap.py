"""Servers that cannot rename over a file: old one aside, new one in, old one away.

For a moment a reader sees no file. Each aside is recorded in the work folder before the rename, so that
the next connection can finish or undo an interrupted swap: an aside is never removed while its name is missing.
"""

from __future__ import annotations

import asyncio
import stat
import time

from ..shared.swap_record import SwapRecord
from ..shared.temp_names import beside
from . import packets
from .client import Client
from .leftovers import Leftovers
from .packets import Attrs, Reply, Status, string

_SUFFIX = b".old"


class Swaps:
    """Replaces files over one connection, with a record that outlives it."""

    def __init__(self, client: Client, record: SwapRecord, leftovers: Leftovers | None = None) -> None:
        self._client = client
        self._record = record
        self._leftovers = leftovers

    @property
    def needed(self) -> bool:
        """Whether anything was ever put aside at this destination."""
        return self._record.known

    async def replace(self, temp: bytes, target: bytes, first: Status | None = None) -> Status:
        """Put ``temp`` in the place of ``target``; the reply that decides. After a refusal the old file has its name again.
        ``first``: the reply to a plain rename, where one has been tried just now."""
        first = first or await self._rename(temp, target)
        if first.code in (packets.OK, packets.NO_SUCH_FILE):  # no old file is put aside for one that is not there any more
            return first
        there = await self._lstat(target)
        if not isinstance(there, Attrs) or stat.S_ISDIR(there.permissions or 0):
            return first
        aside = beside(temp, _SUFFIX)
        try:
            self._record.add(aside, target, time.time())
        except OSError as exc:
            return Status(packets.FAILURE, f"not even tried, as the work folder cannot be written: {exc.strerror}")
        reply = await self._rename(target, aside)
        if reply.code == packets.OK:
            reply = await self._rename(temp, target)
            if reply.code != packets.OK:
                if (await self._rename(aside, target)).code == packets.OK:
                    self._record.forget(aside)
                return reply
            if not await self._gone(aside):
                return Status(packets.OK, "")  # the aside stays on record: the next connection removes it
        elif reply.code == packets.NO_SUCH_FILE:
            reply = await self._rename(temp, target)  # another program has removed the old file
        self._record.forget(aside)
        return reply

    async def mend_all(self) -> None:
        """Finish or undo every swap on record; called at the start of a connection."""
        await asyncio.gather(*(self._mend(aside, name) for aside, (name, _) in list(self._record.asides.items())))
        for aside, (_, at) in list(self._record.asides.items()):
            if self._record.is_over(at, time.time()):
                self._record.forget(aside)

    async def mend(self, temp: bytes, target: bytes) -> None:
        """Finish or undo the swap that an earlier attempt with this temp name may have left."""
        await self._mend(beside(temp, _SUFFIX), target)

    async def mend_recorded(self, temp: bytes) -> None:
        """The same where only the temp name is known; without a record nothing is touched."""
        known = self._record.asides.get(beside(temp, _SUFFIX))
        if known is not None:
            await self._mend(beside(temp, _SUFFIX), known[0])

    async def _mend(self, aside: bytes, target: bytes) -> None:
        if self._leftovers is not None and self._leftovers.has(aside):
            return  # the server did not let it be removed, and a later upload may use the file
        if not isinstance(await self._lstat(aside), Attrs):
            return
        there = await self._lstat(target)
        if isinstance(there, Status) and there.code == packets.NO_SUCH_FILE:
            if (await self._rename(aside, target)).code == packets.OK:
                return
            there = await self._lstat(target)
        if isinstance(there, Attrs):
            await self._gone(aside)

    async def _rename(self, old: bytes, new: bytes) -> Status:
        return _status(await self._client.request(packets.RENAME, string(old) + string(new)))

    async def _gone(self, aside: bytes) -> bool:
        answer = await self._client.request(packets.REMOVE, string(aside))
        if self._leftovers is not None:
            # An aside that cannot be removed becomes a temporary file of a later upload, so it is no longer on record as an aside.
            if not await self._leftovers.gone(aside, answer, reusable=True):
                self._record.forget(aside)
            return True
        return _status(answer).code in (packets.OK, packets.NO_SUCH_FILE)

    async def _lstat(self, path: bytes) -> Reply:
        return await self._client.request(packets.LSTAT, string(path))


def _status(answer: Reply) -> Status:
    return answer if isinstance(answer, Status) else Status(packets.BAD_MESSAGE, "an answer of the wrong kind")
