"""The order of a safe upload: nothing is renamed before every write, the sync and the size are confirmed.

Three round trips: OPEN (and REMOVE of earlier attempts); all WRITEs, FSETSTAT, FSYNC and FSTAT; CLOSE
and the rename. Requests on one handle are done in their order (section 7 of the draft); the rename
names paths, so it is sent only when the rest has been answered.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from ...common.errors import FileRefused, SourceChanged, SourceError, TransportError, TransportLost
from ..base import Job, Progress, RemoteStat, Sent
from ..sftp_names import parent_of, path_of
from ..source import open_source
from . import packets
from .client import Client, WriteRefused
from .folders import Folders
from .packets import Attrs, Handle, Reply, Status, string
from .refusal import refusal
from .swap import Swaps

_SLOW_DISK = 1024 * 1024  # bytes/s: what a server's disk is trusted to sync at least


@dataclass
class _Attempt:
    """One upload while it runs."""

    job: Job
    target: bytes
    temp: bytes
    stale: list[bytes]
    fd: int
    handle: bytes | None = None
    opening: asyncio.Future[Reply] | None = None
    finals: list[asyncio.Future[Reply]] = field(default_factory=list)


class Publisher:
    """Uploads into one folder over one connection. ``swaps`` is None where the server has posix-rename."""

    def __init__(self, client: Client, folder: str, swaps: Swaps | None) -> None:
        self._client = client
        self._folder = folder
        self._folders = Folders(client)
        self._swaps = swaps
        self._syncs = packets.FSYNC in client.extensions
        self.keeps_mtime = True

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Put one file under its name; see Transport.upload."""
        target, temp = path_of(self._folder, job.name), path_of(self._folder, job.temp)
        stale = [path_of(self._folder, name) for name in job.stale if name != job.temp]
        fd = open_source(job)
        attempt = _Attempt(job, target, temp, stale, fd)
        try:
            return await self._upload(attempt, progress)
        except asyncio.CancelledError:
            self._discard(attempt)
            raise
        except TransportLost:
            raise
        except Exception:
            # Whatever stopped it (the server, the source, the caller's confirm): nothing stays behind.
            await _answered(self._discard(attempt))
            raise
        finally:
            os.close(fd)

    async def _upload(self, attempt: _Attempt, progress: Progress) -> Sent:
        job = attempt.job
        await self._open(attempt)
        shown, synced = await self._send(attempt, progress)
        job.confirm()
        if self._client.lost is not None:
            raise TransportLost(str(self._client.lost))
        await self._rename(attempt, synced)
        return Sent(shown, job.size)

    async def _open(self, attempt: _Attempt) -> None:
        """Round trip 1: the temporary file is there, earlier attempts are gone."""
        client, name = self._client, attempt.job.name
        attempt.opening = client.request(packets.OPEN, packets.open_new(attempt.temp))
        if self._swaps is not None:
            for old in attempt.stale:
                await self._swaps.mend(old, attempt.target)
        clearing = [(old, client.request(packets.REMOVE, string(old))) for old in attempt.stale]
        answer, more = await attempt.opening, ""
        if isinstance(answer, Status) and answer.code == packets.NO_SUCH_FILE and (folder := parent_of(attempt.temp)):
            said = await self._folders.make(folder)
            more = "" if said.code == packets.OK else f"making the folder: {said}"
            attempt.opening = client.request(packets.OPEN, packets.open_new(attempt.temp))
            answer = await attempt.opening
        if not isinstance(answer, Handle):
            raise refusal("open", name, answer, more)
        attempt.handle = answer.handle
        for old, request in clearing:
            gone = await request
            if not await self._is_gone(old, gone):
                raise refusal("clear", name, gone)

    async def _is_gone(self, path: bytes, answer: Reply) -> bool:
        if isinstance(answer, Status) and answer.code in (packets.OK, packets.NO_SUCH_FILE):
            return True
        found = await self._client.request(packets.LSTAT, string(path))  # some servers say Failure for a missing file
        return isinstance(found, Status) and found.code == packets.NO_SUCH_FILE

    async def _send(self, attempt: _Attempt, progress: Progress) -> tuple[RemoteStat, bool]:
        """Round trip 2: what the server shows of the temporary file, and whether it has synced it."""
        client, job, handle = self._client, attempt.job, attempt.handle
        assert handle is not None

        def sent_all() -> None:
            if job.mtime_ns is not None:
                attempt.finals.append(client.request(packets.FSETSTAT, packets.set_times(handle, job.mtime_ns)))
            if self._syncs:
                sync = packets.extended(packets.FSYNC, handle)
                attempt.finals.append(client.request(packets.EXTENDED, sync, job.size / _SLOW_DISK))
            attempt.finals.append(client.request(packets.FSTAT, string(handle)))

        transfer = client.transfer(handle, attempt.fd, job.size, progress, sent_all)
        try:
            await transfer.done
        except WriteRefused as exc:
            raise refusal("write", job.name, exc.status) from exc
        except SourceError as exc:
            raise SourceChanged(f"{job.source}: {exc}") from exc
        finally:
            transfer.done.cancel()
        *synced, shown = [await final for final in attempt.finals]
        timed = synced.pop(0) if job.mtime_ns is not None else None
        done = bool(synced)
        if synced and not _is_ok(synced[0]):
            if not (isinstance(synced[0], Status) and synced[0].code == packets.OP_UNSUPPORTED):
                raise refusal("sync", job.name, synced[0])
            done = False
        if not isinstance(shown, Attrs):
            raise refusal("show", job.name, shown)
        if shown.size != job.size:
            has = "does not tell how much" if shown.size is None else f"has {shown.size:,} bytes"
            raise FileRefused(f"{job.name}: {job.size:,} bytes were written and the server {has}")
        if timed is not None and not _is_ok(timed):
            self.keeps_mtime = False
        return RemoteStat(shown.size, shown.mtime), done

    async def _rename(self, attempt: _Attempt, synced: bool) -> None:
        """Round trip 3: the name shows the new file."""
        client, name = self._client, attempt.job.name
        assert attempt.handle is not None
        closing = client.request(packets.CLOSE, string(attempt.handle))
        attempt.handle = None
        if not synced or self._swaps is not None:
            # Where there is no sync, closing is where a server says that it could not keep the bytes.
            closed = await closing
            if not _is_ok(closed):
                raise refusal("close", name, closed)
        if self._swaps is not None:
            renamed: Reply = await self._swaps.replace(attempt.temp, attempt.target)
        else:
            renaming = client.request(packets.EXTENDED, packets.extended(packets.POSIX_RENAME, attempt.temp, attempt.target))
            await closing
            renamed = await renaming
        if not _is_ok(renamed):
            raise refusal("rename", name, renamed)

    def _discard(self, attempt: _Attempt) -> list[asyncio.Future[Reply]]:
        """Ask the server to forget the temporary file; the answers may be waited for or not."""
        asked = []
        if attempt.handle is not None:
            asked.append(self._client.request(packets.CLOSE, string(attempt.handle)))
        if attempt.opening is not None:
            asked.append(self._client.request(packets.REMOVE, string(attempt.temp)))
        return asked


def _is_ok(answer: Reply) -> bool:
    return isinstance(answer, Status) and answer.code == packets.OK


async def _answered(requests: Iterable[asyncio.Future[Reply]]) -> None:
    """Wait for answers whatever they are: the upload has failed already, this only tidies."""
    for request in requests:
        try:
            await request
        except TransportError:
            return
