"""One upload while it runs: what it has open on the server, and the steps that every kind of upload shares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from ...common.errors import (
    AttemptFailed,
    FileRefused,
    MeansRefused,
    NotAsLeft,
    SourceChanged,
    SourceError,
    TransportError,
    TransportLost,
)
from ...common.positioned import read_at
from ...common.remote_times import is_same_time
from ..base import Job, Progress
from ..shared.means import SYNC, TEMP, TIME
from ..shared.profile import Profile, Walk
from ..shared.remote_text import remote_text
from ..shared.sent_hash import SentHash
from ..shared.sftp_names import parent_of, path_of
from ..shared.source import open_source
from ..shared.temp_names import every, formed
from . import packets
from .client import SHORT_FILE, Client
from .handles import Handles
from .leftovers import Leftovers
from .links import ResolvedName
from .packets import Attrs, Data, Extended, Handle, Malformed, Reply, Status, string
from .status_errors import is_unknown, refusal, says_full
from .swap import Swaps
from .transfer import Transfer, WriteRefused

SLOW_DISK = 1024 * 1024
"""Bytes/s: what a server's disk is trusted to sync or copy at least; a slower one would be taken for a server that hangs."""
TAIL = 32 * 1024
"""Bytes before the end of an existing file that are compared with the source; every server returns this number in one READ."""


Refused = Callable[[str, str, Reply], TransportError]
"""Makes the error for a bad reply: from the step, the name and the reply."""


class Server(NamedTuple):
    """One connection, and what is known of the server. ``client`` sends the requests; ``profile`` is what the server has been found
    to do, ``handles`` its limit of open files, ``leftovers`` the files that could not be removed. ``swaps`` is None where no file
    can be put aside. ``syncs``: whether files are synced, where the server can."""

    client: Client
    profile: Profile
    handles: Handles
    leftovers: Leftovers
    swaps: Swaps | None
    syncs: bool = True


class Attempt:
    """``handle``: the open file that is written; ``origin``: the open file that the server copies from. ``opening``: the future of
    the OPEN, set while a temporary file may exist. ``sent``: bytes of the file handed to the connection. The source is open until
    ``close``. ``temp``: the path that is written, which is ``target`` itself where ``in_place``; ``borrowed``: this path is a file
    that an earlier upload could not remove. ``resolved``: the file or link under the name. ``renamed``: the rename of the temporary
    file was requested. ``cleanup_sent``: the REMOVEs of the files of earlier attempts were requested. ``folder``: the folder for
    temporary files that this attempt uses, if any; ``walk``: the kinds of temporary names that were refused to this file;
    ``doubted``: a temporary name that was refused without a reason. ``learns``: called when the file has arrived, to update the
    profile.

    Constructing it raises FileRefused for a name that leaves the folder, and what ``open_source`` raises.
    """

    def __init__(self, server: Server, folder: str, job: Job, progress: Progress) -> None:
        self.server, self.client, self.swaps = server, server.client, server.swaps
        self.job, self.progress = job, progress
        self.target = path_of(folder, job.name)
        self.recorded = path_of(folder, job.temp)
        self.temp = self.recorded
        self.resolved = ResolvedName(self.target)
        self.in_place = self.borrowed = self.renamed = self.cleanup_sent = False
        self.folder: bytes | None = None
        self.walk: Walk | None = None
        self.doubted: bytes | None = None
        self.stale = self._stale_in(folder) if job.stale or (job.append and job.resume) else []
        self.handle: bytes | None = None
        self.origin: bytes | None = None
        self.opening: asyncio.Future[Reply] | None = None
        self.learns: list[Callable[[], None]] = []
        self._clearing: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._transfers: list[tuple[Transfer, int]] = []
        self._sent_before = 0
        self.fd = open_source(job)
        self.hash = SentHash(job, self.fd)

    @property
    def sent(self) -> int:
        """Bytes of the file handed to the connection so far, in all transfers of this attempt."""
        return self._sent_before + sum(transfer.offset - start for transfer, start in self._transfers)

    @property
    def resumable(self) -> bool:
        """Whether another attempt can find the temporary file by its recorded name."""
        return not (self.in_place or self.borrowed) and self.resolved.path == self.target

    def forms(self, recorded: bytes) -> list[bytes]:
        """The paths that the temporary file of this recorded name may have on this server."""
        return every(recorded, self.target) if TEMP.name in self.server.profile.stepped else [recorded]

    def known_temp(self) -> bytes:
        """The path of this attempt's temporary file, of the kind that this server is known to accept."""
        return formed(self.recorded, self.server.profile.rung(TEMP), self.target)

    def _stale_in(self, folder: str) -> list[bytes]:
        """Paths of files that earlier attempts may have left. The file that this attempt resumes is not among them; an append
        resumes none."""
        job = self.job
        names = {name: None for name in job.stale if name != job.temp} | ({job.temp: None} if job.append and job.resume else {})
        return [form for name in names for form in self.forms(path_of(folder, name))]

    def close(self) -> None:
        """Close the source; ``progress`` is not called any more."""
        os.close(self.fd)
        # The callbacks refer to this attempt; without these cycles it is freed without the garbage collector.
        self._sent_before = self.sent
        self._transfers.clear()
        self.progress = _ignore

    # Earlier attempts

    async def clear(self) -> None:
        """Request the removal of the files that earlier attempts at this name left, after their interrupted swaps were finished."""
        if self.swaps is not None and (self.swaps.needed or packets.POSIX_RENAME not in self.client.extensions):
            for old in (*self.stale, *([self.recorded] if self.job.resume else [])):
                await self.swaps.mend(old, self.target)
        self._clearing = [(old, self.server.leftovers.ask(old)) for old in self.stale]

    async def cleared(self) -> None:
        """Wait until these files are removed, or renamed so that a late request cannot put one of them over this version."""
        for old, request in self._clearing:
            await self.server.leftovers.cleared(old, await request)
        self._clearing = []

    # Looking

    async def is_same_up_to(self, end: int, tail: asyncio.Future[Reply] | None = None) -> bool | None:
        """Whether the last bytes before ``end`` of the file that is written are those of the source; None where the server does not
        let them be read. ``tail``: the answer to ``read_tail``, where it has been asked for already. SourceChanged where the source
        cannot be read."""
        if end == 0:
            return True
        found = await (tail or self.read_tail(end))
        start = self._tail(end)
        try:
            own = read_at(self.fd, end - start, start - self.job.base)
        except OSError as exc:
            raise SourceChanged(f"{self.job.source}: it cannot be read: {exc.strerror}") from exc
        return bool(own) and found.data == own if isinstance(found, Data) else None

    def read_tail(self, end: int, handle: bytes | None = None) -> asyncio.Future[Reply]:
        """READ the last bytes before ``end``, of ``handle`` where it is given, else of the file that is written."""
        handle = handle or self.handle
        assert handle is not None
        start = self._tail(end)
        return self.client.request(packets.READ, packets.read(handle, start, end - start))

    def _tail(self, end: int) -> int:
        return min(max(end - TAIL, self.job.base, 0), end)

    # Sending

    def send(
        self,
        start: int,
        end: int,
        progress: Callable[[int], None],
        sent: Callable[[], None] = lambda: None,
        lines: bool = False,
        took: Callable[[int, bytes], None] = lambda at, data: None,
    ) -> Transfer:
        """Send the bytes of the source from ``start`` up to ``end`` to the same offsets; ``took`` is called with each piece."""
        assert self.handle is not None
        transfer = self.client.transfer(self.handle, self.fd, end, progress, sent, start, lines, self.job.base, took)
        self._transfers.append((transfer, start))
        return transfer

    async def arrived(self, transfer: Transfer, refused: Refused | None = None) -> None:
        """Wait until the server has acknowledged all bytes. Raises the error that ``refused`` makes of a bad reply, or
        SourceChanged."""
        try:
            await transfer.done
        except WriteRefused as exc:
            if refused is not None:
                raise refused("write", self.job.name, exc.status) from exc
            raise await self.refused("write", exc.status) from exc
        except SourceError as exc:
            raise SourceChanged(f"{self.job.source}: {exc}") from exc

    async def refused(self, step: str, answer: Reply) -> TransportError:
        """The error for a bad reply to a request that stores bytes, with the free space where the server reports it (statvfs)."""
        more = ""
        if isinstance(answer, Status) and not says_full(answer) and packets.STATVFS in self.client.extensions:
            folder = parent_of(self.temp) or b"."
            reply = await self.client.request(packets.EXTENDED, packets.extended(packets.STATVFS, folder))
            try:
                free = packets.free_bytes(reply.data) if isinstance(reply, Extended) else None
            except Malformed:
                free = None
            if free is not None and free < self.job.size:
                more = f"its disk is full: {free:,} bytes are free"
        return refusal(step, self.job.name, answer, more)

    def vanished(self, why: str) -> TransportError:
        """The error for a temporary file that has disappeared: MeansRefused where another kind of temporary name is left to try,
        else FileRefused."""
        name, temp = self.job.name, remote_text(self.temp)
        words = f"{name}: its temporary file went away before it could be renamed: {why}"
        if self.walk is None:
            return AttemptFailed(words, TEMP.remedy, file=temp)
        if self.walk.refused(why, unknown=True, costly=True) is None:
            return FileRefused(words, TEMP.remedy, step="looking for it", file=temp)
        return MeansRefused(TEMP.name, words, file=temp)

    def stop(self) -> None:
        """Send no more bytes of the transfers that are not finished."""
        for transfer, _ in self._transfers:
            transfer.done.cancel()

    # The end

    def finish(self, written: int, *, show: bool = True) -> EndRequests:
        """Request the time, the sync and, with ``show``, the size. The server handles them after the requests before, as those on
        one handle keep their order (section 7)."""
        client, job, handle, profile = self.client, self.job, self.handle, self.server.profile
        assert handle is not None
        # The time before the sync, so that the sync covers it; the size last, so that it is that of the synced file.
        timed = synced = stat = None
        timing = syncing = None
        if job.mtime_ns is not None:
            timing = profile.walk(TIME)
            if timing.rung != "refused":
                timed = client.request(packets.FSETSTAT, packets.set_times(handle, job.mtime_ns))
        if self.server.syncs and packets.FSYNC in client.extensions:
            syncing = profile.walk(SYNC)
            if syncing.rung == "kept":
                synced = client.request(packets.EXTENDED, packets.extended(packets.FSYNC, handle), written / SLOW_DISK)
        if show:
            stat = client.request(packets.FSTAT, string(handle))
        return EndRequests(self, timed, synced, stat, timing, syncing)

    async def check_hash(self) -> None:
        """SourceChanged where the bytes are not those of the snapshot. Many bytes that were not sent by this attempt are read in a
        thread."""
        if self.hash.left <= SHORT_FILE:
            self.hash.check()
        else:
            await asyncio.to_thread(self.hash.check)

    def confirm(self) -> None:
        """Call ``job.confirm``, whose exception stops the publication. TransportLost where the connection was lost meanwhile."""
        self.job.confirm()
        if self.client.lost is not None:
            raise TransportLost(str(self.client.lost))

    def end(self) -> asyncio.Future[Reply]:
        """CLOSE the file that was written; the future of the reply."""
        assert self.handle is not None
        closing = self.server.handles.close(self.handle)
        self.handle = None
        return closing

    async def ended(self, closing: asyncio.Future[Reply]) -> None:
        """Wait for the reply to CLOSE; without a sync this reply is the last in which a server can report that it lost bytes."""
        answer = await closing
        if not is_ok(answer):
            raise await self.refused("close", answer)

    def discard(self, *, temp: bool) -> list[tuple[bytes, asyncio.Future[Reply]]]:
        """CLOSE the open files and, with ``temp``, REMOVE the temporary file; the path and the future reply of the latter."""
        self.stop()
        for handle in (self.handle, self.origin):
            if handle is not None:
                self.server.handles.close(handle)
        self.handle = self.origin = None
        if not temp or self.opening is None or self.in_place:
            return []
        self.opening = None
        return [(self.temp, self.server.leftovers.ask(self.temp))]


class EndRequests(NamedTuple):
    """The last requests of an ``attempt`` on its open file; None for a request that this server is not sent. ``timed``, ``synced``
    and ``stat``: the futures of the replies to FSETSTAT, fsync@openssh.com and FSTAT. ``timing`` and ``syncing``: the walks of the
    means TIME and SYNC, which learn from the first two."""

    attempt: Attempt
    timed: asyncio.Future[Reply] | None
    synced: asyncio.Future[Reply] | None
    stat: asyncio.Future[Reply] | None
    timing: Walk | None
    syncing: Walk | None

    async def answers(self) -> EndReplies:
        """Wait for the replies. AttemptFailed where a sync failed on a server whose sync has worked before."""
        stat = None if self.stat is None else await self.stat  # the last request: mostly the other replies are there, too
        timed = None if self.timed is None else await self.timed
        synced = None if self.synced is None else await self.synced
        if self.syncing is not None:
            if synced is None or is_ok(synced):
                self.attempt.learns.append(self.syncing.worked)
            elif is_unknown(synced) or self.attempt.server.profile.struck(SYNC):
                self.attempt.learns.append(_came_to(self.syncing, "refused", synced))
            else:
                words = str(await self.attempt.refused("sync", synced))
                raise AttemptFailed(words, step="sync", file=self.attempt.job.name, server_text=str(synced))
        return EndReplies(stat, timed, is_ok(synced), self)

    def learn_time(self, timed: Reply | None, mtime: int | None) -> None:
        """Learn whether the server keeps the time that was set; ``mtime``: the time that the server reports, None where it does
        not."""
        walk, mtime_ns = self.timing, self.attempt.job.mtime_ns
        if walk is None or mtime_ns is None:
            return
        if timed is None:
            self.attempt.learns.append(walk.worked)
        elif not is_ok(timed):
            self.attempt.learns.append(_came_to(walk, "refused", timed))
        elif mtime is not None:
            asked = min(max(mtime_ns // 10**9, 0), 0xFFFFFFFF)
            kept = abs(mtime - asked) <= _COARSEST_SECS or is_same_time(asked, mtime)
            as_ever = kept and walk.rung == "kept"
            self.attempt.learns.append(walk.worked if as_ever else _came_to(walk, "kept" if kept else "ignored", timed))


class EndReplies(NamedTuple):
    """The replies to an ``ending``: ``stat`` to FSTAT and ``timed`` to FSETSTAT, None where the request was not sent; ``synced``:
    the server has confirmed that the file is on its disk."""

    stat: Reply | None
    timed: Reply | None
    synced: bool
    ending: EndRequests

    @property
    def was_timed(self) -> bool:
        """Whether the server has accepted the time, or was to set none."""
        return is_ok(self.timed) if self.ending.timing is not None else True


_COARSEST_SECS = 60
"""Servers round times: to two seconds, some to whole minutes."""


def _ignore(offset: int) -> None:
    return None


def _came_to(walk: Walk, rung: str, answer: Reply) -> Callable[[], None]:
    return lambda: walk.came_to(rung, str(answer), unknown=is_unknown(answer))


def is_ok(answer: Reply | None) -> bool:
    """Whether a reply is STATUS OK; False for None and for a reply of another kind."""
    return is_status(answer, packets.OK)


def is_status(answer: Reply | None, *codes: int) -> bool:
    """Whether a reply is a STATUS with one of these codes."""
    return isinstance(answer, Status) and answer.code in codes


def size_of(answer: Reply | None) -> int | None:
    """The size in a reply with attributes; None for any other reply and where there is no size."""
    return answer.size if isinstance(answer, Attrs) else None


def opened(answer: Reply, name: str) -> bytes:
    """The handle of the existing file that is built upon; NotAsLeft where the OPEN was refused."""
    if isinstance(answer, Handle):
        return answer.handle
    raise NotAsLeft(str(refusal("build", name, answer)))
