"""The data files that are due, from the moment that is found out until their snapshots are durable."""

from __future__ import annotations

from collections.abc import Callable

from ...common.notify import Stamp, hold_name, notify_name
from ...common.paths import folder_of, name_of
from ..platform.change_times import ctime_of
from .changing_files import ChangingFiles
from .due import Due
from .hold_files import HoldFiles
from .stamps import Stamps
from .watched_entries import WatchedEntries


class DueFiles:
    """Each file is due once; what is found of it meanwhile goes into the same :class:`Due`. ``is_unmounted``: whether a file is on
    a missing disk. ``wall`` is in nanoseconds since the epoch."""

    def __init__(
        self,
        entries: WatchedEntries,
        stamps: Stamps,
        hold_files: HoldFiles,
        changing: ChangingFiles,
        is_unmounted: Callable[[str], bool],
    ) -> None:
        self._entries = entries
        self._stamps = stamps
        self._hold_files = hold_files
        self._changing = changing
        self._is_unmounted = is_unmounted
        self._due: dict[str, Due] = {}
        self._since: dict[str, int] = {}
        self._changed: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._due

    def ready(self) -> list[Due]:
        """The due files, without those on a missing disk."""
        return [due for path, due in self._due.items() if not self._is_unmounted(path)]

    def add(self, path: str, index: int, stamp: Stamp | None, cause: str, wall: int, seen: Stamp | None = None) -> None:
        """Make a file due, or update a due one. ``stamp``: of its notify file. ``seen``: the stamp of the data file a moment
        ago, where the caller has it."""
        named = self._entries.named(path)
        index = index if named is None else named
        old = self._due.get(path)
        # The data of an existing hold file will be in the snapshot.
        hold = self._hold_files.take(path)
        if old is None:
            self._note_ctime(path, seen)
            self._since[path] = wall
            self._due[path] = Due(path, index, stamp, cause, hold)
        else:
            cause = cause if old.cause == "recheck" else old.cause
            self._due[path] = Due(path, index, stamp or old.stamp, cause, hold or old.hold)

    def note_change(self, path: str) -> None:
        """Note that a due file was changed: it is checked again after its snapshot, which may be older."""
        self._changed.add(path)

    def done(self, due: Due, wall: int) -> tuple[int, list[str]]:
        """Take a file off whose snapshot is durable, or that was given up: its stamps count as handled. The wall clock when it
        was found due, and the paths that must be checked again."""
        pending = self._due.pop(due.path, None)
        since = self._since.pop(due.path, wall)
        again: list[str] = []
        if due.stamp is not None:
            self._stamps.set_handled(notify_name(due.path), due.stamp)
        if due.hold is not None:
            self._stamps.set_handled(hold_name(due.path), due.hold)
        if pending is not None and pending.stamp is not None and pending.stamp != due.stamp:
            again.append(notify_name(due.path))
        if due.path in self._changed:
            self._changed.remove(due.path)
            again.append(due.path)
        return since, again

    def drop_in(self, folder: str) -> list[str]:
        """Take off the files in a folder that is gone, without those that exist again or have an entry of their own; their
        paths."""
        dropped = [
            path
            for path in self._due
            if folder_of(path) == folder and self._entries.named(path) is None and not self._entries.is_listed(path)
        ]
        for path in dropped:
            del self._due[path], self._since[path]
            self._changed.discard(path)
        return dropped

    def _note_ctime(self, path: str, seen: Stamp | None) -> None:
        """Note the ctime before a file is copied: a change after that may be missing in the copy."""
        changing = path in self._changing
        folder = None if changing else self._entries.folder_of(path)
        if not changing and folder is None:
            return
        seen = seen or self._stamps.of(path)
        if seen is None or not (ctime := ctime_of(seen)):
            return
        if folder is None:
            self._changing.note_ctime(path, ctime)
        else:
            folder.known.note_ctime(name_of(path), ctime)
