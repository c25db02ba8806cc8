"""Whether an FTP server shows a file under the name that it was given, and whether an altered name is another file's. Blocking."""

from __future__ import annotations

from ..base import Job
from ..shared.altered_names import Alias, AlteredNames, find
from .options import parent_of, path_of
from .server_features import CannotTell
from .session import Session


class NameChecks:
    """Whether a server shows a file under the name that was asked for, so that no other file of the queue is hit by an altered
    name. For any thread, one at a time for a name."""

    def __init__(self, names: AlteredNames) -> None:
        self._names = names

    def check(self, job: Job) -> None:
        """Raise FileRefused where the server is known to alter this name."""
        self._names.check(job.name)

    def before(self, session: Session, job: Job, folder: str) -> None:
        """Check a name before the upload where a file of unknown origin is under it. Raises FileRefused where the server shows
        that file under another name."""
        if not self._names.may_meet(job.name):
            return
        parts = job.name.split("/")
        for path in ("/".join(parts[: at + 1]) for at in range(len(parts))):
            if self._names.known_to_show(path) is None and (alias := self._alias(session, job, folder, path, None)[1]) is not None:
                raise self._names.refuse(job.name, path, alias, job.ours)

    def after(self, session: Session, job: Job, folder: str, stood: bool) -> None:
        """Check the published name. Raises FileRefused where the server shows another name instead; the altered file is removed
        where size and time prove its origin and nothing ``stood`` under the name before."""
        for path in self._names.open_parts(job.name):
            alias = self._alias(session, job, folder, path, job.size if path == job.name else None)[1]
            if alias is not None:
                raise self._refused(session, job, folder, path, alias, stood)

    def is_visible(self, session: Session, job: Job, folder: str) -> bool:
        """Whether the server shows this name, for which it acknowledged the rename and tells no size. Raises FileRefused where
        it shows another name instead."""
        if not self._names.is_peculiar(job.name):
            return False
        visible, alias = self._alias(session, job, folder, job.name, job.size)
        if alias is not None:
            raise self._refused(session, job, folder, job.name, alias, False)
        return visible

    def _refused(self, session: Session, job: Job, folder: str, path: str, alias: Alias, stood: bool) -> Exception:
        gone = path == job.name and self._removed(session, job, folder, alias, stood)
        return self._names.refuse(job.name, path, alias, job.ours, " (that was removed again)" if gone else "")

    def _alias(self, session: Session, job: Job, folder: str, path: str, size: int | None) -> tuple[bool, Alias | None]:
        """Whether one part of a name is visible, and the altered name shown in its place."""
        above, _, part = path.rpartition("/")
        rows = session.rows(parent_of(path_of(folder, path)))
        self._names.listed(above, rows)
        if rows is None:
            return False, None
        alias = find(part, rows, size)
        if alias is None:
            visible = any(row.name == part for row in rows)
            if visible and (other := self._names.kept(path, rows)) is not None:
                probe = path_of(folder, other)
                if session.is_there(probe) if path == job.name else session.rows(probe) is not None:
                    self._names.in_any_case()
            return visible, None
        return (True, None) if self._names.judge(job.name, path, alias, job.ours) else (False, alias)

    def _removed(self, session: Session, job: Job, folder: str, alias: Alias, stood: bool) -> bool:
        """Whether the altered file was removed: it has the size and time of what was sent, and its name belongs to no other
        job."""
        name = job.name[: len(job.name) - len(job.name.rpartition("/")[2])] + alias.visible
        path = path_of(folder, name)
        try:
            stat = session.stat(path)
        except CannotTell:
            return False
        if stat is None or job.mtime_ns is None or stat[:2] != (job.size, job.mtime_ns // 1_000_000_000):
            return False
        if job.ours(name):
            job.harmed(name)
            return False
        return not stood and session.delete(path).ok
