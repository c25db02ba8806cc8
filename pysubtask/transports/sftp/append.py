"""Appending in place: the file under the name grows, and is a true prefix of the new version at any moment.

Four round trips: OPEN (and REMOVE of earlier attempts); FSTAT; all WRITEs, FSETSTAT, FSYNC and FSTAT; CLOSE and a last look
at the name. One more, a READ, where an earlier append was cut.

What a server that was frozen may still do of an earlier append, when we have long gone on over another connection: WRITEs go to
absolute offsets, and bytes of ours at these offsets are the same in every version that was appended to, while a version that
was not is another file, which an open handle does not reach. An OPEN that comes late gets a handle that nobody answers for:
the first WRITE is sent only when OPEN and FSTAT have been answered. So the bytes stay right. The time of the file may be set
once more to that of the older version or to the server's now, and then the next append finds it not as left, which costs
a whole upload and nothing else.
"""

from __future__ import annotations

import asyncio

from ...common.errors import MeansRefused, NotAsLeft, TransportError
from ...common.remote_times import is_same_time
from ..base import Append, RemoteStat, Sent
from ..shared.means import APPEND, FINAL_STAT
from . import packets
from .attempt import Attempt, Ended, Ending, is_ok, is_status
from .packets import Attrs, Handle, Reply, string
from .settled import settled
from .status_errors import refusal


async def append(attempt: Attempt, how: Append) -> Sent:
    """Bring the file under the name up to the source. NotAsLeft where it is not what can be appended to; MeansRefused where the
    server refused to, be it this file or any."""
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
    # A reader sees each byte as it arrives, so this is before the first and not behind the last.
    await attempt.check_hash()
    attempt.confirm()
    attempt.progress(start)
    endings: list[Ending] = []
    seen: list[asyncio.Future[Reply]] = []

    def finish() -> None:
        endings.append(attempt.finish(job.size - start))
        # Whether the name still is this file; a moment later a program there may have taken it away.
        seen.append(client.request(packets.STAT, string(attempt.target)))

    transfer = attempt.send(start, job.size, attempt.progress, finish, job.whole_records is not False)
    await attempt.arrived(transfer, _refused)
    ended, stood = await endings[0].answers(), await seen[0]
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
    return _looked(attempt, ended, stat, stood, found)


async def _start(attempt: Attempt, how: Append, stat: Reply) -> int:
    """Where to go on in a file that shows this."""
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
    """Whether the file of which the server shows another time, as after a change of its zone, ends as the one that we left."""
    opened = await attempt.client.request(packets.OPEN, packets.open_old(attempt.target, read=True, write=False))
    if not isinstance(opened, Handle):
        return False
    tail = attempt.read_tail(end, opened.handle)
    attempt.client.request(packets.CLOSE, string(opened.handle))
    return await attempt.is_same_up_to(end, tail) is True


def _looked(attempt: Attempt, ended: Ended, stat: Attrs, stood: Reply, found: Reply) -> Sent:
    """What stands under the name when all is written (``stood``) and when it is closed: the file that was written, or in the end
    nothing, as it has been taken away. NotAsLeft where the bytes may have gone to a file that has another name by now."""
    job, profile = attempt.job, attempt.server.profile
    if isinstance(found, Attrs):
        if found.size == job.size and (found.mtime == stat.mtime or not ended.was_timed):
            attempt.learns.append(lambda: profile.learn(FINAL_STAT, "stays"))
            return Sent(RemoteStat(job.size, found.mtime), attempt.sent)
        raise NotAsLeft(f"{job.name}: another file was put there while it was appended to")
    if not (isinstance(stood, Attrs) and stood.size == job.size):
        raise NotAsLeft(f"{job.name}: it is not there any more: it was moved away while it was appended to ({found})")
    gone = is_status(found, packets.NO_SUCH_FILE)
    attempt.learns.append(lambda: profile.learn(FINAL_STAT, "taken" if gone else "hidden", str(found)))
    return Sent(RemoteStat(job.size, None if gone else stat.mtime), attempt.sent, "taken" if gone else "size")


def _refused(step: str, name: str, answer: Reply | None) -> TransportError:
    assert answer is not None
    return MeansRefused(APPEND.name, str(refusal(step, name, answer)), server_text=str(answer))
