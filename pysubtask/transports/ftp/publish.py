"""The order of a safe upload: STOR under a temporary name, size and time, then the rename. Blocking.

Nothing is renamed before the server has confirmed the transfer and shows every byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ...common.errors import FileRefused, SourceError, TransportError, TransportLost
from ..base import Job, RemoteStat
from ..source import open_source
from .options import parent_of, path_of
from .replies import refusal
from .session import CannotTell, DataLost, Session
from .swap import Swaps

_NO_RENAME = ("if this account may not rename on this server at all, ftp.StoreInPlace = True stores under the final name at once; "
              "a reader may then find half a file")
_CUTS = 3  # broken data connections for one file in a row, after which it is put aside
_MOST_NAMES = 1000
_ENDED_TRANSFER = (425, 426)
_PERHAPS_NO_FOLDER = (450, 451, 550, 551, 553, 554)
_COARSE_SECS = 2  # of a FAT file system's clock


class Attempt:
    """One upload: its job, its paths, and how its size was confirmed (``verified``)."""

    def __init__(self, job: Job, folder: str, in_place: bool) -> None:
        self.job = job
        self.target = path_of(folder, job.name)
        self.temp = path_of(folder, job.temp)
        self.stale = [path_of(folder, name) for name in job.stale if name != job.temp]
        self.in_place = in_place
        self.verified = "size"

    @property
    def path(self) -> str:
        """Where the bytes go first."""
        return self.target if self.in_place else self.temp


class Publisher:
    """Uploads into one folder, over whichever session is given."""

    def __init__(self, swaps: Swaps) -> None:
        self._swaps = swaps
        self._cuts: dict[str, int] = {}

    def send(self, session: Session, attempt: Attempt, progress: Callable[[int], None]) -> None:
        """Everything up to the rename. A refused upload leaves nothing behind."""
        fd = open_source(attempt.job)
        try:
            self._clear(session, attempt)
            try:
                self._store(session, attempt, fd, progress)
                self._check_size(session, attempt)
            except DataLost as exc:
                failed = self._cut(attempt.job.name, exc)
                if failed is exc:
                    raise
                raise failed from exc
            self._cuts.pop(attempt.job.name, None)
            if attempt.job.mtime_ns is not None:
                session.set_time(attempt.path, attempt.job.mtime_ns)
        except (FileRefused, SourceError):
            self.discard(session, attempt)
            raise
        finally:
            os.close(fd)

    def discard(self, session: Session, attempt: Attempt) -> None:
        """Remove the temporary file, if there is one. What stands under the final name stays."""
        if not attempt.in_place:
            session.delete(attempt.temp)

    def publish(self, session: Session, attempt: Attempt) -> RemoteStat:
        """The rename, and what the server then shows."""
        job = attempt.job
        if not attempt.in_place:
            said = self._swaps.replace(session, attempt.temp, attempt.target)
            if not said.ok:
                failed = refusal("rename", job.name, said, _NO_RENAME)
                if isinstance(failed, FileRefused):
                    self.discard(session, attempt)
                raise failed
        try:
            shown = session.look(attempt.target)
        except CannotTell:
            shown = RemoteStat(job.size, session.time(attempt.target))
        if shown is None or shown.size != job.size:
            raise TransportLost(f"{job.name}: renamed into place, but the server shows "
                                + ("no such file" if shown is None else f"{shown.size:,} bytes"))
        self._learn_time(session, job, shown)
        return shown

    @staticmethod
    def _learn_time(session: Session, job: Job, shown: RemoteStat) -> None:
        known = session.known
        if not known.setter or job.mtime_ns is None:
            return
        wanted = job.mtime_ns // 1_000_000_000
        known.keeps_mtime = shown.mtime == wanted or (shown.mtime is None and known.setter == "MFMT")
        if known.setter == "MDTM" and (shown.mtime is None or abs(shown.mtime - wanted) > _COARSE_SECS):
            session.no_setter()  # it said yes, but it only asks

    def _clear(self, session: Session, attempt: Attempt) -> None:
        """Earlier attempts at this name are gone before anything is renamed to it."""
        for old in attempt.stale:
            self._swaps.mend(session, old, attempt.target)
            said = session.delete(old)
            if not said.ok and session.is_there(old):
                raise refusal("clear", attempt.job.name, said)

    @staticmethod
    def _store(session: Session, attempt: Attempt, fd: int, progress: Callable[[int], None]) -> None:
        job = attempt.job
        said = session.store(attempt.path, fd, job.size, progress)
        more = ""
        if said.code in _PERHAPS_NO_FOLDER and (folder := parent_of(attempt.path)):
            made = session.make_folders(folder)
            if made is not None:
                more = "" if made.ok else f"making its folder: server said: {made}"
                said = session.store(attempt.path, fd, job.size, progress)
        if not said.ok:
            failed = refusal("store", job.name, said, more)
            raise DataLost(str(failed)) if said.code in _ENDED_TRANSFER and isinstance(failed, TransportLost) else failed

    @staticmethod
    def _check_size(session: Session, attempt: Attempt) -> None:
        job = attempt.job
        try:
            shown = session.size(attempt.path, stored=True)
        except CannotTell:
            attempt.verified = "reply"  # that it has the whole file is all that this server ever says
            return
        if shown != job.size:
            # A data connection that something on the way ended looks to the server like the end of the file.
            raise DataLost(f"{job.name}: {job.size:,} bytes were sent and the server has {shown or 0:,}, as after a cut on the way")

    def _cut(self, name: str, lost: DataLost) -> TransportError:
        """What another break of a data connection means: the link's fault at first, the file's when it goes on."""
        count = self._cuts.pop(name, 0) + 1
        if count >= _CUTS:
            return FileRefused(f"{lost}; time {count} in a row, while the server still answers (a full disk or a quota there is "
                               "the usual reason)")
        while len(self._cuts) >= _MOST_NAMES:
            del self._cuts[next(iter(self._cuts))]
        self._cuts[name] = count
        return lost


def remove(session: Session, paths: dict[str, str], swaps: Swaps) -> set[str]:
    """DELE files: the names of those that were there. Raises where one stays and none went."""
    gone: set[str] = set()
    failed: TransportError | None = None
    for name, path in paths.items():
        swaps.mend_recorded(session, path)
        said = session.delete(path)
        if said.ok:
            gone.add(name)
        elif session.is_there(path):
            failed = refusal("clear", name, said)
    if failed is not None and not gone:
        raise failed
    return gone
