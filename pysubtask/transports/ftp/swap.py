"""Servers that refuse to rename over a file: the steps of a swap (``shared.swap``) by commands of FTP. Blocking, for any thread."""

from __future__ import annotations

import time

from ..shared.means import DELETE, PUBLISH
from ..shared.profile import Profile
from ..shared.swap import Outcome, Steps, mend, swap
from ..shared.swap_record import SwapRecord
from .replies import Reply
from .session import Session

_SUFFIX = ".old"
_RUNGS = ("posix_rename", "aside")  # FTP has one rename, which replaces or does not


class Swaps:
    """Replaces files, with a record that outlives the connection."""

    def __init__(self, record: SwapRecord, profile: Profile) -> None:
        self._record = record
        self._profile = profile

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
        try:
            steps = swap(self._record, _bytes(temp), _bytes(target), _bytes(aside), time.time())
        except OSError as exc:
            return Reply(550, (f"550 not even tried, as the work folder cannot be written: {exc.strerror}",))
        before, session.known.replaces = session.known.replaces, False  # from here on a reader may find no file for a moment
        outcome, reply = self._carry_out(session, steps)
        if outcome == "stays":
            session.known.replaces = before
            # There was no old file after all, or the server does not let it be renamed.
            reply = first or session.rename(temp, target)
            self._record.forget(_bytes(aside))
        assert reply is not None
        return reply

    def mend_all(self, session: Session) -> None:
        """Complete or undo every recorded swap; done at the start of a connection."""
        if self._record.known:
            session.known.replaces = False
        for aside, (name, _) in list(self._record.asides.items()):
            self._mend(session, _text(aside), _text(name))
        self._record.forget_old(time.time())

    def mend(self, session: Session, temp: str, target: str) -> None:
        """Complete or undo the swap that an earlier attempt with this temporary name may have left half done."""
        if not session.known.replaces or _bytes(_aside_of(temp)) in self._record.asides:
            self._mend(session, _aside_of(temp), target)

    def mend_recorded(self, session: Session, temp: str) -> None:
        """As ``mend``, where only the temporary name is known; without a record no file is touched."""
        target = self._record.target_of(_bytes(_aside_of(temp)))
        if target is not None:
            self._mend(session, _aside_of(temp), _text(target))

    def _mend(self, session: Session, aside: str, target: str) -> None:
        if aside in self._profile.left:
            return  # the server did not let it be removed, and a later upload may use the file
        self._carry_out(session, mend(_bytes(aside), _bytes(target)))

    def _carry_out(self, session: Session, steps: Steps) -> tuple[Outcome | None, Reply | None]:
        """Take the steps; the outcome, and the reply to the last rename that was no ``restore``."""
        reply = None
        try:
            step = next(steps)
            while True:
                path = _text(step.path)
                if step.verb == "tell":
                    succeeded = session.is_there(path)
                elif step.verb == "remove":
                    succeeded = self._gone(session, path)
                else:
                    answer = session.rename(path, _text(step.to))
                    succeeded = answer.ok
                    reply = answer if step.verb == "rename" else reply
                step = steps.send(succeeded)
        except StopIteration as end:
            return end.value, reply

    def _gone(self, session: Session, aside: str) -> bool:
        """Remove the old file. True also where no file can be removed here: a later upload then writes to this one."""
        if session.delete(aside).ok or not session.is_there(aside):
            return True
        if self._profile.rung(DELETE) != "refused":
            return False
        self._profile.leave(aside, reusable=True)
        return True


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
