"""FTPTransport: the contract of a transport, built from the other modules of this package."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from ...common.errors import AttemptFailed, FileRefused, MeansRefused, NotAsLeft, TransportError, TransportLost
from ..base import Job, Progress, RemoteStat, Sent, Traits, Transport, Wire
from ..shared.allowance import Allowance
from ..shared.altered_names import key
from ..shared.checksum import Checks, WrongHash
from ..shared.means import TEMP, TIME
from ..shared.meter import Meter
from ..shared.pace import Pace
from ..shared.profile import Profile
from ..shared.server_limit import smells_of_limit
from ..shared.swap_record import SwapRecord
from ..shared.turns import Turns
from ..shared.workdir import make_workdir
from .append import Appender
from .attempt import Attempt
from .checksum import check
from .data import Tally, opened
from .links import Links, TempRecord
from .options import folder_of, identity_of, login_of, path_of
from .pool import Pool
from .publish import Publisher
from .restart import Restarts
from .server_features import CannotTell, ServerFeatures
from .session import Session
from .swap import Swaps
from .temps import remove
from .tls import context_of

_V = TypeVar("_V")

_ALONE_SECS = 20.0
"""After a connection was lost soon, only one connection is used for this long: each further one is a login, and many servers count
logins before they ban an address."""
_CROWDED_SECS = (0.05, 0.2, 0.5)
"""Waits before further tries at a server that is at a limit while no other upload is at work; then the queue waits."""


class FTPTransport(Transport):
    """FTP (RFC 959) and FTPS (RFC 4217), passive or active, over a few connections at once.

    Constructing it raises ConfigError for a host, login name or path that cannot be used. ``workdir`` gets ``swaps.json`` where
    a server cannot rename over a file. With ``StoreInPlace`` a file is stored under its final name at once, for servers that
    cannot rename at all.

    An upload that was cut resumes from its temporary file. ``traits.appends`` says that nothing speaks against appends: the
    first job with ``append`` makes the server prove, on a temporary file, that a transfer into the middle of a file leaves the
    other bytes alone; where the proof fails, the job ends in NotAsLeft and the trait is gone. The proof is kept in
    ``workdir/restarts.json``.
    """

    name: ClassVar[str] = "ftp"

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._login = login_of(settings)
        self._folder = folder_of(settings)
        self._identity = identity_of(settings)
        self._workdir = workdir
        self._follow = settings.get("RemoteLinks", "follow") != "replace"
        self._in_place = bool(settings.get("StoreInPlace", False))
        self._most = max(1, min(int(settings.get("Connections", 4)), int(settings.get("Concurrency", 32))))
        self.profile = self._profile = Profile(time.time, in_place=self._in_place)
        self._allowance = self._profile.opened["connections"] = Allowance(self._most)
        self._known = ServerFeatures(self._profile)
        self.pace = self._pace = Pace(float(settings.get("RateLimit", 0)))
        self._meter = Meter()
        self._checks = Checks(settings)
        self._checked_by = dict(settings)
        self._hung: list[threading.Thread] = []
        self._spares_logins, self._alone_until = bool(settings.get("LoginsPerMinute")), 0.0
        self._turns = Turns(key)
        self._pool: Pool | None = None
        self._swaps: Swaps | None = None
        self._restarts: Restarts | None = None
        self._publisher: Publisher | None = None
        self.traits = Traits(atomic_replace=not self._in_place, keeps_mtime=True, concurrency=self._most)

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """As ``options.identity_of``."""
        return identity_of(settings)

    def wire(self) -> Wire | None:
        """Bytes of all control and data connections, as the kernel counts them."""
        return self._meter.wire()

    async def connect(self) -> None:
        """Open the first session; more are opened as uploads wait for one. Interrupted swaps are completed and old temporary
        files are removed first."""
        await self.close()
        make_workdir(self._workdir)
        if self._swaps is None or self._restarts is None or self._publisher is None:
            self._swaps = Swaps(SwapRecord(self._workdir, self._identity), self._profile)
            self._restarts = Restarts(self._workdir, self._identity, self._profile)
            links = Links(TempRecord(self._workdir, self._identity), self._follow)
            self._publisher = Publisher(self._swaps, self._restarts, self._checks, links, self._profile)
        pool = self._pool = Pool(
            self._login,
            self._known,
            self._allowance,
            context_of,
            self._limited,
            self._hung,
            self._pace,
            self._meter,
            self._alone_until,
        )
        self._limited(self._allowance.limit)
        if self._profile.is_due(TIME):
            self._known.refused_setters.clear()
        swaps, temps = self._swaps, self._publisher.temps

        def first(session: Session) -> None:
            swaps.mend_all(session)
            temps.sweep(session)

        try:
            await pool.connect(first)
        except BaseException:
            await self.close()
            raise
        self._learned()

    async def close(self) -> None:
        """Shut every socket down. Threads that hang in a call are given up, not awaited."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.is_lost_soon and self._spares_logins:
            self._alone_until = time.monotonic() + _ALONE_SECS
        if pool is not None:
            await pool.close()

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Uploads of new names that differ in case alone run one after the other, as a server may take the names for one.
        Raises as ``Publisher.send`` and ``Publisher.publish``, or NotAsLeft."""
        pool, publisher = self._open()
        if job.replaces is None:
            turn = await self._turns.enter(job.name)
            try:
                return await self._sent(pool, publisher, job, progress)
            finally:
                self._turns.leave(turn)
        return await self._sent(pool, publisher, job, progress)

    async def _sent(self, pool: Pool, publisher: Publisher, job: Job, progress: Progress) -> Sent:
        reporter = _Reporter(progress, job.note)
        tally = Tally(job.size, reporter.progress, reporter.note)
        if job.copies:
            raise NotAsLeft(f"{job.name}: FTP has no way to let a server copy")
        waits, walk = iter(_CROWDED_SECS), None
        try:
            while True:
                attempt = Attempt(job, self._folder, self._in_place, tally)
                attempt.walk = walk
                try:
                    async with pool.lease() as session:
                        stat = await self._deliver(pool, session, publisher, attempt)
                    break
                except MeansRefused as exc:
                    # The temporary file was removed there: the next kind of name follows.
                    if exc.means != TEMP.name or attempt.walk is None:
                        raise
                    walk, secs = attempt.walk, 0.0
                except (FileRefused, AttemptFailed) as exc:
                    if tally.sent:
                        raise
                    # The next try has fewer uploads beside it, or comes later: another session's file is still open.
                    limit = isinstance(exc, AttemptFailed) and exc.limit
                    secs = 0.0 if attempt.crowded else next(waits, None) if limit else None
                    if secs is None:
                        raise
                await asyncio.sleep(secs)
        finally:
            reporter.over = True
            self._learned()
        if job.size:
            progress(job.size)
        return Sent(stat, attempt.tally.sent, attempt.verified, attempt.link)

    async def _deliver(self, pool: Pool, session: Session, publisher: Publisher, attempt: Attempt) -> RemoteStat:
        try:
            if attempt.job.append is not None:
                stat = await self._append(pool, session, publisher, attempt)
            else:
                stat = await self._replace(pool, session, publisher, attempt)
        except (FileRefused, AttemptFailed) as exc:
            attempt.crowded = smells_of_limit(exc.server_text) and pool.crowded()
            raise
        pool.worked()
        return stat

    async def _replace(self, pool: Pool, session: Session, publisher: Publisher, attempt: Attempt) -> RemoteStat:
        if self._in_place:
            attempt.job.confirm()  # readers see each byte as it arrives, so nothing can be withdrawn later
        await pool.run(session, lambda: publisher.send(session, attempt))
        if not self._in_place:
            await self._confirm(pool, session, publisher, attempt)
        return await pool.run(session, lambda: publisher.publish(session, attempt))

    async def _append(self, pool: Pool, session: Session, publisher: Publisher, attempt: Attempt) -> RemoteStat:
        assert self._restarts is not None
        appender = Appender(publisher, self._restarts)
        await pool.run(session, lambda: appender.check(session, attempt))
        attempt.job.confirm()
        return await pool.run(session, lambda: appender.put(session, attempt))

    async def stat(self, name: str) -> RemoteStat | None:
        """Size and time; None for no file, and for a server that tells no size: sending the file again does no harm."""
        pool, _ = self._open()
        path = path_of(self._folder, name)

        def read_stat() -> RemoteStat | None:
            try:
                return session.stat(path)
            except CannotTell:
                return None  # then the file is sent again, which does no harm

        async with pool.lease() as session:
            return await pool.run(session, read_stat)

    async def verify(self, job: Job) -> str:
        """Compare by the server's hash (see ``checksum``), else by size."""
        pool, _ = self._open()
        path = path_of(self._folder, job.name)

        def compare() -> str:
            with opened(job) as source:
                try:
                    # A fresh ``Checks``: a wrong hash here must not count against uploads.
                    return check(session, path, job, source, Checks(self._checked_by))
                except WrongHash:
                    return ""

        async with pool.lease() as session:
            return await pool.run(session, compare)

    async def remove(self, names: Iterable[str]) -> set[str]:
        """DELE, in one session. Raises the last refusal where a file stays and none was removed."""
        pool, publisher = self._open()
        paths = {name: path_of(self._folder, name) for name in names}
        swaps = self._swaps
        assert swaps is not None
        async with pool.lease() as session:
            return await pool.run(session, lambda: remove(session, paths, swaps, publisher.temps))

    @staticmethod
    async def _confirm(pool: Pool, session: Session, publisher: Publisher, attempt: Attempt) -> None:
        try:
            attempt.job.confirm()
        except Exception:
            # The temporary file is on record, so the exception of confirm is the one to raise.
            with contextlib.suppress(TransportError):
                await pool.run(session, lambda: publisher.discard(session, attempt))
            raise

    def _open(self) -> tuple[Pool, Publisher]:
        if self._pool is None or self._publisher is None:
            raise TransportLost("not connected")
        return self._pool, self._publisher

    def _limited(self, limit: int) -> None:
        self.traits = self.traits._replace(concurrency=limit)

    def _learned(self) -> None:
        known, restarts = self._known, self._restarts
        self.traits = self.traits._replace(
            atomic_replace=known.replaces and not self._in_place,
            keeps_mtime=known.keeps_mtime,
            appends=restarts is not None and restarts.possible(known),
        )


class _Reporter:
    """Hands progress and notes from a thread to the event loop, until the upload is ``over``."""

    def __init__(self, progress: Callable[[int], None], note: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._progress = progress
        self._note = note
        self._last = 0
        self.over = False

    def progress(self, done: int) -> None:
        self._hand(self._on_progress, done)

    def note(self, text: str) -> None:
        self._hand(self._on_note, text)

    def _hand(self, call: Callable[[_V], None], value: _V) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller awaits the progress
            self._loop.call_soon_threadsafe(call, value)

    def _on_note(self, text: str) -> None:
        if not self.over:
            self._note(text)

    def _on_progress(self, done: int) -> None:
        if not self.over and done >= self._last:
            self._last = done
            self._progress(done)
