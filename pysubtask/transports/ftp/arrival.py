"""Whether what was sent is there: sizes that a server is not done with yet, and names that it altered. Blocking."""

from __future__ import annotations

import time

from ...common.errors import FileRefused
from ..base import Job
from ..shared.altered_names import Alias, AlteredNames, changed_to, find
from .data import Source
from .options import parent_of, path_of
from .server_features import CannotTell
from .session import Session

__all__ = ["Named", "changed_to", "settled_size", "text_mode"]

_QUIET_SECS = 1.5
"""A file that has not grown for so long is not written to any more."""
_PAUSES = (0.05, 0.1, 0.15, 0.2, 0.25)
_BLOCK = 1024 * 1024
TEXT_MODE = "the server changes the ends of lines, as in text mode (ASCII), though it agreed to take files as they are (TYPE I)"
_TAKE_AS_IT_IS = "Have that switched off on the server; SFTP knows no such mode"


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
    return FileRefused(
        f"{job.name}: {TEXT_MODE}: {job.size:,} bytes were sent and it has {shown:,}",
        _TAKE_AS_IT_IS,
        step="looking at its size",
        file=job.name,
    )


class Named:
    """Whether a server shows a file under the name that it was given, and nothing of ours is hit by one that it alters. For any
    thread, one at a time for a name."""

    def __init__(self, names: AlteredNames) -> None:
        self._names = names

    def check(self, job: Job) -> None:
        """FileRefused where the server is known to alter this name."""
        self._names.check(job.name)

    def before(self, session: Session, job: Job, folder: str) -> None:
        """Something stands under a name that nothing of ours is known to have: FileRefused where it is there under another one."""
        if not self._names.may_meet(job.name):
            return
        parts = job.name.split("/")
        for path in ("/".join(parts[: at + 1]) for at in range(len(parts))):
            if self._names.known_to_show(path) is None and (alias := self._alias(session, job, folder, path, None)[1]) is not None:
                raise self._names.refuse(job.name, path, alias, job.ours)

    def after(self, session: Session, job: Job, folder: str, stood: bool) -> None:
        """The name has been published: FileRefused where the server shows another one instead. What it made of it is removed where
        it surely is ours, and nothing ``stood`` there before."""
        for path in self._names.open_parts(job.name):
            alias = self._alias(session, job, folder, path, job.size if path == job.name else None)[1]
            if alias is not None:
                raise self._refused(session, job, folder, path, alias, stood)

    def look(self, session: Session, job: Job, folder: str) -> bool:
        """The server has acknowledged this name and tells no size of it: whether it shows it all the same. FileRefused where it
        shows another one instead."""
        if not self._names.is_peculiar(job.name):
            return False
        shown, alias = self._alias(session, job, folder, job.name, job.size)
        if alias is not None:
            raise self._refused(session, job, folder, job.name, alias, False)
        return shown

    def _refused(self, session: Session, job: Job, folder: str, path: str, alias: Alias, stood: bool) -> Exception:
        gone = path == job.name and self._removed(session, job, folder, alias, stood)
        return self._names.refuse(job.name, path, alias, job.ours, " (that was removed again)" if gone else "")

    def _alias(self, session: Session, job: Job, folder: str, path: str, size: int | None) -> tuple[bool, Alias | None]:
        """Whether a part of a name is shown, and what is shown in its place where that is another one."""
        above, _, part = path.rpartition("/")
        rows = session.rows(parent_of(path_of(folder, path)))
        self._names.listed(above, rows)
        if rows is None:
            return False, None
        alias = find(part, rows, size)
        if alias is None:
            shown = any(row.name == part for row in rows)
            if shown and (other := self._names.kept(path, rows)) is not None:
                probe = path_of(folder, other)
                if session.is_there(probe) if path == job.name else session.rows(probe) is not None:
                    self._names.in_any_case()
            return shown, None
        return (True, None) if self._names.judge(job.name, path, alias, job.ours) else (False, alias)

    def _removed(self, session: Session, job: Job, folder: str, alias: Alias, stood: bool) -> bool:
        """Whether what the server made of the name could be removed: it has the size and time of what was sent, and is nobody
        else's."""
        name = job.name[: len(job.name) - len(job.name.rpartition("/")[2])] + alias.visible
        path = path_of(folder, name)
        try:
            shown = session.look(path)
        except CannotTell:
            return False
        if shown is None or job.mtime_ns is None or shown[:2] != (job.size, job.mtime_ns // 1_000_000_000):
            return False
        if job.ours(name):
            job.harmed(name)
            return False
        return not stood and session.delete(path).ok
