"""Servers that refuse to rename over a file: the old file is put aside, the new one renamed into place, the old one removed.
Blocking, for many threads.

For a moment a reader sees no file. A file put aside is never removed while its final name is missing.
"""

from __future__ import annotations

import threading
import time

from ..shared.means import DELETE, PUBLISH
from ..shared.profile import Profile
from ..shared.swap_record import SwapRecord
from .replies import Reply
from .session import Session

_SUFFIX = ".old"
_RUNGS = ("posix_rename", "aside")  # FTP has one rename, which replaces or does not
_KEEP_SECS = 24 * 3600  # a stalled server may carry out an old command late; after a day the record is dropped


class Swaps:
    """Replaces files, with a record that outlives the connection."""

    def __init__(self, record: SwapRecord, profile: Profile) -> None:
        self._record = record
        self._profile = profile
        self._lock = threading.Lock()

    def replace(self, session: Session, temp: str, target: str, exists: bool) -> Reply:
        """Rename ``temp`` to ``target``, where a file exists or may exist (``exists``); the reply that decides. The old file is
        back in place if the reply is negative."""
        walk = self._profile.walk(PUBLISH, _RUNGS, trial=exists)
        if not exists or walk.rung == _RUNGS[0]:
            reply = session.rename(temp, target)
            if reply.ok and exists:
                walk.worked()
            if reply.ok or reply.code < 500 or session.is_gone(target) or session.is_gone(temp):
                return reply
            walk.refused(reply.text)
        elif session.is_gone(temp):
            return session.rename(temp, target)  # the new file is gone, so the old one stays; the refusal decides
        else:
            reply = None
        done = self._put_aside(session, temp, target, reply)
        if done.ok and walk.rung == _RUNGS[1]:
            walk.worked()
        return done

    def _put_aside(self, session: Session, temp: str, target: str, first: Reply | None) -> Reply:
        """Put the old file aside and the new one in its place. ``first``: the server's reply to the rename over the old file."""
        aside = _aside_of(temp)
        with self._lock:
            try:
                self._record.add(_bytes(aside), _bytes(target), time.time())
            except OSError as exc:
                return Reply(550, (f"550 not even tried, as the work folder cannot be written: {exc.strerror}",))
        before, session.known.replaces = session.known.replaces, False  # from here on a reader may find no file for a moment
        reply = session.rename(target, aside)
        if not reply.ok:
            session.known.replaces = before
            # There was no old file after all, or the server does not let it be renamed.
            reply = first or session.rename(temp, target)
        else:
            reply = session.rename(temp, target)
            if not reply.ok:
                if session.rename(aside, target).ok:
                    self._forget(aside)
                return reply
            gone = session.delete(aside)
            if not gone.ok and session.is_there(aside):
                if self._profile.rung(DELETE) != "refused":
                    return reply  # the old file stays on record, and the next connection removes it
                self._profile.leave(aside, reusable=True)
        self._forget(aside)
        return reply

    def mend_all(self, session: Session) -> None:
        """Complete or undo every recorded swap; done at the start of a connection."""
        if self._record.known:
            session.known.replaces = False
        for aside, (name, at) in list(self._record.asides.items()):
            self._mend(session, _text(aside), _text(name))
            if self._record.is_over(at, time.time()):
                self._forget(_text(aside))

    def mend(self, session: Session, temp: str, target: str) -> None:
        """Complete or undo the swap that an earlier attempt with this temporary name may have left half done."""
        if not session.known.replaces or _bytes(_aside_of(temp)) in self._record.asides:
            self._mend(session, _aside_of(temp), target)

    def mend_recorded(self, session: Session, temp: str) -> None:
        """As ``mend``, where only the temporary name is known; without a record no file is touched."""
        known = self._record.asides.get(_bytes(_aside_of(temp)))
        if known is not None:
            self._mend(session, _aside_of(temp), _text(known[0]))

    @staticmethod
    def _mend(session: Session, aside: str, target: str) -> None:
        if not session.is_there(aside):
            return
        if not session.is_there(target) and session.rename(aside, target).ok:
            return
        if session.is_there(target):
            session.delete(aside)

    def _forget(self, aside: str) -> None:
        with self._lock:
            self._record.forget(_bytes(aside))


def _aside_of(temp: str) -> str:
    """The name of the old file while the swap lasts. Behind a temporary name that keeps the final name's ending, the old file
    keeps it, too."""
    folder, slash, name = temp.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem.strip(".") or ending == "part":
        return temp + _SUFFIX
    return f"{folder}{slash}{stem}-old{dot}{ending}"


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
