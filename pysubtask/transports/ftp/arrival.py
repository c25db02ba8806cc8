"""Whether what was sent is there: sizes that a server is not done with yet, and names that it changed. Blocking."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterable

from ...common.errors import FileRefused
from ..base import Job
from .data import Source
from .known import CannotTell
from .options import parent_of
from .replies import Row
from .session import Session

_QUIET_SECS = 1.5
"""A file that has not grown for so long is not written to any more."""
_PAUSES = (0.05, 0.1, 0.15, 0.2, 0.25)
_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)
_MOST_NAMES = 1000
_BLOCK = 1024 * 1024
TEXT_MODE = "the server changes the ends of lines, as in text mode (ASCII), though it agreed to take files as they are (TYPE I)"
_TAKE_AS_IT_IS = "Have that switched off on the server; SFTP knows no such mode"
_AGAIN_SECS = 24 * 3600.0


def settled_size(session: Session, path: str, wanted: int) -> int | None:
    """The size of a file whose transfer the server has acknowledged, as :meth:`Session.size` tells it. One that is smaller than
    ``wanted`` is asked for again while it grows: some say 226 before they have written everything, or tell what they remember."""
    shown = session.size(path, stored=True)
    grew, pauses, end = time.monotonic(), iter(_PAUSES), None
    while shown is not None and shown < wanted:
        now = time.monotonic()
        end = end or now + session.patience_for(wanted - shown)
        if now - grew >= _QUIET_SECS or now >= end:
            break
        session.rest(next(pauses, _PAUSES[-1]))
        before, shown = shown, session.size(path, stored=True)
        if shown is not None and shown > before:
            grew = time.monotonic()
    return shown


def text_mode(job: Job, source: Source, shown: int) -> FileRefused | None:
    """The error for a server that changes the ends of lines, as in text mode, though it agreed to take a file as it is; None where
    the size that it shows cannot come from that."""
    if not shown or shown == job.size or not job.size / 2 <= shown <= 2 * job.size or source.base:
        return None
    feeds = both = at = 0
    last = b""
    while at < job.size:
        block = source.read(at, min(_BLOCK, job.size - at))
        if not block:
            return None
        feeds += block.count(b"\n")
        both += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
        last, at = block[-1:], at + len(block)
    if shown - job.size not in {feeds, feeds - both, -both} - {0}:
        return None
    return FileRefused(f"{job.name}: {TEXT_MODE}: {job.size:,} bytes were sent and it has {shown:,}", _TAKE_AS_IT_IS,
                       step="looking at its size", file=job.name)


class Changed:
    """Names that the server has changed, so that nobody would find the file; for some time they are not tried again. For any
    thread, one at a time for a name."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, FileRefused]] = {}

    def check(self, name: str) -> None:
        """FileRefused where the server was found to change this name."""
        found = self._known.get(name)
        if found is not None:
            since, refused = found
            if time.monotonic() - since < _AGAIN_SECS:
                raise FileRefused(refused.cause, refused.remedy, step=refused.step, file=refused.file, said=refused.said)
            self._known.pop(name, None)

    def look(self, session: Session, job: Job, target: str) -> bool:
        """The server has acknowledged this name and tells no size of it: whether it shows it all the same. FileRefused where it
        shows another one instead, which is removed where it surely is ours."""
        name = target.rpartition("/")[2]
        if _PLAIN.fullmatch(name):
            return False
        rows = session.rows(parent_of(target))
        if rows is None:
            return False
        if any(row.name == name for row in rows):
            return True
        other = changed_to(name, rows, job.size)
        if other is None:
            return False
        path = target[: len(target) - len(name)] + other
        removed = _is_ours(session, job, path) and session.delete(path).ok
        refused = FileRefused(
            f"{job.name}: renaming it into place: the server shows {other!r} instead of this name"
            + (" (that was removed again)" if removed else ""),
            "Give the file a name that the server takes as it is, or the entry an 'as'",
            step="renaming it into place", file=job.name,
        )  # fmt: skip
        while len(self._known) >= _MOST_NAMES:
            del self._known[next(iter(self._known))]
        self._known[job.name] = (time.monotonic(), refused)
        raise refused


def _is_ours(session: Session, job: Job, path: str) -> bool:
    """Whether it has the size and time of what was just sent."""
    try:
        shown = session.look(path)
    except CannotTell:
        return False
    return shown is not None and job.mtime_ns is not None and shown[:2] == (job.size, job.mtime_ns // 1_000_000_000)


def changed_to(name: str, rows: Iterable[Row], size: int) -> str | None:
    """The name in a listing that a server may have made of this one: its odd signs replaced or left out, its case or the form of
    its accents another; pure. None where none or several may be it, or where the name itself is there."""
    signs = (re.escape(sign) if sign == "." or _PLAIN.fullmatch(sign) else ".{0,4}" for sign in name)
    pattern = re.compile("".join(signs), re.DOTALL)
    folded = unicodedata.normalize("NFKC", name).casefold()
    found = []
    for row in rows:
        if row.name == name:
            return None
        if row.size not in (size, None):
            continue
        if pattern.fullmatch(row.name) or unicodedata.normalize("NFKC", row.name).casefold() == folded:
            found.append(row.name)
    return found[0] if len(found) == 1 else None
