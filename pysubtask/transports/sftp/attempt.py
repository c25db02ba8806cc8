"""One upload while it runs: what it has open on the server, and the steps that every kind of upload shares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ...common.errors import FileRefused, NotAsLeft, SourceChanged, SourceError, TransportError, TransportLost
from ..base import Job, Progress, RemoteStat
from ..sent_hash import SentHash
from ..sftp_names import path_of
from ..source import open_source
from . import packets
from .client import Client, Transfer, WriteRefused
from .packets import Attrs, Data, Handle, Reply, Status, string
from .refusal import refusal
from .swap import Swaps

SLOW_DISK = 1024 * 1024
"""Bytes/s: what a server's disk is trusted to sync or copy at least."""
TAIL = 32 * 1024
"""Bytes before the end of what is there that are compared with the source; every server gives so many in one READ."""


Refused = Callable[[str, str, Reply], TransportError]
"""What a bad answer means: from the step, the name and the answer."""


class Shown(NamedTuple):
    """What the server shows of the file that was written. ``synced``: it is on its disk; ``timed``: the time was set."""

    remote: RemoteStat
    synced: bool
    timed: bool


class Attempt:
    """``handle`` is written to, ``origin`` is what the server copies from. ``opening``: a temporary file may be there.
    ``sent``: bytes of the file handed to the connection. The source is open until ``close``.

    Constructing it raises FileRefused for a name that leaves the folder, and what ``open_source`` raises.
    """

    def __init__(self, client: Client, swaps: Swaps | None, folder: str, job: Job, progress: Progress) -> None:
        self.client, self.swaps = client, swaps
        self.job, self.progress = job, progress
        self.target, self.temp = path_of(folder, job.name), path_of(folder, job.temp)
        # One that is gone on with is not cleared away. An append has no use for it.
        names = {name: None for name in job.stale if name != job.temp} | ({job.temp: None} if job.append and job.resume else {})
        self.stale = [path_of(folder, name) for name in names]
        self.handle: bytes | None = None
        self.origin: bytes | None = None
        self.opening: asyncio.Future[Reply] | None = None
        self._clearing: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._transfers: list[tuple[Transfer, int]] = []
        self.fd = open_source(job)
        self.hash = SentHash(job, self.fd)

    @property
    def sent(self) -> int:
        return sum(transfer.offset - start for transfer, start in self._transfers)

    def close(self) -> None:
        """Close the source."""
        os.close(self.fd)

    # Earlier attempts

    async def clear(self) -> None:
        """Ask the server to remove what earlier attempts at this name left, after mending what they left in the middle."""
        if self.swaps is not None:
            for old in (*self.stale, *([self.temp] if self.job.resume else [])):
                await self.swaps.mend(old, self.target)
        self._clearing = [(old, self.client.request(packets.REMOVE, string(old))) for old in self.stale]

    async def cleared(self) -> None:
        """Wait until it is gone; FileRefused where it is not, for it might yet be renamed over this version."""
        for old, request in self._clearing:
            gone = await request
            if not await self._is_gone(old, gone):
                raise refusal("clear", self.job.name, gone)

    async def _is_gone(self, path: bytes, answer: Reply) -> bool:
        if isinstance(answer, Status) and answer.code in (packets.OK, packets.NO_SUCH_FILE):
            return True
        found = await self.client.request(packets.LSTAT, string(path))  # some servers say Failure for a missing file
        return isinstance(found, Status) and found.code == packets.NO_SUCH_FILE

    # Looking

    async def is_same_up_to(self, end: int, tail: asyncio.Future[Reply] | None = None) -> bool:
        """Whether the last bytes before ``end`` of what is written to are those of the source. ``tail``: the answer to
        ``read_tail``, where it has been asked for already."""
        if end == 0:
            return True
        found = await (tail or self.read_tail(end))
        start = self._tail(end)
        try:
            own = os.pread(self.fd, end - start, start - self.job.base)
        except OSError as exc:
            raise SourceChanged(f"{self.job.source}: it cannot be read: {exc.strerror}") from exc
        return isinstance(found, Data) and bool(own) and found.data == own

    def read_tail(self, end: int) -> asyncio.Future[Reply]:
        """Ask for the last bytes before ``end``."""
        assert self.handle is not None
        start = self._tail(end)
        return self.client.request(packets.READ, packets.read(self.handle, start, end - start))

    def _tail(self, end: int) -> int:
        return min(max(end - TAIL, self.job.base, 0), end)

    # Sending

    def send(self, start: int, end: int, progress: Callable[[int], None], sent: Callable[[], None] = lambda: None,
             lines: bool = False, took: Callable[[int, bytes], None] = lambda at, data: None) -> Transfer:
        """Send the bytes of the source from ``start`` up to ``end`` to their places; ``took`` gets them, too."""
        assert self.handle is not None
        transfer = self.client.transfer(self.handle, self.fd, end, progress, sent, start, lines, self.job.base, took)
        self._transfers.append((transfer, start))
        return transfer

    async def arrived(self, transfer: Transfer, refused: Refused = refusal) -> None:
        """Wait until the server has all of it; what ``refused`` makes of its answer, or SourceChanged, where it cannot be."""
        try:
            await transfer.done
        except WriteRefused as exc:
            raise refused("write", self.job.name, exc.status) from exc
        except SourceError as exc:
            raise SourceChanged(f"{self.job.source}: {exc}") from exc

    def stop(self) -> None:
        """Nothing more is sent of what is not confirmed yet."""
        for transfer, _ in self._transfers:
            transfer.done.cancel()

    # The end

    def finish(self, written: int) -> Ending:
        """Ask for the time, the sync and the size, behind whatever was asked before."""
        client, job, handle = self.client, self.job, self.handle
        assert handle is not None
        timed = synced = None
        if job.mtime_ns is not None:
            timed = client.request(packets.FSETSTAT, packets.set_times(handle, job.mtime_ns))
        if packets.FSYNC in client.extensions:
            synced = client.request(packets.EXTENDED, packets.extended(packets.FSYNC, handle), written / SLOW_DISK)
        return Ending(job, timed, synced, client.request(packets.FSTAT, string(handle)))

    def confirm(self) -> None:
        """The caller's word that it may go on; TransportLost where the connection did not wait for it."""
        self.job.confirm()
        if self.client.lost is not None:
            raise TransportLost(str(self.client.lost))

    def end(self) -> asyncio.Future[Reply]:
        """Close what was written."""
        assert self.handle is not None
        closing = self.client.request(packets.CLOSE, string(self.handle))
        self.handle = None
        return closing

    async def ended(self, closing: asyncio.Future[Reply]) -> None:
        """Wait for that; without a sync this is where a server says that it could not keep the bytes."""
        answer = await closing
        if not is_ok(answer):
            raise refusal("close", self.job.name, answer)

    def discard(self, *, temp: bool) -> list[asyncio.Future[Reply]]:
        """Ask the server to close what is open and, with ``temp``, to forget the temporary file; the answers may be waited
        for or not."""
        self.stop()
        asked = [self.client.request(packets.CLOSE, string(handle)) for handle in (self.handle, self.origin) if handle is not None]
        self.handle = self.origin = None
        if temp and self.opening is not None:
            asked.append(self.client.request(packets.REMOVE, string(self.temp)))
        return asked


class Ending(NamedTuple):
    """The last requests on what was written."""

    job: Job
    timed: asyncio.Future[Reply] | None
    synced: asyncio.Future[Reply] | None
    shown: asyncio.Future[Reply]

    async def answers(self, otherwise: type[FileRefused] | type[NotAsLeft] = FileRefused) -> Shown:
        """What the server made of them; FileRefused where the file is not safe, ``otherwise`` where it has another size."""
        shown = await self.shown  # the last one asked for: mostly the others have been answered when it is
        timed = None if self.timed is None else await self.timed
        synced = None if self.synced is None else await self.synced
        if synced is not None and not is_ok(synced) and not is_status(synced, packets.OP_UNSUPPORTED):
            raise refusal("sync", self.job.name, synced)
        if not isinstance(shown, Attrs):
            raise refusal("show", self.job.name, shown)
        if shown.size != self.job.size:
            has = "does not tell how much" if shown.size is None else f"has {shown.size:,} bytes"
            raise otherwise(f"{self.job.name}: {self.job.size:,} bytes were written and the server {has}")
        return Shown(RemoteStat(shown.size, shown.mtime), is_ok(synced), timed is None or is_ok(timed))


def is_ok(answer: Reply | None) -> bool:
    return is_status(answer, packets.OK)


def is_status(answer: Reply | None, *codes: int) -> bool:
    return isinstance(answer, Status) and answer.code in codes


def not_built(step: str, name: str, answer: Reply) -> TransportError:
    """What a bad status means where something is built upon the file that is there: a disk that is full (a Failure) would hold
    the whole file even less; any other is a reason to send that."""
    refused = refusal(step, name, answer)
    if isinstance(refused, TransportLost) or is_status(answer, packets.FAILURE):
        return refused
    return NotAsLeft(str(refused))


def opened(answer: Reply, name: str) -> bytes:
    """The handle of a file that is to be built upon; NotAsLeft where there is none to be had."""
    if isinstance(answer, Handle):
        return answer.handle
    refused = refusal("build", name, answer)
    raise refused if isinstance(refused, TransportLost) else NotAsLeft(str(refused))


async def answered(requests: Iterable[asyncio.Future[Reply]]) -> None:
    """Wait for answers whatever they are: the upload has failed already, this only tidies."""
    for request in requests:
        try:
            await request
        except TransportError:
            return
