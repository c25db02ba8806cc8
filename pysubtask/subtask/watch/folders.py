"""The watched folders: which there are.

A folder of an entry is watched all the time; those inside a recursive one are found by scans, followed and dropped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ...common.entries import STATE_FOLDER, Entry
from ...common.globs import match_all_in
from ...common.never_sent import NONE, NeverSent
from ...common.notify import HOLD, NOTIFY
from ...common.paths import folder_of
from ...common.place import real_path
from .event_inbox import Wants
from .file_events import FileEvents
from .folder import MOST_LEFT, Folder, Left
from .named_files import NamedFiles


class Folders:
    """``skip``: absolute paths of folders that are not watched (``ignored``: the entries this hits), and of files that
    are no data. ``nested``: the same, but an entry for such a folder is watched. ``named_files``: the named
    files of each folder that has some. ``own``: this program's own files, which are no data. ``roots``: the folders of the entries,
    by their paths."""

    def __init__(
        self,
        entries: Sequence[Entry],
        skip: Iterable[str],
        nested: Iterable[str],
        named_files: Mapping[str, NamedFiles],
        own: NeverSent = NONE,
    ) -> None:
        skipped = {form for path in skip for form in (path, real_path(path))}
        # A folder with an entry of its own belongs to that alone.
        with_entry = {form for entry in entries if entry.kind == "dir" for form in (entry.path, real_path(entry.path))}
        self.ignored = tuple(i for i, e in enumerate(entries) if e.kind == "dir" and real_path(e.path) in skipped)
        self._skip = skipped | {form for path in nested for form in (path, real_path(path))}
        self._closed = self._skip | with_entry
        self._own = own
        self.roots: Mapping[str, Folder] = {
            entry.path: Folder(index, entry, self._skip, own=own)
            for index, entry in enumerate(entries)
            if entry.kind == "dir" and index not in self.ignored
        }
        self._by_path = dict(self.roots)
        self._named_files = named_files
        self._events: FileEvents | None = None
        self._dropped: list[Folder] = []
        self._left: tuple[list[Left], int] | None = None

    def listen(self, wake: Callable[[], None]) -> FileEvents:
        """Create the file events for these folders, not yet started; without them all folders are polled."""
        wants = {path: self._wants(path, self.roots.get(path)) for path in [*self.roots, *self._named_files]}
        deep = [path for path, root in self.roots.items() if root.entry.recursive]
        self._events = FileEvents(wants, wake, deep)
        return self._events

    def get(self, path: str) -> Folder | None:
        """The watched folder with this path; None where there is none."""
        return self._by_path.get(path)

    def of(self, path: str) -> Folder | None:
        """The watched folder that a file lies in; None where there is none."""
        return self._by_path.get(folder_of(path))

    def left_out(self) -> tuple[list[Left], int]:
        """The first of the files that are left out, and the number of the others."""
        if self._left is None:
            lefts = [folder.left for folder in self._by_path.values() if folder.left[0]]
            rows = [left for some, _ in lefts for left in some]
            self._left = rows[:MOST_LEFT], len(rows[MOST_LEFT:]) + sum(more for _, more in lefts)
        return self._left

    def listed(self) -> None:
        """A folder was scanned: the files that are left out may be others."""
        self._left = None

    def dropped(self) -> list[Folder]:
        """The folders inside others that were dropped since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    # -- folders inside others --------------------------------------------------------------------------------

    def adopt(self, parent: Folder, name: str, fresh: bool, now: float) -> Folder | None:
        """Watch a subfolder from now on; None where that is none to be watched. ``fresh``: its files are to be compared with their
        last snapshots. ``now`` in monotonic seconds."""
        folder = Folder(parent.index, parent.entry, self._skip, parent, name, self._own)
        if name == STATE_FOLDER or match_all_in(folder.entry.exclude, folder.names.below[:-1]) or self._is_closed(folder.path):
            return None
        if not folder.identify():
            return None
        parent.add_sub(folder, fresh)
        self._by_path[folder.path] = folder
        self.follow(folder, now)
        return folder

    def _is_closed(self, path: str) -> bool:
        # The folder of the entry may be a link itself.
        return path in self._closed or real_path(path) in self._closed

    def follow(self, folder: Folder, now: float) -> bool:
        """Start the events of a folder before it is scanned, so that no change falls in between; whether they report every
        change."""
        if self._events is not None and folder.inside is not None:
            wants = self._wants(folder.path, folder)
            folder.set_live(self._events.follow(folder.path, folder.inside.path, wants, now))
        return folder.live

    def hears(self, folder: Folder) -> bool:
        """Whether the events of a folder that is live do still come; True of one that is not."""
        return not folder.live or (self._events is not None and self._events.hears(folder.path))

    def drop(self, folder: Folder) -> None:
        """Drop a subfolder that is gone, with all folders inside it."""
        if folder.inside is not None:
            folder.inside.drop_sub(folder.name)
        for each in folder.tree():
            self._leave(each)
            self._dropped.append(each)

    def away(self, folder: Folder) -> None:
        """A folder is missing or cannot be read: the files inside it do not count as gone for that."""
        for each in folder.tree():
            if each is not folder:
                self._leave(each)
        folder.away()

    def _leave(self, folder: Folder) -> None:
        del self._by_path[folder.path]
        self._left = None
        if self._events is not None:
            self._events.leave(folder.path)

    def _wants(self, path: str, folder: Folder | None) -> Wants:
        """Which file events of a folder are of interest."""
        named_files = self._named_files.get(path)

        def wants(name: str, created: bool) -> bool:
            if named_files is not None and named_files.wants(path, name):
                return True
            if folder is None:
                return False
            for ending in (NOTIFY, HOLD):
                if name.endswith(ending):
                    return folder.names.wants(name[: -len(ending)], named=True)
            return (created or folder.entry.on_change) and folder.names.wants(name)

        return wants
