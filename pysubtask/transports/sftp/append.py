"""Appending in place: the file under the name grows, and is a true prefix of the new version at any moment.

Four round trips: OPEN (and REMOVE of earlier attempts); FSTAT; all WRITEs, FSETSTAT, FSYNC and FSTAT; CLOSE and a last STAT
of the name. One more, a READ, where an earlier append was cut.

A server that was frozen may carry out the requests of an earlier append after this client has continued over another connection.
Its WRITEs have absolute offsets, and the bytes at these offsets are the same in every version that was appended to; a version that
was uploaded whole is another file, which the old handle does not reach. A late OPEN is harmless, as the first WRITE is sent only
after the replies to OPEN and FSTAT. So the content stays right. Only the time of the file may be set once more, to that of the
older version or to the server's clock; the next append then raises NotAsLeft, which costs one whole upload.
"""

from __future__ import annotations

import asyncio

from ...common.errors import MeansRefused, NotAsLeft, TransportError
from ...common.remote_times import is_same_time
from ..base import Append, RemoteStat, Sent
from ..shared.checksum import WrongHash
from ..shared.means import APPEND, DELETE, FINAL_STAT
from ..shared.profile import Walk
from . import packets
from .attempt import Attempt, EndReplies, EndRequests, Server, is_ok, is_status
from .checksum import Checksums
from .opening import Opener
from .packets import Attrs, Handle, Reply, string
from .proof import append_works
from .settled import settled
from .status_errors import refusal


class Appender:
    """Appends to files over one connection, where this server is known to take appends. ``follow``: a link on the server stays, and
    the file that it points to is written."""

    def __init__(self, server: Server, checksums: Checksums, opener: Opener, *, follow: bool) -> None:
        self._server, self._profile = server, server.profile
        self._checksums, self._opener = checksums, opener
        self._follow = follow

    async def put(self, attempt: Attempt) -> Sent:
        """Append what the server's file lacks. NotAsLeft where the whole file has to be sent; other errors as an upload."""
        how, profile = attempt.job.append, self._profile
        assert how is not None
        if not self._follow:
            await self._opener.no_link(attempt)
        walk = profile.walk(APPEND)
        if walk.rung == "none":
            raise NotAsLeft(f"{attempt.job.name}: {APPEND.lacks['none']}")
        if walk.trial or not profile.state(APPEND).proven:
            await self._prove(attempt, walk)
        try:
            sent = await append(attempt, how)
        except MeansRefused as exc:
            # The proof on a small file decides whether the server or this one file is the reason.
            await self._prove(attempt, walk, exc.server_text)
            raise NotAsLeft(str(exc)) from exc
        walk.worked()
        return sent._replace(verified=await self._check_appended(attempt, sent.verified))

    async def _prove(self, attempt: Attempt, walk: Walk, server_text: str = "") -> None:
        """NotAsLeft where this server takes no appends: a small file of pysubtask's own is the proof, or ``server_text``, the
        server's refusal, where no such file may be left behind."""
        profile = self._profile
        if profile.rung(DELETE) == "refused":
            if server_text:
                walk.came_to("none", server_text)
                raise NotAsLeft(f"{attempt.job.name}: appending: {server_text}")
            return
        await self._server.handles.enter()
        try:
            proof = await append_works(self._server.client, self._server.leftovers, attempt.known_temp())
        finally:
            self._server.handles.leave()
        if proof.works:
            profile.learn(APPEND, "in_place")
        elif proof.conclusive:
            walk.came_to("none", proof.why, unknown=proof.unknown)
            raise NotAsLeft(f"{attempt.job.name}: {APPEND.lacks['none']} ({proof.why})")

    async def _check_appended(self, attempt: Attempt, verified: str) -> str:
        if verified != "size":
            return verified
        try:
            await self._checksums.be_seen(attempt.job, self._server.leftovers, attempt.known_temp())
            return await self._checksums.check(attempt.job, attempt.fd, attempt.target)
        except WrongHash as exc:
            # Readers see the wrong bytes under the final name already: the whole file has to replace them at once.
            raise NotAsLeft(str(exc)) from exc


async def append(attempt: Attempt, how: Append) -> Sent:
    """Append the missing bytes of the source to the file under the name. NotAsLeft where that file cannot be appended to;
    MeansRefused where the server refused a request, for this file or for any."""
    client, job, handles = attempt.client, attempt.job, attempt.server.handles
    cut = how.until > how.at
    body = packets.open_old(attempt.target, read=cut, write=True)
    await handles.enter()
    try:
        opening = client.request(packets.OPEN, body)
        await attempt.clear()
        answer = await opening
    except BaseException:
        handles.leave()
        raise
    answer = await handles.granted(answer, lambda: client.request(packets.OPEN, body))
    if not isinstance(answer, Handle):
        if is_status(answer, packets.NO_SUCH_FILE):
            raise NotAsLeft(f"{job.name}: it is not there any more")
        raise _refused("build", job.name, answer)
    attempt.handle = answer.handle
    start = await _start(attempt, how, await client.request(packets.FSTAT, string(attempt.handle)))
    await attempt.cleared()
    # A reader sees each byte as it arrives, so hash and caller have to agree before the first WRITE, not after the last.
    await attempt.check_hash()
    attempt.confirm()
    attempt.progress(start)
    endings: list[EndRequests] = []
    seen: list[asyncio.Future[Reply]] = []

    def finish() -> None:
        endings.append(attempt.finish(job.size - start))
        # Behind the last WRITE: whether the name still is this file. A moment later a program there may have taken it away.
        seen.append(client.request(packets.STAT, string(attempt.target)))

    transfer = attempt.send(start, job.size, attempt.progress, finish, job.whole_records is not False)
    await attempt.arrived(transfer, _refused)
    ended, last = await endings[0].answers(), await seen[0]
    stat = ended.stat
    if not isinstance(stat, Attrs):
        raise _refused("show", job.name, stat)
    if stat.size != job.size:
        raise NotAsLeft(f"{job.name}: it should have {job.size:,} bytes now, and the server has {stat.size}")
    ended.ending.learn_time(ended.timed, stat.mtime)
    closing = attempt.end()
    looking = client.request(packets.STAT, string(attempt.target))
    closed = await closing
    if not is_ok(closed):
        raise _refused("close", job.name, closed)
    found = await settled(client, attempt.target, job.size, await looking)
    return _after_close(attempt, ended, stat, last, found)


async def _start(attempt: Attempt, how: Append, stat: Reply) -> int:
    """The offset from which to append to a file with this stat. NotAsLeft where the file cannot be appended to."""
    job = attempt.job
    if not isinstance(stat, Attrs):
        raise _refused("show", job.name, stat)
    if stat.size is None or stat.mtime is None:
        raise NotAsLeft(f"{job.name}: the server does not tell its size and time")
    found = RemoteStat(stat.size, stat.mtime)
    exact = job.replaces is not None and found[:2] == job.replaces[:2] and found.size == how.at
    if exact and job.base <= how.at <= job.size:
        return how.at
    left = job.replaces
    if (
        left is not None
        and found.size == left.size == how.at
        and job.base <= how.at <= job.size
        and is_same_time(left.mtime, found.mtime)
        and await _ends_as_ours(attempt, how.at)
    ):
        return how.at
    if how.until > how.at and max(how.at, job.base) <= found.size <= min(how.until, job.size):
        same = await attempt.is_same_up_to(found.size)
        if same:
            return found.size
        why = "the last of them cannot be read" if same is None else "the last of them are not ours"
        raise NotAsLeft(f"{job.name}: the server has {found.size:,} bytes, and {why}")
    raise NotAsLeft(f"{job.name}: the server shows {found.size:,} bytes of {found.mtime}, and {how.at:,} were left there")


async def _ends_as_ours(attempt: Attempt, end: int) -> bool:
    """Whether a file with another time, as after a change of the server's time zone, ends with the bytes of the source."""
    opened = await attempt.client.request(packets.OPEN, packets.open_old(attempt.target, read=True, write=False))
    if not isinstance(opened, Handle):
        return False
    tail = attempt.read_tail(end, opened.handle)
    attempt.client.request(packets.CLOSE, string(opened.handle))
    return await attempt.is_same_up_to(end, tail) is True


def _after_close(attempt: Attempt, ended: EndReplies, stat: Attrs, last: Reply, found: Reply) -> Sent:
    """The result, from the STAT of the name behind the last WRITE (``last``) and after the CLOSE (``found``): the name is the file
    that was written, or there is no file any more, as a program took it away. NotAsLeft where the bytes may have gone to a file
    that was renamed."""
    job, profile = attempt.job, attempt.server.profile
    if isinstance(found, Attrs):
        if found.size == job.size and (found.mtime == stat.mtime or not ended.was_timed):
            attempt.learns.append(lambda: profile.learn(FINAL_STAT, "stays"))
            return Sent(RemoteStat(job.size, found.mtime), attempt.sent)
        raise NotAsLeft(f"{job.name}: another file was put there while it was appended to")
    if not (isinstance(last, Attrs) and last.size == job.size):
        raise NotAsLeft(f"{job.name}: it is not there any more: it was moved away while it was appended to ({found})")
    gone = is_status(found, packets.NO_SUCH_FILE)
    attempt.learns.append(lambda: profile.learn(FINAL_STAT, "taken" if gone else "hidden", str(found)))
    return Sent(RemoteStat(job.size, None if gone else stat.mtime), attempt.sent, "taken" if gone else "size")


def _refused(step: str, name: str, answer: Reply | None) -> TransportError:
    assert answer is not None
    return MeansRefused(APPEND.name, str(refusal(step, name, answer)), server_text=str(answer))
