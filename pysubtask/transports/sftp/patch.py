"""A new version built on the server, from parts of the old version that the server copies itself and from bytes that are sent.

Four round trips: OPEN of a new temporary file and of the file under the name; FSTAT of the latter; copy-data requests, WRITEs, and
the end of any upload, with another FSTAT of the old file; CLOSE and rename.

The copies are requested in the order of their offsets in the new file, each followed by an FSTAT, and the WRITEs behind a copy
are sent after it. So the size in that reply is the end of the copy, or the copy is not complete: sftp-server of OpenSSH (seen
in 9.2) says OK for one whose last 64 KB could not be read or written. It refuses to copy within one file, reads length 0 as "up to
the end", and serves nothing else while it copies, so long copies are asked for in pieces, a few at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ...common.errors import MeansRefused, NotAsLeft, TransportError
from ..base import Copy, Job, RemoteStat
from ..shared.means import APPEND, WRITES
from ..shared.profile import Walk
from . import packets
from .attempt import SLOW_DISK, Attempt, EndRequests, Server, is_ok, opened
from .links import is_link
from .packets import Attrs, Handle, Reply, string
from .sending import Stored
from .status_errors import refusal
from .transfer import Transfer

_PIECE = 16 * 1024 * 1024  # bytes: 16 s at ``SLOW_DISK``, as the server answers nothing else while it copies
_AT_ONCE = 4 * _PIECE  # so that the server always has the next piece, and a refusal wastes few
_MOST_NAMES = 1000  # files whose refused copies are kept; only a bound for the memory


class _Asked(NamedTuple):
    """A copy of ``size`` bytes that was requested; ``end``: the size of the new file after it."""

    copying: asyncio.Future[Reply]
    showing: asyncio.Future[Reply]
    size: int
    end: int


class Patch:
    """After ``open`` and ``build`` the temporary file is complete and can be renamed."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._asked: deque[_Asked] = deque()
        self._copying = 0
        self._gaps: list[Transfer] = []
        self._unsent = 1  # gaps, and the rest of the copies
        self._done = 0
        self._ends: list[tuple[EndRequests, asyncio.Future[Reply]]] = []
        self._entered = 0

    def leave(self) -> None:
        """Give the places of the two files that were not opened back to ``Handles``."""
        if self._entered:
            self._attempt.server.handles.leave(self._entered)
            self._entered = 0

    async def open(self) -> None:
        """Create the temporary file and open the old one. NotAsLeft where the old file is not as the last delivery left it."""
        attempt, client, job = self._attempt, self._attempt.client, self._attempt.job
        if not are_sound(job.copies, job.size, job.replaces.size if job.replaces else 0):
            raise NotAsLeft(f"{job.name}: what was to be copied does not fit the file")
        handles = attempt.server.handles
        await handles.enter(2)
        self._entered = 2
        attempt.temp = attempt.known_temp()
        if job.resume:
            client.request(packets.REMOVE, string(attempt.temp))
        attempt.opening = client.request(packets.OPEN, packets.open_new(attempt.temp))
        opening = client.request(packets.OPEN, packets.open_old(attempt.target, read=True, write=False))
        looking = client.request(packets.LSTAT, string(attempt.target))
        await attempt.clear()
        created, found, stat = await attempt.opening, await opening, await looking
        self._entered = 0
        handles.beside(created)
        handles.beside(found)
        if isinstance(created, Handle):
            attempt.handle = created.handle
        attempt.origin = opened(found, job.name)
        if attempt.handle is None:
            raise NotAsLeft(str(refusal("open", job.name, created)))
        if is_link(stat):
            raise NotAsLeft(f"{job.name}: a link stands there")
        attempt.resolved = attempt.resolved._replace(exists=True)
        self._check(await client.request(packets.FSTAT, string(attempt.origin)))
        await attempt.cleared()

    def _check(self, stat: Reply) -> None:
        job = self._attempt.job
        if not isinstance(stat, Attrs) or job.replaces is None or (stat.size, stat.mtime) != job.replaces[:2]:
            raise NotAsLeft(f"{job.name}: the server's file is not what was left there")

    async def build(self) -> Stored:
        """Copy and send all parts; the file as the server then has it. MeansRefused where its size is not that of the job, or a
        copy or a WRITE was refused; NotAsLeft where the old file changed meanwhile."""
        attempt, job = self._attempt, self._attempt.job
        at = 0
        for piece in in_pieces(job.copies):
            self._send(at, piece.at)
            while self._asked and self._copying + piece.size > _AT_ONCE:
                await self._next()
            self._copy(piece)
            at = piece.at + piece.size
        self._send(at, job.size)
        self._sent()
        while self._asked:
            await self._next()
        for gap in self._gaps:
            await attempt.arrived(gap, _refused)
        [(ending, looking)] = self._ends
        ended = await ending.answers()
        self._check(await looking)
        stat = ended.stat
        if not isinstance(stat, Attrs) or stat.size != job.size:
            raise MeansRefused(WRITES.name, f"{job.name}: {job.size:,} bytes were put together and the server has {stat}")
        ending.learn_time(ended.timed, stat.mtime)
        return Stored(RemoteStat(job.size, stat.mtime), ended.synced, ended.was_timed)

    def _send(self, start: int, end: int) -> None:
        if start == end:
            return
        before = start

        def progress(offset: int) -> None:
            nonlocal before
            self._arrived(offset - before)
            before = offset

        self._unsent += 1
        self._gaps.append(self._attempt.send(start, end, progress, self._sent))

    def _sent(self) -> None:
        self._unsent -= 1
        if self._unsent:
            return
        attempt, client = self._attempt, self._attempt.client
        assert attempt.origin is not None
        # FSTAT once more: another program may have written to the old file while it was copied.
        looking = client.request(packets.FSTAT, string(attempt.origin))
        attempt.server.handles.close(attempt.origin)
        attempt.origin = None
        self._ends.append((attempt.finish(attempt.job.size), looking))

    def _arrived(self, count: int) -> None:
        self._done += count
        self._attempt.progress(self._done)

    def _copy(self, piece: Copy) -> None:
        attempt, client = self._attempt, self._attempt.client
        assert attempt.handle is not None and attempt.origin is not None
        asking = packets.copy_data(attempt.origin, piece.origin, piece.size, attempt.handle, piece.at)
        copying = client.request(packets.EXTENDED, asking, piece.size / SLOW_DISK)
        showing = client.request(packets.FSTAT, string(attempt.handle))
        self._asked.append(_Asked(copying, showing, piece.size, piece.at + piece.size))
        self._copying += piece.size

    async def _next(self) -> None:
        """Wait for the oldest copy that was requested. MeansRefused where the server refused it or copied less."""
        attempt, name = self._attempt, self._attempt.job.name
        one = self._asked.popleft()
        answer, stat = await one.copying, await one.showing
        if not is_ok(answer) or not isinstance(stat, Attrs) or stat.size != one.end:
            if attempt.origin is not None:
                self._check(await attempt.client.request(packets.FSTAT, string(attempt.origin)))
            else:
                self._check(await self._ends[0][1])
            if not is_ok(answer):
                raise _refused("copy", name, answer)
            has = stat.size if isinstance(stat, Attrs) else None
            raise MeansRefused(WRITES.name, f"{name}: the server copied up to byte {has}, not {one.end}")
        self._copying -= one.size
        self._arrived(one.size)


class Patcher:
    """Builds new versions over one connection, where this server is known to copy and to take bytes at any offset."""

    def __init__(self, server: Server) -> None:
        self._server, self._profile = server, server.profile
        self._copies_refused: dict[str, tuple[Walk, str]] = {}

    async def put(self, attempt: Attempt) -> Stored:
        """Build the temporary file; the file as the server then has it. NotAsLeft where the whole file has to be sent."""
        name = attempt.job.name
        if self._server.handles.limit < 2:
            raise NotAsLeft(f"{name}: this server does not let two files be open at once")
        walk = self._profile.walk(WRITES)
        if walk.rung != "any":
            raise NotAsLeft(f"{name}: {WRITES.lacks['in_order']}")
        patch = Patch(attempt)
        try:
            await patch.open()
            stored = await patch.build()
        except MeansRefused as exc:
            # Whether the server or this file is the reason is decided when the whole file has arrived.
            while len(self._copies_refused) >= _MOST_NAMES:
                del self._copies_refused[next(iter(self._copies_refused))]
            self._copies_refused[name] = walk, exc.server_text
            raise NotAsLeft(str(exc)) from exc
        finally:
            patch.leave()
        attempt.learns.append(walk.worked)
        return stored

    def whole_arrived(self, job: Job) -> None:
        """Update the profile after a file has arrived whole: copies that were refused for it are a fault of the server."""
        walk, why = self._copies_refused.pop(job.name, (None, ""))
        if walk is not None:
            walk.came_to("in_order", why)
        if job.replaces is not None:
            # Counted as a use, so that the better rungs are tried again now and then.
            for means, rung in ((APPEND, "none"), (WRITES, "in_order")):
                if self._profile.rung(means) == rung:
                    self._profile.walk(means, trial=False).worked()


def _refused(step: str, name: str, answer: Reply) -> TransportError:
    return MeansRefused(WRITES.name, str(refusal(step, name, answer)), server_text=str(answer))


def are_sound(copies: tuple[Copy, ...], size: int, had: int) -> bool:
    """Whether a file of ``size`` bytes can be built by these copies from a file of ``had`` bytes."""
    end = 0
    for copy in copies:
        if copy.at < end or copy.size <= 0 or copy.origin < 0 or copy.origin + copy.size > had:
            return False
        end = copy.at + copy.size
    return end <= size


def in_pieces(copies: tuple[Copy, ...]) -> Iterator[Copy]:
    """The same copies, in pieces of at most _PIECE bytes."""
    for at, size, origin in copies:
        for done in range(0, size, _PIECE):
            yield Copy(at + done, min(_PIECE, size - done), origin + done)
