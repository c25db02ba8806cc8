"""Servers that refuse to rename over a file: old one aside, new one in, old one away. Blocking, many threads.

For a moment a reader sees no file. An aside is never removed while its name is missing.
"""

from __future__ import annotations

import threading
import time

from ..swap_record import SwapRecord
from .replies import Reply
from .session import Session

_SUFFIX = ".old"


class Swaps:
    """Replaces files, with a record that outlives the connection."""

    def __init__(self, record: SwapRecord) -> None:
        self._record = record
        self._lock = threading.Lock()

    def replace(self, session: Session, temp: str, target: str) -> Reply:
        """Put ``temp`` in the place of ``target``; the answer that counts. The old file is back if it is bad."""
        first = session.rename(temp, target)
        if first.ok or first.code < 500 or not session.is_there(target):
            return first
        aside = temp + _SUFFIX
        with self._lock:
            try:
                self._record.add(_bytes(aside), _bytes(target), time.time())
            except OSError as exc:
                return Reply(550, (f"550 not even tried, as the work folder cannot be written: {exc.strerror}",))
        before, session.known.replaces = session.known.replaces, False  # from here on there may be no file for a moment
        said = session.rename(target, aside)
        if not said.ok:
            session.known.replaces = before
        else:
            said = session.rename(temp, target)
            if not said.ok:
                if session.rename(aside, target).ok:
                    self._forget(aside)
                return said
            if not session.delete(aside).ok and session.is_there(aside):
                return said  # it stays on record: the next connection removes it
        self._forget(aside)
        return said

    def mend_all(self, session: Session) -> None:
        """Mend every swap on record; done at the start of a connection."""
        if self._record.known:
            session.known.replaces = False
        for aside, (name, at) in list(self._record.asides.items()):
            self._mend(session, _text(aside), _text(name))
            if self._record.is_over(at, time.time()):
                self._forget(_text(aside))

    def mend(self, session: Session, temp: str, target: str) -> None:
        """Mend what an earlier attempt with this temp name may have left in the middle."""
        if not session.known.replaces or _bytes(temp + _SUFFIX) in self._record.asides:
            self._mend(session, temp + _SUFFIX, target)

    def mend_recorded(self, session: Session, temp: str) -> None:
        """The same where only the temp name is known; without a record nothing is touched."""
        known = self._record.asides.get(_bytes(temp + _SUFFIX))
        if known is not None:
            self._mend(session, temp + _SUFFIX, _text(known[0]))

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


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
