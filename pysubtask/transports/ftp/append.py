"""Appending in place: the missing bytes are stored behind the server's file. A reader sees a true prefix at any moment.
Blocking.

After a cut the file holds a longer true prefix, and the next attempt completes it. ``restart`` says why APPE is never used.
"""

from __future__ import annotations

from ...common.errors import AttemptFailed, FileRefused, NotAsLeft
from ...common.remote_times import is_same_time
from ..base import Job, RemoteStat
from ..shared.checksum import WrongHash
from .arrival import settled_size
from .attempt import Attempt
from .broken_transfers import cut_short, store_error
from .checksum import check
from .data import Source, opened
from .publish import Publisher
from .replies import CannotRestart, cannot_hold
from .restart import Restarts, ends_as
from .server_features import CannotTell, DataLost
from .session import Session

_ONE_SEGMENT = 1200
"""Bytes that fit one packet on any path, so that they arrive together or not at all: IPv6 guarantees packets of 1,280 bytes, which
leaves this much beside the headers and TLS."""
_WORTH = 64 * 1024
"""One transfer's overhead takes about as long as this many bytes on a slow link."""


class Appender:
    """Appends to files in one folder, over the session given to each call."""

    def __init__(self, publisher: Publisher, restarts: Restarts) -> None:
        self._publisher = publisher
        self._restarts = restarts

    def check(self, session: Session, attempt: Attempt) -> int:
        """The offset where the new bytes go. Raises NotAsLeft where the offset is not certain; nothing was changed then.

        ``whole_records`` asks more than one transfer can promise, as a server stops writing wherever a cut happens. So each
        transfer carries whole lines that fit one TCP segment, as long as that costs less than sending the whole file.
        """
        job, restarts = attempt.job, self._restarts
        if job.append is None or job.replaces is None or not restarts.possible(session.known):
            raise NotAsLeft(f"{job.name}: nothing is appended on this server")
        links = self._publisher.links
        if not links.follow and links.find(session, attempt.target) is not None:
            raise NotAsLeft(f"{job.name}: the name is a link, which is to be replaced")
        with opened(job) as source:
            self._publisher.temps.take(attempt)
            self._publisher.clear(session, attempt)
            temps = self._publisher.temps
            restarts.try_out(session, job.name, attempt.temp, lambda path: temps.remove(session, path))
            at = self._end(session, attempt, source)
            attempt.ends = _whole_lines(source, at, job) if job.whole_records else [job.size]
            if source.hash is not None:
                source.hash.check()  # before the first byte is sent, as readers see each byte as it arrives
        attempt.start = at
        attempt.tally.reach(at)
        return at

    @staticmethod
    def _end(session: Session, attempt: Attempt, source: Source) -> int:
        """The size of the server's file, if the file is the one that the last delivery left, or that one with more of the
        source's bytes."""
        job = attempt.job
        assert job.append is not None and job.replaces is not None
        try:
            stat = session.stat(attempt.target)
        except CannotTell:
            stat = None
        if stat is None:
            raise NotAsLeft(f"{job.name}: the server shows no such file")
        at, until = job.append
        left = job.replaces
        if stat.mtime is not None and (stat.size, stat.mtime) == (left.size, left.mtime) and stat.size == at <= job.size:
            # A time by the server's own clock proves less: another client may have written in the same second.
            if session.known.keeps_mtime or ends_as(session, attempt.target, source, at) is not False:
                return at
            raise NotAsLeft(f"{job.name}: the server's {at:,} bytes do not end as ours do")
        if (
            stat.size == left.size == at <= job.size
            and is_same_time(left.mtime, stat.mtime)
            and ends_as(session, attempt.target, source, at)
        ):
            return at  # only the server's way to show the time has changed
        # A file stored in place may be half of another version after a cut: only a file that was left whole can be appended to.
        if attempt.in_place or until <= at or not at <= stat.size <= min(until, job.size):
            raise NotAsLeft(
                f"{job.name}: the server shows {stat.size:,} bytes of {stat.mtime}, we left {left.size:,} of {left.mtime}"
            )
        if not ends_as(session, attempt.target, source, stat.size):
            raise NotAsLeft(f"{job.name}: the server's {stat.size:,} bytes do not end as ours do")
        return stat.size

    def put(self, session: Session, attempt: Attempt) -> RemoteStat:
        """Store the missing bytes after ``check``, verify them, set the time; the stat of the file afterwards. Raises
        NotAsLeft, AttemptFailed, FileRefused."""
        job = attempt.job
        if attempt.start < job.size:
            with opened(job) as source:
                source = source._replace(hash=None)  # ``check`` has compared the hash
                try:
                    for end in attempt.ends:
                        self._store(session, attempt, source, end)
                        attempt.start = end
                except DataLost as exc:
                    raise self._publisher.broken.cut(attempt, exc) from exc
        self._publisher.broken.arrived(attempt)
        self._verify(session, attempt)
        self._publisher.set_time(session, attempt, attempt.target)
        return self._publisher.final_stat(session, attempt, "appended to")

    def _verify(self, session: Session, attempt: Attempt) -> None:
        job = attempt.job
        try:
            with opened(job) as source:
                attempt.verified = check(session, attempt.target, job, source, self._publisher.checks)
        except WrongHash as exc:
            # Readers see the wrong bytes already: the whole file has to replace them at once.
            raise NotAsLeft(str(exc)) from exc

    def _store(self, session: Session, attempt: Attempt, source: Source, end: int) -> None:
        job, tally = attempt.job, attempt.tally
        before = tally.sent
        try:
            reply = session.store(attempt.target, source, end, tally, attempt.start)
        except CannotRestart as exc:
            self._restarts.refuse(str(exc))
            raise NotAsLeft(f"{job.name}: this server no longer goes on in the middle of a file: {exc}") from exc
        if not reply.ok:
            failed = store_error(job.name, reply)
            if isinstance(failed, FileRefused) and tally.sent == before and not cannot_hold(reply):
                # The file is read-only or gone: sending the whole file works all the same, or is refused for its own reason.
                raise NotAsLeft(str(failed))
            raise failed
        self._check(session, attempt, end)

    def _check(self, session: Session, attempt: Attempt, end: int) -> None:
        job = attempt.job
        try:
            remote_size = settled_size(session, attempt.target, end) or 0
        except CannotTell as exc:
            words = f"{job.name}: the server no longer tells its size"
            raise AttemptFailed(words, step="looking at its size", file=job.name) from exc
        if attempt.start <= remote_size < end:
            raise cut_short(job, remote_size)
        if remote_size != end:
            # Readers see wrong bytes now: the whole file has to replace them at once.
            self._restarts.refuse(f"{remote_size:,} bytes where {end:,} were to be")
            raise NotAsLeft(f"{job.name}: {end:,} bytes were to be there and the server has {remote_size:,}")


def _whole_lines(source: Source, at: int, job: Job) -> list[int]:
    """The end offsets of transfers that carry whole lines and fit one segment each. Raises NotAsLeft where there would be too
    many transfers, or a line is too long for a segment."""
    ends: list[int] = []
    while at < job.size:
        length = source.read(at, min(_ONE_SEGMENT, job.size - at)).rfind(b"\n") + 1
        if not length or (len(ends) + 1) * _WORTH > max(job.size, 8 * _WORTH):
            raise NotAsLeft(f"{job.name}: a cut might show half a line")
        at += length
        ends.append(at)
    return ends
