"""The order of a safe upload: nothing is renamed before every write, the sync and the size are confirmed.

Three round trips: OPEN (and REMOVE of earlier attempts); all WRITEs, FSETSTAT, FSYNC and FSTAT; CLOSE
and the rename. Requests on one handle are done in their order (section 7 of the draft); the rename
names paths, so it is sent only when the rest has been answered.

An upload that was cut goes on in its temporary file. A server that was frozen may still write to that what it was asked to
write before: the same bytes to the same places. It may also still rename it, but it was asked to only when the file was whole;
so where that was, the temporary name is never begun anew. If such a WRITE comes after our rename, the file has another time
than we left it with, and the next version of it is sent whole.
"""

from __future__ import annotations

import asyncio

from ...common.errors import NotAsLeft, TransportLost
from ..base import Job, Progress, Sent
from ..checksum import Checks, WrongHash
from ..sftp_names import parent_of
from . import packets
from .append import append
from .attempt import Attempt, Ending, Shown, answered, is_ok, is_status
from .checksum import Hashes
from .client import SHORT_FILE, Client
from .folders import Folders
from .packets import Attrs, Handle, Reply, string
from .patch import Patch
from .refusal import refusal
from .resume import Half, Notes, half_of
from .swap import Swaps


class Publisher:
    """Uploads into one folder over one connection. ``swaps`` is None where the server has posix-rename.

    ``keeps_mtime``: times could be set so far; ``tells_mtime``: they were told.
    """

    def __init__(self, client: Client, folder: str, swaps: Swaps | None, hashes: Hashes | None = None) -> None:
        self._client = client
        self._hashes = hashes or Hashes(client, Checks({}), None)
        self._folder = folder
        self._folders = Folders(client)
        self._swaps = swaps
        self.keeps_mtime = True
        self.tells_mtime = True

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Put one file under its name; see Transport.upload."""
        half = None if job.append else half_of(job.resume, job.size)
        notes = Notes(job.note, job.size, asyncio.get_running_loop().time, half.offset if half else 0)

        def reached(offset: int) -> None:
            if not job.append and not job.copies:
                notes.reached(offset)
            progress(offset)

        attempt = Attempt(self._client, self._swaps, self._folder, job, reached)
        try:
            if job.append:
                sent, shown = await append(attempt, job.append)
                sent = sent._replace(verified=await self._check_appended(attempt))
            else:
                sent, shown = await self._upload(attempt, half, notes)
        except asyncio.CancelledError:
            # Whoever stops it now may go on later.
            notes.last()
            attempt.discard(temp=not notes.worth)
            raise
        except WrongHash:
            # Nothing is built upon it.
            notes.forget()
            await answered(attempt.discard(temp=True))
            raise
        except TransportLost:
            notes.last()
            raise
        except Exception:
            # Whatever stopped it (the server, the source, the caller's confirm): nothing stays behind.
            notes.forget()
            await answered(attempt.discard(temp=True))
            raise
        finally:
            attempt.stop()
            attempt.close()
        self.keeps_mtime = self.keeps_mtime and shown.timed
        self.tells_mtime = self.tells_mtime and sent.remote.mtime is not None
        return sent

    async def _upload(self, attempt: Attempt, half: Half | None, notes: Notes) -> tuple[Sent, Shown]:
        job = attempt.job
        went_on = half is not None and await self._go_on(attempt, half)
        if half is not None and not went_on:
            notes.forget()
            if half.named:
                raise TransportLost(f"{job.name}: its temporary file is gone, and the server may yet rename it")
        if went_on:
            assert half is not None
            attempt.progress(half.offset)
            shown = await self._send(attempt, half.offset)
        elif job.copies:
            patch = Patch(attempt)
            await patch.open()
            shown = await patch.build()
        else:
            await self._open(attempt)
            shown = await self._send(attempt, 0)
        if attempt.hash.whole:
            attempt.hash.check()
        else:
            await asyncio.to_thread(attempt.hash.check)
        verified = await self._hashes.check(job, attempt.fd, attempt.temp)
        attempt.confirm()
        notes.last(named=True)
        renamed = await self._rename(attempt, shown.synced)
        if went_on and is_status(renamed, packets.NO_SUCH_FILE):
            raise TransportLost(f"{job.name}: its temporary file went away: an earlier request to rename it may have been late")
        if not is_ok(renamed):
            raise refusal("rename", job.name, renamed)
        return Sent(shown.remote, attempt.sent, verified), shown

    async def _check_appended(self, attempt: Attempt) -> str:
        try:
            return await self._hashes.check(attempt.job, attempt.fd, attempt.target)
        except WrongHash as exc:
            # The name shows it already: the whole file has to replace it at once.
            raise NotAsLeft(str(exc)) from exc

    async def _go_on(self, attempt: Attempt, half: Half) -> bool:
        """Whether the temporary file of an upload that was cut is open again and has what was noted."""
        client = self._client
        opening = client.request(packets.OPEN, packets.open_old(attempt.temp, read=True, write=True))
        await attempt.clear()
        answer = await opening
        if isinstance(answer, Handle):
            attempt.handle, attempt.opening = answer.handle, opening
            looking = client.request(packets.FSTAT, string(answer.handle))
            tail = attempt.read_tail(half.offset)
            shown = await looking
            long_enough = isinstance(shown, Attrs) and shown.size is not None and half.offset <= shown.size <= half.size
            if await attempt.is_same_up_to(half.offset, tail) and long_enough:
                await attempt.cleared()
                return True
            attempt.handle = None
            client.request(packets.CLOSE, string(answer.handle))
        return False

    async def _open(self, attempt: Attempt) -> None:
        """Round trip 1: the temporary file is there, earlier attempts are gone."""
        client, name = self._client, attempt.job.name
        if attempt.job.resume:
            client.request(packets.REMOVE, string(attempt.temp))
        attempt.opening = client.request(packets.OPEN, packets.open_new(attempt.temp))
        await attempt.clear()
        answer, more = await attempt.opening, ""
        if is_status(answer, packets.NO_SUCH_FILE) and (folder := parent_of(attempt.temp)):
            said = await self._folders.make(folder)
            more = "" if said.code == packets.OK else f"making the folder: {said}"
            attempt.opening = client.request(packets.OPEN, packets.open_new(attempt.temp))
            answer = await attempt.opening
        if not isinstance(answer, Handle):
            raise refusal("open", name, answer, more)
        attempt.handle = answer.handle
        await attempt.cleared()

    async def _send(self, attempt: Attempt, start: int) -> Shown:
        """Round trip 2: what the server shows of the temporary file when it has all of it."""
        endings: list[Ending] = []
        size = attempt.job.size
        if start:
            await asyncio.to_thread(attempt.hash.upto, start)
        transfer = attempt.send(start, size, attempt.progress, lambda: endings.append(attempt.finish(size)),
                                took=attempt.hash.took)
        if size - start <= SHORT_FILE:
            self._client.queue()
        if endings:  # all is on its way: one wait, for the last answer, is enough
            await endings[0].shown
        await attempt.arrived(transfer)
        return await endings[0].answers()

    async def _rename(self, attempt: Attempt, synced: bool) -> Reply:
        """Round trip 3: the name shows the new file."""
        closing = attempt.end()
        if not synced or self._swaps is not None:
            await attempt.ended(closing)
        if self._swaps is not None:
            return await self._swaps.replace(attempt.temp, attempt.target)
        renamed = await self._client.request(packets.EXTENDED, packets.extended(packets.POSIX_RENAME, attempt.temp, attempt.target))
        await closing
        return renamed
