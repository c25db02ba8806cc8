"""The order of a safe upload: STOR under a temporary name, then size, hash and time, then the rename. Blocking.

Nothing is renamed before the server has acknowledged the transfer and shows every byte.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from ...common.errors import AttemptFailed, FileRefused, SourceError, TransportError, TransportLost
from ...common.remote_times import is_same_time
from ..base import Job, RemoteStat
from ..shared.altered_names import AlteredNames
from ..shared.checksum import Checks, WrongHash
from ..shared.means import FINAL_STAT, SIZE, TIME
from ..shared.profile import TRIAL_SECS, Profile
from ..shared.server_limit import smells_of_limit
from ..shared.temp_names import own_folder
from . import vanished
from .arrival import settled_size, text_mode
from .attempt import Attempt
from .broken_transfers import BrokenTransfers, cut_short, store_error
from .checksum import check
from .data import BEGUN, Source, opened
from .folders import make_folders
from .in_place import Overwrites, reporting_damage
from .links import Links
from .name_checks import NameChecks
from .options import parent_of
from .replies import CannotRestart, cannot_hold, no_room, refusal
from .restart import Restarts, resume_point
from .server_features import CannotTell, DataLost
from .session import Session
from .swap import Swaps
from .temps import Temps

_RENAMED = "renaming it into place"
_NO_RENAME = (
    "if this account may not rename on this server at all, ftp.StoreInPlace = True stores under the final name at once; "
    "a reader may then find half a file"
)
_PERHAPS_NO_FOLDER = (450, 451, 550, 551, 553, 554)  # RFC 959 has no code of its own for it, and servers differ
_GRANULARITY_SECS = 2  # FAT stores times in steps of two seconds


class Publisher:
    """Uploads into one folder, over the session given to each call."""

    def __init__(self, swaps: Swaps, restarts: Restarts, checks: Checks, links: Links, profile: Profile) -> None:
        self.checks = checks
        self.links = links
        self.profile = profile
        self.temps = Temps(profile, links.temp_record)
        self._swaps = swaps
        self._restarts = restarts
        self.broken = BrokenTransfers()
        self.name_checks = NameChecks(AlteredNames(profile))
        self._overwrites = Overwrites(profile)

    def send(self, session: Session, attempt: Attempt) -> None:
        """Everything up to the rename. A refused upload leaves no file behind. Raises FileRefused, AttemptFailed, SourceError,
        TransportLost."""
        self.name_checks.check(attempt.job)
        with self._discarding(session, attempt), opened(attempt.job) as source:
            session.learn_telnet(attempt.target, attempt.temp)
            self._place(session, attempt)
            if attempt.job.replaces is None and attempt.link is None and attempt.exists:
                self.name_checks.before(session, attempt.job, attempt.folder)
            # The files of earlier attempts go before a byte is stored: a full disk has room again, and no late request finds them.
            self.temps.take(attempt)
            self.clear(session, attempt)
            try:
                with reporting_damage(session, attempt):
                    if not self._go_on(session, attempt, source):
                        self._begin(session, attempt, source)
                        self._check_size(session, attempt, source)
            except DataLost as exc:
                failed = self.broken.cut(attempt, exc)
                if failed is exc:
                    raise
                raise failed from exc
            self.broken.arrived(attempt)
            if attempt.job.replaces is not None:
                self._restarts.sent_whole()
            if source.hash is not None:
                try:
                    source.hash.check()
                except SourceError:
                    attempt.tally.reset()  # no later attempt may resume from these bytes
                    raise
            # Hash and time before the rename: a reader who sees the new name sees a file that is verified and has its time.
            self._verify(session, attempt, source)
            self.set_time(session, attempt, attempt.path)

    def set_time(self, session: Session, attempt: Attempt, path: str) -> None:
        """Set the time of the stored file. A refusal is recorded only if the file arrives."""
        if attempt.job.mtime_ns is not None:
            reply = session.set_time(path, attempt.job.mtime_ns)
            if reply is not None and not reply.ok:
                attempt.learns.append(lambda: session.no_time(reply))

    def _verify(self, session: Session, attempt: Attempt, source: Source) -> None:
        """Compare hashes before the final name shows the file, where the settings ask for a hash and the server offers one."""
        if attempt.verified == "reply":
            return
        try:
            attempt.verified = check(session, attempt.path, attempt.job, source, self.checks)
        except WrongHash:
            # No later attempt may resume from these bytes.
            self.discard(session, attempt)
            attempt.tally.reset()
            raise

    def _place(self, session: Session, attempt: Attempt) -> None:
        """Find out whether the final name is a symbolic link, and then which of the two is replaced: the link's target or the
        link."""
        there = attempt.job.replaces is not None or session.tells_size(attempt.target)
        attempt.exists = there
        if attempt.in_place:
            return
        target, attempt.link = self.links.place(session, attempt.target) if there else (attempt.target, None)
        if attempt.link is None or attempt.link.done == "replaced":
            return
        folder, name = parent_of(target), attempt.temp.rpartition("/")[2]
        temp = f"{folder.rstrip('/')}/{name}" if folder else name
        if self.links.temp_record.add(attempt.job.temp, temp):
            attempt.link_path, attempt.target, attempt.recorded = attempt.target, target, temp
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
        """The error for a refusal: where a link was followed, the next attempt replaces the link."""
        if not attempt.link_path or no_room(exc.server_text):
            return exc
        self.links.refused(attempt.link_path, exc)
        words = f"{exc} (the name is a link there, which is replaced now)"
        return AttemptFailed(words, step=exc.step, file=exc.file, server_text=exc.server_text)

    def discard(self, session: Session, attempt: Attempt) -> None:
        """Remove the temporary file, if there is one. The file under the final name is left alone."""
        if not attempt.in_place and self.temps.remove(session, attempt.temp):
            self.temps.tidy(session, attempt)
            self.temps.temp_record.gone([attempt.job.temp])

    def publish(self, session: Session, attempt: Attempt) -> RemoteStat:
        """The rename, and the stat of the final name afterwards. Raises FileRefused, AttemptFailed, TransportLost."""
        if not attempt.in_place:
            reply = self._swaps.replace(session, attempt.temp, attempt.target, attempt.exists)
            if not reply.ok:
                lost = vanished.after_refusal(session, self.temps, attempt, str(reply)) if reply.code >= 450 else None
                if lost is not None:
                    self.discard(session, attempt)
                    raise lost
                failed = refusal("rename", attempt.job.name, reply, "" if session.known.renames else _NO_RENAME)
                if isinstance(failed, FileRefused):
                    self.discard(session, attempt)
                    failed = self._unfollowed(attempt, failed)
                raise failed
            session.known.renames = True
            # Off the record only after the rename: until then it is all that leads to the file after a crash.
            self.temps.tidy(session, attempt)
            self.temps.temp_record.gone([attempt.job.temp])
        return self.final_stat(session, attempt, "renamed into place")

    def final_stat(self, session: Session, attempt: Attempt, done: str) -> RemoteStat:
        """What the server shows under the final name. Raises AttemptFailed where only the reply confirmed the upload and the
        size is wrong.

        The delivery itself rests on the reply to the rename and on the size or hash read before. This stat is for the time, and
        for the size where the size could not be read before.
        """
        job = attempt.job
        for learned in attempt.learns:
            learned()
        if job.replaces is None and attempt.link is None:
            self.name_checks.after(session, job, attempt.folder, attempt.exists)
        try:
            stat = session.stat(attempt.target)
        except CannotTell:
            stat = RemoteStat(job.size, session.time(attempt.target))
        if stat is None:
            visible = self.name_checks.is_visible(session, job, attempt.folder)
            attempt.verified = attempt.verified if visible else "taken"
            self.profile.learn(FINAL_STAT, "hidden" if visible else "taken")
            return RemoteStat(job.size, None)
        state = self.profile.state(FINAL_STAT)
        if state.rung != "stays" and not 0 <= time.time() - state.since < TRIAL_SECS:
            self.profile.learn(FINAL_STAT, "stays")
        if stat.size != job.size:
            if attempt.verified == "reply":
                raise AttemptFailed(f"{job.name}: {done}, but the server shows {stat.size:,} bytes", step=_RENAMED, file=job.name)
            # Another client replaced the file meanwhile, or the server caches sizes: the next version will show which.
            return RemoteStat(job.size, None)
        if attempt.verified == "reply" and session.known.size_answered:
            attempt.verified = "size"
        self._learn_time(session, job, stat)
        return stat

    def _learn_time(self, session: Session, job: Job, stat: RemoteStat) -> None:
        known = session.known
        if not known.setter or job.mtime_ns is None:
            return
        requested = job.mtime_ns // 1_000_000_000
        if stat.mtime is not None:
            kept = abs(stat.mtime - requested) <= _GRANULARITY_SECS or is_same_time(requested, stat.mtime)
            self.profile.learn(TIME, "kept" if kept else "ignored")
        known.keeps_mtime = stat.mtime == requested or (stat.mtime is None and known.setter == "MFMT")
        if known.setter == "MDTM" and (stat.mtime is None or abs(stat.mtime - requested) > _GRANULARITY_SECS):
            session.no_setter()  # the server took the command for a question about the time

    def clear(self, session: Session, attempt: Attempt) -> None:
        """Remove what earlier attempts at this name left, before anything is renamed to the name: a late request must find no
        old file."""
        elsewhere = [path for name in attempt.stale_names if (path := self.links.temp_record.of(name)) is not None]
        for old in (*attempt.stale, *elsewhere):
            self._swaps.mend(session, old, attempt.target)  # first, as the file of a half swap may be the only copy
            if old != attempt.temp:
                self.temps.clear(session, old)
        self.links.temp_record.gone(attempt.stale_names)

    def _go_on(self, session: Session, attempt: Attempt, source: Source) -> bool:
        """Resume what an earlier attempt at the same bytes has stored; whether the temporary file is whole now."""
        job, tally = attempt.job, attempt.tally
        if not job.resume:
            return False
        if job.resume == BEGUN and not attempt.in_place and not self._restarts.refused:
            try:
                start, keeps = resume_point(session, attempt.temp, source, job.size, tally, self._restarts)
                if start:
                    attempt.start = start
                    tally.reach(start)
                    if start < job.size:
                        self._store_rest(session, attempt, source)
                    if keeps:
                        self._restarts.record_proof(session.known)
                    return True
            except CannotRestart as exc:
                self._restarts.refuse(str(exc))
                attempt.start = 0
        # From here on a STOR under this name truncates the file. As the STOR may be carried out late, the note is withdrawn
        # first, so that no later attempt uses the name.
        tally.reset()
        return False

    def _store_rest(self, session: Session, attempt: Attempt, source: Source) -> None:
        job, start = attempt.job, attempt.start
        before = attempt.tally.sent
        if source.hash is not None:
            source.hash.upto(start)
        reply = session.store(attempt.temp, source, job.size, attempt.tally, start)
        if not reply.ok:
            failed = store_error(job.name, reply)
            if isinstance(failed, FileRefused) and attempt.tally.sent == before and not cannot_hold(reply):
                raise CannotRestart(str(reply))
            raise failed
        try:
            remote_size = settled_size(session, attempt.temp, job.size) or 0
        except CannotTell:
            raise CannotRestart("it no longer tells sizes") from None
        if remote_size == job.size:
            return
        if start <= remote_size < job.size and remote_size != job.size - start:
            raise cut_short(job, remote_size)
        raise CannotRestart(f"{remote_size:,} bytes")

    def _begin(self, session: Session, attempt: Attempt, source: Source) -> None:
        """Store the whole file, whatever the temporary name holds."""
        try:
            self._store(session, attempt, source)
        except FileRefused as exc:
            if not attempt.job.resume:
                raise
            # A session that died unnoticed may still hold the temporary file: the next attempt takes another name.
            raise AttemptFailed(
                f"{exc} (the file of the attempt that was cut cannot be used)",
                step=exc.step,
                file=exc.file,
                server_text=exc.server_text,
            ) from exc

    def _store(self, session: Session, attempt: Attempt, source: Source) -> None:
        """STOR under a temporary name; under the next kind of name where the server refuses the present kind."""
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
                # A file begun before, no room, a limit or a missing folder: the name is not the reason.
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
                # The server sent more than one reply to the STOR before, so replies no longer match commands.
                session.control.spoilt = True
                raise first from exc
            else:
                attempt.learns.append(walk.worked)
                return
        assert first is not None
        raise first

    @staticmethod
    def _store_as(session: Session, attempt: Attempt, source: Source, make: bool = True) -> None:
        """STOR under the attempt's present path. ``make``: create the folder where it may be missing."""
        job, tally = attempt.job, attempt.tally
        reply = session.store(attempt.path, source, job.size, tally)
        more, folder = "", parent_of(attempt.path)
        own = own_folder(os.fsencode(attempt.path)) is not None
        if reply.code in _PERHAPS_NO_FOLDER and folder and (make or own):
            mkd_reply = session.ask(f"MKD {folder}") if own else make_folders(session, folder)
            if mkd_reply is not None:
                more = "" if mkd_reply.ok else f"making its folder: server said: {mkd_reply}"
                session.known.note_folder(folder, mkd_reply.ok)
                reply = session.store(attempt.path, source, job.size, tally)
        if not reply.ok:
            raise store_error(job.name, reply, more, step="store" if attempt.in_place else "temporary")
        session.known.note_folder(folder, True)

    def _check_size(self, session: Session, attempt: Attempt, source: Source) -> None:
        job = attempt.job
        try:
            remote_size = settled_size(session, attempt.path, job.size)
        except CannotTell:
            if session.doubt is not None:
                raise session.doubt from None
            if session.known.size_answered and not attempt.in_place and session.is_gone(attempt.path):
                raise vanished.gone(attempt) from None
            attempt.verified = "reply"  # this server confirms a file by its reply to STOR alone
            attempt.learns.append(lambda: self.profile.learn(SIZE, "never"))
            return
        if self.profile.rung(SIZE) == "never":
            self.profile.learn(SIZE, "before_close")
        if remote_size != job.size:
            raise text_mode(job, source, remote_size or 0) or cut_short(job, remote_size or 0)
