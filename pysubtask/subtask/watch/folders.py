"""The watched folders: which folders there are, and when a whole one must be scanned.

A folder of an entry is watched all the time; those inside a recursive one are found, followed and dropped here.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ...common.entries import STATE_FOLDER, Entry
from ...common.globs import match_all_in
from ...common.never_sent import NONE, NeverSent
from ...common.notify import HOLD, NOTIFY
from ...common.paths import folder_of
from ...common.place import real_path
from .disks import Disks
from .file_events import FileEvents, Taken, Wants, WatchState
from .folder import MOST_LEFT, Folder, Left, Listing
from .named_files import NamedFiles

FULL_SCAN_SECS = 60.0
# Full scans take at most one part in this number of the time.
_SHARE, _SHARE_BESIDE_EVENTS = 25, 100
# To check whether a folder is still the same takes some 10 us. Up to this number the check is made at each tick; of more folders
# each one delays the next check by _REFRESH_SECS.
_FEW_FOLDERS = 100
_REFRESH_SECS = 0.002


class FolderScan(NamedTuple):
    """A folder that was scanned as a whole, and its ``listing``; ``fresh``: for the first time, or after it was away."""

    folder: Folder
    listing: Listing
    fresh: bool


class Folders:
    """``skip``: absolute paths of folders that are not watched (``ignored``: the entries this hits), and of files that
    are no data. ``nested``: the same, but an entry for such a folder is watched. ``named_files``: the named
    files of each folder that has some. ``timer`` in seconds. ``ours``: this program's own files, which are no data."""

    def __init__(
        self,
        entries: Sequence[Entry],
        skip: Iterable[str],
        nested: Iterable[str],
        named_files: Mapping[str, NamedFiles],
        timer: Callable[[], float] = time.monotonic,
        ours: NeverSent = NONE,
        disks: Disks | None = None,
    ) -> None:
        self._disks = disks
        self._remounted = False
        skipped = {form for path in skip for form in (path, real_path(path))}
        # A folder with an entry of its own belongs to that alone.
        own = {form for entry in entries if entry.kind == "dir" for form in (entry.path, real_path(entry.path))}
        self.ignored = tuple(i for i, e in enumerate(entries) if e.kind == "dir" and real_path(e.path) in skipped)
        left_out = skipped | {form for path in nested for form in (path, real_path(path))}
        self._closed = left_out | own
        self._roots = {
            entry.path: Folder(index, entry, left_out, own=ours)
            for index, entry in enumerate(entries)
            if entry.kind == "dir" and index not in self.ignored
        }
        self._skip = left_out
        self._ours = ours
        self._by_path = dict(self._roots)
        self._named_files = named_files
        self._timer = timer
        self._watch_states = dict.fromkeys([*self._roots, *named_files], WatchState(False, False, False))
        self._next_refresh = float("-inf")
        self._lost = False
        self._events: FileEvents | None = None
        self._now = 0.0
        self._dropped: list[Folder] = []
        self._left: tuple[list[Left], int] | None = None

    def listen(self, wake: Callable[[], None]) -> FileEvents:
        """Create the file events for these folders, not yet started; without them all folders are polled."""
        wants = {path: self._wants(path, self._roots.get(path)) for path in self._watch_states}
        deep = [path for path, root in self._roots.items() if root.entry.recursive]
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
            folders = [folder for folder in self._by_path.values() if folder.left]
            rows = [left for folder in folders for left in folder.left]
            self._left = rows[:MOST_LEFT], len(rows[MOST_LEFT:]) + sum(folder.left_more for folder in folders)
        return self._left

    def dropped(self) -> list[Folder]:
        """The folders inside others that were dropped since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def mounted(self) -> None:
        """A disk was mounted or unmounted: subfolders of a recursive folder may be other folders by now."""
        self._remounted = True
        for root in self._roots.values():
            if root.entry.recursive:
                root.next_scan = float("-inf")

    # -- the scan ---------------------------------------------------------------------------------------------

    def refresh_watches(self, now: float, taken: Taken) -> None:
        """Check and renew the watches of all folders. ``now`` in monotonic seconds; ``taken``: the events since the last scan."""
        self._now, self._lost = now, taken.lost
        if self._events is None:
            return
        if taken.lost:
            self._events.renew()
        if now < self._next_refresh and not taken.lost and self._watch_states.keys().isdisjoint(taken.folders):
            for path, stands in self._watch_states.items():
                self._watch_states[path] = WatchState(stands.live, False, False)
            return
        for path in self._watch_states:
            self._watch_states[path] = self._events.refresh_watch(path, now)
        self._next_refresh = now + (_REFRESH_SECS * len(self._watch_states) if len(self._watch_states) > _FEW_FOLDERS else 0.0)

    def due_named_files(self, everything: bool) -> Iterator[tuple[NamedFiles, Iterable[tuple[int, str]]]]:
        """The named files to be checked whatever the events said, by their folders: all, where the events do not report changes
        (or did not until now) and it is time; else a few. The caller must handle them one by one, as the time that takes is
        measured."""
        for path, named_files in self._named_files.items():
            stands = self._watch_states[path]
            anew = self._lost or named_files.is_new or stands.renewed or stands.broken or (named_files.live and not stands.live)
            named_files.live = stands.live
            trusted = named_files.live and not named_files.unread
            if everything or anew or (not trusted and self._now >= named_files.next_scan):
                begun = self._timer()
                named_files.unread = False
                yield named_files, named_files.files
                named_files.cost = self._timer() - begun
                named_files.next_scan = self._now + self._rest(False, False)
                named_files.scanned(self._now)
            elif trusted:
                yield named_files, named_files.turn(self._now)

    def _rest(self, live: bool, all_reported: bool) -> float:
        """Seconds until the next scan of a whole folder; ``live``: events report changes until then, all changes that count where
        ``all_reported``, else not those by a program that keeps a file open."""
        cost = sum(each.cost for each in self._roots.values()) + sum(each.cost for each in self._named_files.values())
        return max(FULL_SCAN_SECS if live and all_reported else 0.0, (_SHARE_BESIDE_EVENTS if live else _SHARE) * cost)

    def due_scans(self, taken: Taken, everything: bool) -> Iterator[FolderScan]:
        """Scan every folder that is due. The caller must handle the scans one by one, as the time that takes is part of the
        cost."""
        anew: set[str] = set()
        for path, events in self._watch_states.items():
            root = self._roots.get(path)
            if root is not None:
                if events.broken:
                    self._away(root)
                if root.live and not events.live:
                    root.next_scan = self._now
                root.live = events.live
                yield from self._scans_in(root, taken.lost or events.renewed, everything)
            elif events.broken or events.renewed:
                # Named files are in it; it may be inside a recursive one too.
                anew.add(path)
        yield from self._changes(taken.folders, anew)
        self._remounted = False

    def _scans_in(self, root: Folder, lost: bool, everything: bool) -> Iterator[FolderScan]:
        if everything or lost or root.fresh or self._now >= root.next_scan:
            begun = self._timer()
            # Where events report each new file, the names are enough.
            yield from self._walk(list(root.tree()), lost)
            root.cost = self._timer() - begun
            root.next_scan = self._now + self._rest(root.live, not root.entry.on_change)
            root.next_poll = self._now + _SHARE * root.cost
        elif root.entry.recursive and root.live and self._now >= root.next_poll:
            begun = self._timer()
            deaf = [folder for folder in root.tree() if not folder.live]
            if deaf:
                yield from self._walk(deaf, False)
                root.poll_cost = self._timer() - begun
                root.next_poll = self._now + _SHARE * sum(each.poll_cost for each in self._roots.values())
            else:
                root.next_poll = root.next_scan

    def _walk(self, folders: Iterable[Folder], lost: bool) -> Iterator[FolderScan]:
        """Scan these folders and all that are found inside them."""
        for folder in folders:
            if self._by_path.get(folder.path) is folder:
                yield from self._scan_whole(folder, lost)

    def _scan_whole(self, folder: Folder, lost: bool) -> Iterator[FolderScan]:
        # A new subfolder is scanned at once, with the folders inside it.
        waiting = [(folder, lost)]
        while waiting:
            folder, lost = waiting.pop()
            if self._disks is not None and self._disks.is_gone(folder.path):
                self._away(folder)
                continue
            if self._remounted and folder.inside is not None and self._is_another(folder):
                parent, name = folder.inside, folder.name
                self._drop(folder)
                found = self._adopt(parent, name, False)
                waiting += [] if found is None else [(found, True)]
                continue
            renewed = folder.inside is not None and not folder.live and self._follow(folder)
            fresh = folder.fresh
            try:
                listing = folder.scan(lost or renewed or fresh or not folder.live or folder.entry.on_change)
            except OSError as exc:
                if folder.inside is not None and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
                    self._drop(folder)
                    continue
                # The folder is missing, or cannot be read at the moment: it is scanned again without a message.
                self._away(folder)
                continue
            if lost or renewed or fresh or not folder.live:
                listing = listing._replace(new=())  # files from before the events need not have had one
            folder.fresh = False
            self._left = None
            waiting += [(found, True) for found in self._compare(folder, listing.subs, fresh)]
            yield FolderScan(folder, listing, fresh)

    # -- folders inside others --------------------------------------------------------------------------------

    def _changes(self, paths: set[str], anew: set[str]) -> Iterator[FolderScan]:
        """Scan the folders of which events came: first those that are gone, then the new ones, so that a rename is handled as
        both. ``anew``: paths that may be other folders than before though they look the same."""
        changed = sorted(path for path in paths | anew if path not in self._roots)
        deaf: list[Folder] = []
        for path in changed:
            folder = self._by_path.get(path)
            if folder is not None and (path in anew or not (self._is(folder) and self._hears(folder))):
                self._drop(folder)
            elif folder is not None and not folder.live:
                # A folder that was removed and created again may have the same inode number, and nothing else shows the
                # difference.
                deaf.append(folder)
        for path in changed:
            parent, name = self._by_path.get(os.path.dirname(path)), os.path.basename(path)
            if parent is not None and not parent.fresh and parent.entry.recursive and path not in self._by_path:
                folder = self._adopt(parent, name, False)
                if folder is not None:
                    yield from self._scan_whole(folder, True)
        yield from self._walk(deaf, False)

    def _compare(self, folder: Folder, subs: Mapping[str, int], fresh: bool) -> list[Folder]:
        """Drop the subfolders that are not the ones found now, and adopt the new ones; the latter."""
        for name, sub in list(folder.subs.items()):
            # For a mount point a listing shows the inode number of the hidden folder.
            if name not in subs or (subs[name] != sub.identity[1] and not self._is(sub)):
                self._drop(sub)
        found = [self._adopt(folder, name, fresh) for name in subs if name not in folder.subs]
        return [sub for sub in found if sub is not None]

    def _adopt(self, parent: Folder, name: str, fresh: bool) -> Folder | None:
        folder = Folder(parent.index, parent.entry, self._skip, parent, name, self._ours)
        if name == STATE_FOLDER or match_all_in(folder.entry.exclude, folder.below[:-1]) or self._is_closed(folder.path):
            return None
        try:
            found = os.lstat(folder.path)
        except OSError:
            # The folder was removed meanwhile, or its path is too long to be used at all.
            return None
        folder.identity = (found.st_dev, found.st_ino)
        if not stat.S_ISDIR(found.st_mode) or parent.is_inside(folder.identity):
            return None
        folder.fresh = fresh
        parent.subs[name] = folder
        self._by_path[folder.path] = folder
        if not self._follow(folder):
            self._roots[folder.entry.path].next_poll = self._now
        return folder

    def _is_closed(self, path: str) -> bool:
        # The folder of the entry may be a link itself.
        return path in self._closed or real_path(path) in self._closed

    def _follow(self, folder: Folder) -> bool:
        """Start the events of a folder before it is scanned, so that no change falls in between."""
        if self._events is not None and folder.inside is not None:
            wants = self._wants(folder.path, folder)
            folder.live = self._events.follow(folder.path, folder.inside.path, wants, self._now)
        return folder.live

    def _is(self, folder: Folder) -> bool:
        """Whether a folder inside another is still the one that was found."""
        try:
            found = os.lstat(folder.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == folder.identity and stat.S_ISDIR(found.st_mode)

    def _is_another(self, folder: Folder) -> bool:
        """Whether there is another folder in the place of a subfolder, because a disk was mounted over it or unmounted. No event
        reports that, and a listing shows the inode number of the hidden folder."""
        try:
            found = os.lstat(folder.path)
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and (found.st_dev, found.st_ino) != folder.identity

    def _hears(self, folder: Folder) -> bool:
        return not folder.live or (self._events is not None and self._events.hears(folder.path))

    def _drop(self, folder: Folder) -> None:
        """Drop a subfolder that is gone, with all folders inside it."""
        if folder.inside is not None:
            folder.inside.subs.pop(folder.name, None)
        for each in folder.tree():
            self._leave(each)
            self._dropped.append(each)

    def _away(self, folder: Folder) -> None:
        """A folder is missing or cannot be read: the files inside it do not count as gone for that."""
        for each in folder.tree():
            if each is not folder:
                self._leave(each)
        folder.subs.clear()
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
                    return folder.wants(name[: -len(ending)], named=True)
            return (created or folder.entry.on_change) and folder.wants(name)

        return wants
