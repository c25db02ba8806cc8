"""The order of a safe upload: STOR under a temporary name, size and time, then the rename. Blocking.

Nothing is renamed before the server has confirmed the transfer and shows every byte.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from ...common.errors import AttemptFailed, FileRefused, SourceError, TransportError, TransportLost
from ...common.remote_times import is_same_time
from ..base import Job, Link, RemoteStat
from ..shared.altered_names import AlteredNames
from ..shared.checksum import Checks, WrongHash
from ..shared.means import FINAL_STAT, SIZE, TIME
from ..shared.profile import TRIAL_SECS, Profile, Walk
from ..shared.server_limit import smells_of_limit
from ..shared.temp_names import own_folder
from . import vanished
from .arrival import Named, settled_size, text_mode
from .checksum import check
from .data import BEGUN, Source, Tally, opened
from .folders import make_folders
from .in_place import Overwrites, told_of_damage
from .links import Links
from .options import parent_of, path_of
from .replies import CannotRestart, Reply, cannot_hold, no_room, refusal
from .restart import Restarts, foothold
from .server_features import CannotTell, DataLost
from .session import Session
from .swap import Swaps
from .temps import Temps

_RENAMED = "renaming it into place"
_NO_RENAME = (
    "if this account may not rename on this server at all, ftp.StoreInPlace = True stores under the final name at once; "
    "a reader may then find half a file"
)
_CUTS = 3  # broken data connections for one file in a row, after which it is put aside
_MOST_NAMES = 1000
_ENDED_TRANSFER = (425, 426)
_PERHAPS_NO_FOLDER = (450, 451, 550, 551, 553, 554)
_GRANULARITY_SECS = 2  # of a FAT file system's clock


class Attempt:
    """One upload: its job, its paths, how far it is, where it began (``start``), where its transfers end
    (``ends``, of an append), how its size was confirmed (``verified``), and what is told of a ``link``; ``named``: the
    path of the name where that is a link which is followed, else empty. ``recorded``: the temporary name that the queue knows,
    or that in the other folder; ``stands``: whether something is, or may be, under the name. ``borrowed``: the file of an earlier
    upload that could not be removed and is written to, else empty; ``borrows``: whether it may be one. ``walk``: which kinds of
    temporary names were refused to this file; what is learned when it has arrived is called from ``learns``."""

    def __init__(self, job: Job, folder: str, in_place: bool, tally: Tally) -> None:
        self.job = job
        self.folder = folder
        self.tally = tally
        self.start = 0
        self.ends: list[int] = []
        self.target = path_of(folder, job.name)
        self.recorded = self.temp = path_of(folder, job.temp)
        self.stale = [path_of(folder, name) for name in job.stale if name != job.temp]
        self.stale_names = [name for name in job.stale if name != job.temp]
        self.in_place = in_place
        self.verified = "size"
        self.link: Link | None = None
        self.named = ""
        self.stands = True
        self.crowded = False
        self.walk: Walk | None = None
        self.learns: list[Callable[[], None]] = []
        self.borrowed, self.borrows = "", not job.resume

    @property
    def path(self) -> str:
        """Where the bytes go first."""
        return self.target if self.in_place else self.temp


class Publisher:
    """Uploads into one folder, over whichever session is given."""

    def __init__(self, swaps: Swaps, restarts: Restarts, checks: Checks, links: Links, profile: Profile) -> None:
        self.checks = checks
        self.links = links
        self.profile = profile
        self.temps = Temps(profile, links.elsewhere)
        self._swaps = swaps
        self._restarts = restarts
        self._cuts: dict[str, tuple[int, int]] = {}
        self.named = Named(AlteredNames(profile))
        self._overwrites = Overwrites(profile)

    def send(self, session: Session, attempt: Attempt) -> None:
        """Everything up to the rename. A refused upload leaves nothing behind."""
        self.named.check(attempt.job)
        with self._discarding(session, attempt), opened(attempt.job) as source:
            session.learn_telnet(attempt.target, attempt.temp)
            self._place(session, attempt)
            if attempt.job.replaces is None and attempt.link is None and attempt.stands:
                self.named.before(session, attempt.job, attempt.folder)
            self.temps.take(attempt)
            self.clear(session, attempt)
            try:
                with told_of_damage(session, attempt):
                    if not self._go_on(session, attempt, source):
                        self._begin(session, attempt, source)
                        self._check_size(session, attempt, source)
            except DataLost as exc:
                failed = self.cut(attempt, exc)
                if failed is exc:
                    raise
                raise failed from exc
            self.arrived(attempt)
            if attempt.job.replaces is not None:
                self._restarts.sent_whole()
            if source.hash is not None:
                try:
                    source.hash.check()
                except SourceError:
                    attempt.tally.anew()  # nothing is built upon it
                    raise
            self._verify(session, attempt, source)
            self.set_time(session, attempt, attempt.path)

    def set_time(self, session: Session, attempt: Attempt, path: str) -> None:
        """Of what was stored. That it is refused says something of the server where the file arrives."""
        if attempt.job.mtime_ns is not None:
            said = session.set_time(path, attempt.job.mtime_ns)
            if said is not None and not said.ok:
                attempt.learns.append(lambda: session.no_time(said))

    def _verify(self, session: Session, attempt: Attempt, source: Source) -> None:
        """By hash, where it shall be and can be, before the name shows it."""
        if attempt.verified == "reply":
            return
        try:
            attempt.verified = check(session, attempt.path, attempt.job, source, self.checks)
        except WrongHash:
            # Nothing is built upon it.
            self.discard(session, attempt)
            attempt.tally.anew()
            raise

    def _place(self, session: Session, attempt: Attempt) -> None:
        """Where the name is a link: what it points to is replaced, or the link."""
        there = attempt.job.replaces is not None or session.tells_size(attempt.target)
        attempt.stands = there
        if attempt.in_place:
            return
        target, attempt.link = self.links.place(session, attempt.target) if there else (attempt.target, None)
        if attempt.link is None or attempt.link.done == "replaced":
            return
        folder, name = parent_of(target), attempt.temp.rpartition("/")[2]
        temp = f"{folder.rstrip('/')}/{name}" if folder else name
        if self.links.elsewhere.add(attempt.job.temp, temp):
            attempt.named, attempt.target, attempt.recorded = attempt.target, target, temp
        else:
            attempt.link = attempt.link._replace(done="replaced", why="the work folder here cannot be written")

    @contextlib.contextmanager
    def _discarding(self, session: Session, attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except SourceError:
            self.discard(session, attempt)
            raise
        except FileRefused as exc:
            self.discard(session, attempt)
            raise self._unfollowed(attempt, exc) from exc

    def _unfollowed(self, attempt: Attempt, exc: FileRefused) -> TransportError:
        """What a refusal means: of a followed link that it is replaced with the next attempt."""
        if not attempt.named or no_room(exc.server_text):
            return exc
        self.links.refused(attempt.named, exc)
        words = f"{exc} (the name is a link there, which is replaced now)"
        return AttemptFailed(words, step=exc.step, file=exc.file, server_text=exc.server_text)

    def discard(self, session: Session, attempt: Attempt) -> None:
        """Remove the temporary file, if there is one. What stands under the final name stays."""
        if not attempt.in_place and self.temps.remove(session, attempt.temp):
            self.temps.tidy(session, attempt)
            self.temps.elsewhere.gone([attempt.job.temp])

    def publish(self, session: Session, attempt: Attempt) -> RemoteStat:
        """The rename, and what the server then shows."""
        if not attempt.in_place:
            said = self._swaps.replace(session, attempt.temp, attempt.target, attempt.stands)
            if not said.ok:
                lost = vanished.after_refusal(session, self.temps, attempt, str(said)) if said.code >= 450 else None
                if lost is not None:
                    self.discard(session, attempt)
                    raise lost
                failed = refusal("rename", attempt.job.name, said, "" if session.known.renames else _NO_RENAME)
                if isinstance(failed, FileRefused):
                    self.discard(session, attempt)
                    failed = self._unfollowed(attempt, failed)
                raise failed
            session.known.renames = True
            self.temps.tidy(session, attempt)
            self.temps.elsewhere.gone([attempt.job.temp])
        return self.shown(session, attempt, "renamed into place")

    def shown(self, session: Session, attempt: Attempt, done: str) -> RemoteStat:
        """What the server shows under the name. Its word for the rename, and the size or hash from before it, are the delivery:
        this look is for the time, and for the size where that could not be told before."""
        job = attempt.job
        for learned in attempt.learns:
            learned()
        if job.replaces is None and attempt.link is None:
            self.named.after(session, job, attempt.folder, attempt.stands)
        try:
            shown = session.look(attempt.target)
        except CannotTell:
            shown = RemoteStat(job.size, session.time(attempt.target))
        if shown is None:
            hidden = self.named.look(session, job, attempt.folder)
            attempt.verified = attempt.verified if hidden else "taken"
            self.profile.learn(FINAL_STAT, "hidden" if hidden else "taken")
            return RemoteStat(job.size, None)
        state = self.profile.state(FINAL_STAT)
        if state.rung != "stays" and not 0 <= time.time() - state.since < TRIAL_SECS:
            self.profile.learn(FINAL_STAT, "stays")
        if shown.size != job.size:
            if attempt.verified == "reply":
                raise AttemptFailed(f"{job.name}: {done}, but the server shows {shown.size:,} bytes", step=_RENAMED, file=job.name)
            # Another file was put there meanwhile, or the server tells what it remembers: the next version finds out.
            return RemoteStat(job.size, None)
        if attempt.verified == "reply" and session.known.size_shown:
            attempt.verified = "size"
        self._learn_time(session, job, shown)
        return shown

    def _learn_time(self, session: Session, job: Job, shown: RemoteStat) -> None:
        known = session.known
        if not known.setter or job.mtime_ns is None:
            return
        if shown.mtime is not None:
            asked = job.mtime_ns // 1_000_000_000
            kept = abs(shown.mtime - asked) <= _GRANULARITY_SECS or is_same_time(asked, shown.mtime)
            self.profile.learn(TIME, "kept" if kept else "ignored")
        wanted = job.mtime_ns // 1_000_000_000
        known.keeps_mtime = shown.mtime == wanted or (shown.mtime is None and known.setter == "MFMT")
        if known.setter == "MDTM" and (shown.mtime is None or abs(shown.mtime - wanted) > _GRANULARITY_SECS):
            session.no_setter()  # it said yes, but it only asks

    def clear(self, session: Session, attempt: Attempt) -> None:
        """Earlier attempts at this name are gone before anything is renamed to it."""
        elsewhere = [path for name in attempt.stale_names if (path := self.links.elsewhere.of(name)) is not None]
        for old in (*attempt.stale, *elsewhere):
            self._swaps.mend(session, old, attempt.target)
            if old != attempt.temp:
                self.temps.clear(session, old)
        self.links.elsewhere.gone(attempt.stale_names)

    def _go_on(self, session: Session, attempt: Attempt, source: Source) -> bool:
        """Go on with what an earlier attempt at the same bytes has up; whether the temp file is whole now."""
        job, tally = attempt.job, attempt.tally
        if not job.resume:
            return False
        if job.resume == BEGUN and not attempt.in_place and not self._restarts.refused:
            try:
                start, keeps = foothold(session, attempt.temp, source, job.size, tally, self._restarts)
                if start:
                    attempt.start = start
                    tally.reach(start)
                    if start < job.size:
                        self._store_rest(session, attempt, source)
                    if keeps:
                        self._restarts.show(session.known)
                    return True
            except CannotRestart as exc:
                self._restarts.refuse(str(exc))
                attempt.start = 0
        # From here on a STOR under this name cuts it off: should it be carried out late, no other attempt shall use the name.
        tally.anew()
        return False

    def _store_rest(self, session: Session, attempt: Attempt, source: Source) -> None:
        job, start = attempt.job, attempt.start
        before = attempt.tally.sent
        if source.hash is not None:
            source.hash.upto(start)
        said = session.store(attempt.temp, source, job.size, attempt.tally, start)
        if not said.ok:
            failed = bad_store(job.name, said)
            if isinstance(failed, FileRefused) and attempt.tally.sent == before and not cannot_hold(said):
                raise CannotRestart(str(said))
            raise failed
        try:
            shown = settled_size(session, attempt.temp, job.size) or 0
        except CannotTell:
            raise CannotRestart("it no longer tells sizes") from None
        if shown == job.size:
            return
        if start <= shown < job.size and shown != job.size - start:
            raise cut_short(job, shown)
        raise CannotRestart(f"{shown:,} bytes")

    def _begin(self, session: Session, attempt: Attempt, source: Source) -> None:
        """From the beginning, whatever is there."""
        try:
            self._store(session, attempt, source)
        except FileRefused as exc:
            if not attempt.job.resume:
                raise
            # A session that died unnoticed may still hold the temp file: another attempt takes another name.
            raise AttemptFailed(
                f"{exc} (the file of the attempt that was cut cannot be used)",
                step=exc.step,
                file=exc.file,
                server_text=exc.server_text,
            ) from exc

    def _store(self, session: Session, attempt: Attempt, source: Source) -> None:
        """STOR under a temporary name, of another kind where the server takes no such name."""
        if attempt.in_place:
            self._overwrites.prepare(session, attempt)
            self._store_as(session, attempt, source)
            return
        walk = attempt.walk = attempt.walk or self.temps.walk()
        before, first = attempt.tally.sent, None
        rung: str | None = walk.rung
        while rung is not None:
            self.temps.take(attempt, rung)
            try:
                self._store_as(session, attempt, source, make=first is None)
            except FileRefused as exc:
                # A file that was begun before, no room, a limit, a folder that is not there: it is not the name.
                if (
                    attempt.tally.sent != before
                    or attempt.job.resume
                    or no_room(exc.server_text)
                    or smells_of_limit(exc.server_text)
                ):
                    raise
                first = first or exc
                self.temps.give_back(attempt)
                rung = walk.refused(exc.server_text)
                if rung == "subfolder" and not session.known.has_folder(parent_of(attempt.recorded)):
                    rung = walk.refused(exc.server_text)
            except TransportLost as exc:
                if first is None:
                    raise
                # It said more than one thing to the name before.
                session.wire.spoilt = True
                raise first from exc
            else:
                attempt.learns.append(walk.worked)
                return
        assert first is not None
        raise first

    @staticmethod
    def _store_as(session: Session, attempt: Attempt, source: Source, make: bool = True) -> None:
        """``make``: the folder may be missing and is to be made."""
        job, tally = attempt.job, attempt.tally
        said = session.store(attempt.path, source, job.size, tally)
        more, folder = "", parent_of(attempt.path)
        own = own_folder(os.fsencode(attempt.path)) is not None
        if said.code in _PERHAPS_NO_FOLDER and folder and (make or own):
            made = session.ask(f"MKD {folder}") if own else make_folders(session, folder)
            if made is not None:
                more = "" if made.ok else f"making its folder: server said: {made}"
                session.known.made(folder, made.ok)
                said = session.store(attempt.path, source, job.size, tally)
        if not said.ok:
            raise bad_store(job.name, said, more, step="store" if attempt.in_place else "temporary")
        session.known.made(folder, True)

    def _check_size(self, session: Session, attempt: Attempt, source: Source) -> None:
        job = attempt.job
        try:
            shown = settled_size(session, attempt.path, job.size)
        except CannotTell:
            if session.doubt is not None:
                raise session.doubt from None
            if session.known.size_shown and not attempt.in_place and session.is_gone(attempt.path):
                raise vanished.gone(attempt) from None
            attempt.verified = "reply"  # that it has the whole file is all that this server ever says
            attempt.learns.append(lambda: self.profile.learn(SIZE, "never"))
            return
        if self.profile.rung(SIZE) == "never":
            self.profile.learn(SIZE, "before_close")
        if shown != job.size:
            raise text_mode(job, source, shown or 0) or cut_short(job, shown or 0)

    def arrived(self, attempt: Attempt) -> None:
        """Every byte is there."""
        self._cuts.pop(attempt.job.name, None)

    def cut(self, attempt: Attempt, lost: DataLost) -> TransportError:
        """What another break of a data connection means: the link's fault at first, the file's when it goes on and on at the
        same place."""
        name = attempt.job.name
        count, start = self._cuts.pop(name, (0, 0))
        further = attempt.start > start
        count = 1 if further else count + 1
        if count >= _CUTS:
            words = f"{lost}; time {count} in a row at the same place, while the server still answers"
            refused = FileRefused(words, step=lost.step, file=lost.file, server_text=lost.server_text)
            refused.damaged = lost.damaged
            return refused
        lost.further = further
        while len(self._cuts) >= _MOST_NAMES:
            del self._cuts[next(iter(self._cuts))]
        self._cuts[name] = (count, attempt.start)
        return lost


def bad_store(name: str, said: Reply, more: str = "", step: str = "store") -> TransportError:
    """What a bad reply to STOR means."""
    failed = refusal(step, name, said, more)
    if said.code not in _ENDED_TRANSFER or not isinstance(failed, AttemptFailed) or failed.limit:
        return failed
    return DataLost(str(failed), step=failed.step, file=failed.file, server_text=failed.server_text)


def cut_short(job: Job, shown: int) -> DataLost:
    """The server says that all is well, and has too few bytes: one whose data connection something on the way ended takes
    that for the end of the file."""
    return DataLost(
        f"{job.name}: {job.size:,} bytes were sent and the server has {shown:,}, as after a cut on the way",
        step="looking at its size",
        file=job.name,
    )
