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

from ...common.errors import NotAsLeft, TransportLost
from ..base import Append, RemoteStat, Sent
from . import packets
from .attempt import Attempt, Ending, Shown, not_built, opened
from .packets import Attrs, Reply, Status, string
from .refusal import refusal


async def append(attempt: Attempt, how: Append) -> tuple[Sent, Shown]:
    """Bring the file under the name up to the source; NotAsLeft where it is not what can be appended to."""
    client, job = attempt.client, attempt.job
    cut = how.until > how.at
    opening = client.request(packets.OPEN, packets.open_old(attempt.target, read=cut, write=True))
    await attempt.clear()
    attempt.handle = opened(await opening, job.name)
    start = await _start(attempt, how, await client.request(packets.FSTAT, string(attempt.handle)))
    await attempt.cleared()
    # A reader sees each byte as it arrives, so this is before the first and not behind the last.
    await asyncio.to_thread(attempt.hash.check)
    attempt.confirm()
    attempt.progress(start)
    endings: list[Ending] = []
    transfer = attempt.send(start, job.size, attempt.progress, lambda: endings.append(attempt.finish(job.size - start)),
                            job.whole_records is not False)
    await attempt.arrived(transfer, not_built)
    shown = await endings[0].answers(NotAsLeft)
    closing = attempt.end()
    looking = client.request(packets.STAT, string(attempt.target))
    await attempt.ended(closing)
    return Sent(_name_shows(job.name, shown, await looking), attempt.sent), shown


async def _start(attempt: Attempt, how: Append, shown: Reply) -> int:
    """Where to go on in a file that shows this."""
    job = attempt.job
    if not isinstance(shown, Attrs) or shown.size is None or shown.mtime is None:
        raise NotAsLeft(f"{job.name}: the server does not tell its size and time")
    found = RemoteStat(shown.size, shown.mtime)
    exact = job.replaces is not None and found[:2] == job.replaces[:2] and found.size == how.at
    if exact and job.base <= how.at <= job.size:
        return how.at
    if how.until > how.at and max(how.at, job.base) <= found.size <= min(how.until, job.size):
        if await attempt.is_same_up_to(found.size):
            return found.size
        raise NotAsLeft(f"{job.name}: the server has {found.size:,} bytes, and the last of them are not ours")
    raise NotAsLeft(f"{job.name}: the server shows {found.size:,} bytes of {found.mtime}, and {how.at:,} were left there")


def _name_shows(name: str, shown: Shown, found: Reply) -> RemoteStat:
    """What stands under the name, which must be the file that was written: another may have been put there meanwhile."""
    if isinstance(found, Attrs) and found.size == shown.remote.size and (found.mtime == shown.remote.mtime or not shown.timed):
        return RemoteStat(found.size, found.mtime)
    refused = refusal("look", name, found)
    if isinstance(found, Status) and isinstance(refused, TransportLost):
        raise refused
    raise NotAsLeft(f"{name}: another file was put there while it was appended to")
