"""Whose a remote name is: within one task, and among all tasks of this user that upload to the same server."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from ...common.entries import Entry, remote_name
from ...common.watched import Dirs
from ..snapshot.retakes import Retakes
from ..spool.name_claims import NameClaims, Other
from ..spool.spool_thread import SpoolThread
from ..watch.watcher import RESIDUAL, Due
from .task_names import TaskNames


class UploadNames:
    """Belongs to the main thread. ``label``: the task and extension as people know them. ``among_tasks``: the claims of all tasks.
    A file whose name another task has used meanwhile is sent again, whole (``retakes``)."""

    def __init__(
        self,
        entries: Sequence[Entry],
        within_task: TaskNames,
        among_tasks: NameClaims,
        spool_thread: SpoolThread,
        retakes: Retakes,
        label: str,
    ) -> None:
        self._entries = entries
        self._within_task = within_task
        self._among_tasks = among_tasks
        self._spool_thread = spool_thread
        self._retakes = retakes
        self._label = label

    # -- for the snapshots ------------------------------------------------------------------------------------

    def name_of(self, due: Due) -> str:
        """The remote name by the entry of the file; the bare file name for a file that no entry watches."""
        if due.entry_index == RESIDUAL:
            return os.path.basename(due.path)
        return remote_name(self._entries[due.entry_index], due.path)

    def claim(self, found: Sequence[Due]) -> dict[str, str]:
        """Claim the remote names of all these files in one transaction. By their paths, those that may not use theirs, each with
        the reason. Of two files with one remote name the later one is left out, as they would replace each other all the time."""
        requested: dict[str, str] = {}
        for due in found:
            key = self._within_task.key(self.name_of(due))
            if not self._within_task.clash(key, due):
                requested.setdefault(key, due.path)
        asked = list(requested.items())
        others = dict(zip(asked, self._take(asked), strict=True))
        refused = {}
        for due in found:
            reason = self._clash(due, others)
            if reason:
                refused[due.path] = reason
        return refused

    def release(self, paths: Collection[str]) -> None:
        """Release the names of files that are gone."""
        self._among_tasks.release(self._within_task.release(paths))

    def _clash(self, due: Due, others: Mapping[tuple[str, str], Other | None]) -> str:
        """Why a file may not use its remote name; empty where it may, and has it from now on."""
        key = self._within_task.key(self.name_of(due))
        clash = self._within_task.clash(key, due)
        if clash:
            return clash
        asked = (key, due.path)
        other = others[asked] if asked in others else self._take([asked])[0]
        if other is not None:
            return (
                f"its remote name {key!r} belongs to {other.path} of the task {other.task}, which had it first; "
                f"{self._label} leaves it out: give one of the two entries an 'as'"
            )
        self._within_task.take(key, due.path)
        return ""

    def _take(self, requested: list[tuple[str, str]]) -> list[Other | None]:
        """Claim names (name, data file); for each the other task that owns it, or None."""
        taken = self._among_tasks.take_all(requested)
        for (name, path), (_, sent_to) in zip(requested, taken, strict=True):
            if sent_to:
                self._is_not_as_left(name, path)
        return [other for other, _ in taken]

    # -- for the uploads --------------------------------------------------------------------------------------

    def begin(self, owners: Mapping[str, str], moved_from: Sequence[str]) -> None:
        """Claim the names of this task among the tasks of this user: those of the files it has sent (``owners``: name -> data
        file), as far as its entries still give them the same names."""
        for old in moved_from:
            self._among_tasks.moved(old)
        dirs = Dirs(self._entries)
        files = {entry.path: entry for entry in self._entries if entry.kind == "file"}
        mine = {}
        for name, path in owners.items():
            entry = files.get(path) or dirs.owner(path)
            if entry is not None and remote_name(entry, path) == name:
                mine[name] = path
        for name in self._among_tasks.begin(mine):
            self._is_not_as_left(name, mine[name])

    def give_up_lost(self) -> None:
        """Give up the names that belong to another task again, which is back: the jobs waiting under them leave the queue, and
        their files are due again."""
        if not self._among_tasks.changed():
            return
        spool_thread, spool = self._spool_thread, self._spool_thread.spool
        rows = spool_thread.run(spool.queue_admin.rows)
        lost = {
            row.name: row.path
            for row in rows
            if row.state != "sending" and self._among_tasks.owner_of(row.name, row.path) is not None
        }
        if lost:
            dropped, _, garbage = spool_thread.run(spool.queue_admin.drop, list(lost))
            spool_thread.run(spool.stamps.forget, [lost[name] for name in dropped])
            spool_thread.drop(garbage)
            for name in dropped:
                self._retakes.ask(lost[name])

    def take_anew(self, name: str) -> bool:
        """Have the file of this name sent again, whole: the server has put another file under it. Whether there is such a file."""
        path = self._within_task.owner(name)
        if path is None:
            return False
        self._is_not_as_left(name, path)
        self._retakes.ask(path)
        return True

    def _is_not_as_left(self, name: str, path: str) -> None:
        """Forget what was delivered under a name: another task has sent to it, so the file is sent again, whole."""
        self._spool_thread.run(self._spool_thread.spool.remote_files.not_as_left, name)
        self._spool_thread.run(self._spool_thread.spool.stamps.forget, [path])
