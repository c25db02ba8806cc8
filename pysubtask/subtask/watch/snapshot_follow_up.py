"""What follows from a durable snapshot: its file is compared with it once more, as it may have been changed meanwhile."""

from __future__ import annotations

from ...common.notify import Stamp
from ...common.paths import name_of
from .changing_files import ChangingFiles
from .due import Due
from .due_files import DueFiles
from .folder import Folder
from .named_scan import NamedScan
from .rechecks import Rechecks
from .stamps import Stamps
from .watched_entries import WatchedEntries


class SnapshotFollowUp:
    """The files whose snapshots were made since the last scan, and the paths that must be checked for that. ``now`` is in monotonic
    seconds, ``wall`` in nanoseconds since the epoch."""

    def __init__(
        self, entries: WatchedEntries, stamps: Stamps, due: DueFiles, named: NamedScan, changing: ChangingFiles, rechecks: Rechecks
    ) -> None:
        self._entries = entries
        self._stamps = stamps
        self._due = due
        self._named = named
        self._changing = changing
        self._rechecks = rechecks
        self._finished: list[tuple[Due, int]] = []
        self._checks: dict[str, bool] = {}

    def done(self, due: Due, wall: int) -> None:
        """A snapshot of this file is durable and known, or the file was given up: its stamp counts as handled."""
        since, again = self._due.done(due, wall)
        for path in again:
            self._checks[path] = False
        self._finished.append((due, since))

    def take_checks(self) -> dict[str, bool]:
        """The paths to be checked, each with whether the file was created since."""
        checks, self._checks = self._checks, {}
        return checks

    def has_checks(self, now: float, wall: int) -> bool:
        """Whether there are paths to be checked, after what follows from the snapshots until now."""
        self.follow_up(now, wall, self._checks)
        return bool(self._checks)

    def follow_up(self, now: float, wall: int, checks: dict[str, bool]) -> None:
        """Handle the snapshots made since the last call, whose stamps are known now; what must be checked goes to ``checks``."""
        finished, self._finished = self._finished, []
        for due, since in finished:
            self._stamps.follow_queue(due.path)
            last = self._stamps.source(due.path)
            folder, changing = self._entries.folder_of(due.path), due.path in self._changing
            if folder is not None:
                folder.known.doubt(name_of(due.path))
                self._compare(folder, due.path, last, checks)
            if changing:
                # The file may have changed since its snapshot, in a way that no event has reported.
                self._named.check_change(due.path, now)
            each = changing or (folder is not None and folder.entry.on_change)
            self._rechecks.after_snapshot(due, last, since, now, wall, in_folder=folder is not None, each=each)

    def _compare(self, folder: Folder, path: str, last: Stamp | None, checks: dict[str, bool]) -> None:
        name = name_of(path)
        seen = self._stamps.of(path)
        if seen is None:
            folder.known.forget(name)
        elif last is None:
            # The file was given up; one that was missing exists now.
            checks.setdefault(path, False)
        elif seen.inode != last.inode:
            # Another file has taken its place since.
            checks[path] = True
        elif folder.names.wants(name, named=True):  # otherwise a named file, which no listing of this folder has
            folder.known.note(name, seen.inode)
