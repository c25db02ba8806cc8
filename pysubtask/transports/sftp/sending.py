"""Round trip 2 of an upload: the bytes of the file, and then its size as the server reports it.

Some servers report the size of a file while the file is open, some only after the CLOSE, some never.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ...common.errors import AttemptFailed, MeansRefused, TransportError
from ..base import RemoteStat
from ..shared.means import SIZE, WRITES
from ..shared.remote_text import remote_text
from . import packets
from .attempt import Attempt, EndReplies, EndRequests, is_status, size_of
from .client import SHORT_FILE
from .packets import Attrs, Reply
from .settled import settled
from .status_errors import is_unknown, refusal


class Stored(NamedTuple):
    """The file that was written, as the server has it: ``remote`` its size and time, ``verified`` how the size is known ('size':
    the server told it; 'reply': each WRITE and the CLOSE were acknowledged). ``synced``: the file is on the server's disk;
    ``timed``: the server accepted the time."""

    remote: RemoteStat
    synced: bool
    timed: bool
    verified: str = "size"


async def send(attempt: Attempt, start: int) -> Stored:
    """Send the bytes from ``start`` on. MeansRefused where the server refuses or misplaces them because ``start`` is not 0."""
    endings: list[EndRequests] = []
    size, profile = attempt.job.size, attempt.server.profile
    # The size of an empty file proves nothing: a new file has it before the first WRITE.
    walk = profile.walk(SIZE, trial=size > 0)
    asks = walk.rung == "before_close"
    if start:
        await asyncio.to_thread(attempt.hash.upto, start)
    transfer = attempt.send(
        start, size, attempt.progress, lambda: endings.append(attempt.finish(size, show=asks)), took=attempt.hash.took
    )
    if size - start <= SHORT_FILE:
        attempt.client.queue()
    if endings and endings[0].stat is not None:  # all requests are sent, so one wait for the last reply is enough
        await endings[0].stat
    await attempt.arrived(transfer, _out_of_order if start else None)
    ended = await endings[0].answers()
    if asks:
        if size_of(ended.stat) == size:
            if size:
                attempt.learns.append(walk.worked)
            assert isinstance(ended.stat, Attrs)
            return _stored(ended, size, ended.stat.mtime)
        walk.refused(_reply_text(ended.stat), unknown=is_unknown(ended.stat) if ended.stat is not None else False)
    if attempt.handle is not None:
        await attempt.ended(attempt.end())
    if walk.rung == "after_close":
        found = await stat_temp(attempt, size)
        if size_of(found) == size:
            if size:
                attempt.learns.append(walk.worked)
            assert isinstance(found, Attrs)
            return _stored(ended, size, found.mtime)
        if size_of(found) is not None:
            # Some servers append the bytes of a WRITE at the end of the file and ignore the offset.
            raise _elsewhere(attempt, found) if start else refusal_of_size(attempt, found)
        if is_status(found, packets.NO_SUCH_FILE) and profile.state(SIZE).proven and profile.rung(SIZE) != "never":
            attempt.opening = None
            raise attempt.vanished("something on the server takes it away when it is closed")
        walk.refused(_reply_text(found), unknown=is_unknown(found))
    # The server never reports a size, so the OK to each WRITE and to the CLOSE has to be enough.
    attempt.learns.append(walk.worked)
    return _stored(ended, size, None)._replace(verified="reply")


async def stat_temp(attempt: Attempt, size: int) -> Reply:
    """STAT of the temporary name, repeated for a moment while the size is too small (``settled``)."""
    return await settled(attempt.client, attempt.temp, size)


def refusal_of_size(attempt: Attempt, found: Reply) -> TransportError:
    """The error for a file whose size on the server is not the number of bytes written."""
    name, size = attempt.job.name, attempt.job.size
    reason = f"{name}: {size:,} bytes were written and the server has {size_of(found):,} bytes"
    return AttemptFailed(reason, step="asking for the size", file=remote_text(attempt.temp))


def _elsewhere(attempt: Attempt, found: Reply) -> TransportError:
    words = str(refusal_of_size(attempt, found))
    return MeansRefused(WRITES.name, words, step="asking for the size", server_text=_reply_text(found))


def _stored(ended: EndReplies, size: int, mtime: int | None) -> Stored:
    ended.ending.learn_time(ended.timed, mtime)
    return Stored(RemoteStat(size, mtime), ended.synced, ended.was_timed)


def _reply_text(answer: Reply | None) -> str:
    if isinstance(answer, Attrs):
        return "no size" if answer.size is None else f"{answer.size:,} bytes"
    return str(answer)


def _out_of_order(step: str, name: str, answer: Reply) -> TransportError:
    return MeansRefused(WRITES.name, str(refusal(step, name, answer)), server_text=str(answer))
