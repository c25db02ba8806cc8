"""Servers that cannot rename over a file: the steps of a swap (``shared.swap``) by requests of SFTP."""

from __future__ import annotations

import asyncio
import stat
import time

from ..shared.swap import Outcome, Steps, mend, swap
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
            steps = swap(self._record, temp, target, aside, time.time())
        except OSError as exc:
            return Status(packets.FAILURE, f"not even tried, as the work folder cannot be written: {exc.strerror}")
        outcome, reply = await self._carry_out(steps)
        if outcome == "stays":
            if reply.code == packets.NO_SUCH_FILE:
                reply = await self._rename(temp, target)  # another program has removed the old file
            self._record.forget(aside)
        return reply

    async def mend_all(self) -> None:
        """Finish or undo every swap on record; called at the start of a connection."""
        await asyncio.gather(*(self._mend(aside, name) for aside, (name, _) in list(self._record.asides.items())))
        self._record.forget_old(time.time())

    async def mend(self, temp: bytes, target: bytes) -> None:
        """Finish or undo the swap that an earlier attempt with this temp name may have left."""
        await self._mend(beside(temp, _SUFFIX), target)

    async def mend_recorded(self, temp: bytes) -> None:
        """The same where only the temp name is known; without a record nothing is touched."""
        target = self._record.target_of(beside(temp, _SUFFIX))
        if target is not None:
            await self._mend(beside(temp, _SUFFIX), target)

    async def _mend(self, aside: bytes, target: bytes) -> None:
        if self._leftovers is not None and self._leftovers.has(aside):
            return  # the server did not let it be removed, and a later upload may use the file
        await self._carry_out(mend(aside, target))

    async def _carry_out(self, steps: Steps) -> tuple[Outcome | None, Status]:
        """Take the steps; the outcome, and the reply to the last rename that was no ``restore``."""
        reply = Status(packets.OK, "")
        try:
            step = next(steps)
            while True:
                if step.verb == "tell":
                    succeeded = _exists(await self._lstat(step.path))
                elif step.verb == "remove":
                    succeeded = await self._gone(step.path)
                else:
                    status = await self._rename(step.path, step.to)
                    succeeded = status.code == packets.OK
                    reply = status if step.verb == "rename" else reply
                step = steps.send(succeeded)
        except StopIteration as end:
            return end.value, reply

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


def _exists(answer: Reply) -> bool | None:
    """What the reply to LSTAT says; None where it says nothing."""
    if isinstance(answer, Attrs):
        return True
    return False if _status(answer).code == packets.NO_SUCH_FILE else None


def _status(answer: Reply) -> Status:
    return answer if isinstance(answer, Status) else Status(packets.BAD_MESSAGE, "an answer of the wrong kind")
