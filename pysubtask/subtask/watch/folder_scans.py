"""When the watched folders, and the named files in each folder, are scanned as a whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .event_inbox import NewEvents
from .file_events import FileEvents
from .folder import Folder, Listing
from .folders import Folders
from .named_files import NamedFiles
from .scan_times import SHARE, ScanTime, rest_secs
from .watch_states import WatchStates


class FolderScan(NamedTuple):
    """A folder that was scanned as a whole, and its ``listing``; ``fresh``: for the first time, or after it was away."""

    folder: Folder
    listing: Listing
    fresh: bool


class RootTimes(NamedTuple):
    """Of the folder of an entry: when to ``scan`` it again, with all folders inside it, and when to ``poll`` those inside it that
    have no events."""

    scan: ScanTime
    poll: ScanTime


class FolderScans:
    """``folders``: which there are; ``named_files``: the named files of each folder that has some; ``events``: those of the
    folders, None where they are polled. ``is_unmounted``: whether a folder is on a missing disk. ``timer`` in seconds.

    The results of a scan must be handled one by one, since the time that takes is part of its cost."""

    def __init__(
        self,
        folders: Folders,
        named_files: Mapping[str, NamedFiles],
        events: FileEvents | None,
        is_unmounted: Callable[[str], bool],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folders = folders
        self._named_files = named_files
        self._is_unmounted = is_unmounted
        self._timer = timer
        self._times = {path: RootTimes(ScanTime(), ScanTime()) for path in folders.roots}
        self._watch_states = WatchStates([*folders.roots, *named_files], events)
        self._remounted = False
        self._lost = False
        self._now = 0.0

    def mounted(self) -> None:
        """A disk was mounted or unmounted: subfolders of a recursive folder may be other folders by now."""
        self._remounted = True
        for path, root in self.folders.roots.items():
            if root.entry.recursive:
                self._times[path].scan.wait_until(float("-inf"))

    def begin(self, now: float, new: NewEvents) -> None:
        """Begin the scan of a tick: check and renew the watches of all folders. ``now`` in monotonic seconds; ``new``: the events
        since the last scan."""
        self._now, self._lost = now, new.lost
        self._watch_states.refresh(now, new)

    def due_named_files(self, everything: bool) -> Iterator[tuple[NamedFiles, Sequence[tuple[int, str]]]]:
        """The named files to be checked whatever the events said, by their folders: all, where the events do not report changes
        (or did not until now) and it is time; else a few."""
        for path, named_files in self._named_files.items():
            state = self._watch_states[path]
            anew = self._lost or named_files.is_new or state.renewed or state.broken or (named_files.live and not state.live)
            named_files.set_live(state.live)
            trusted = named_files.is_trusted
            if everything or anew or (not trusted and named_files.scan_time.is_due(self._now)):
                begun = self._timer()
                yield named_files, named_files.begin_scan()
                named_files.scan_time.note_cost(self._timer() - begun)
                named_files.scan_time.wait_until(self._now + self._rest(False, False))
                named_files.scanned(self._now)
            elif trusted:
                yield named_files, named_files.turn(self._now)

    def _rest(self, live: bool, all_reported: bool) -> float:
        cost = sum(times.scan.cost for times in self._times.values())
        cost += sum(each.scan_time.cost for each in self._named_files.values())
        return rest_secs(cost, live, all_reported)

    def due_scans(self, new: NewEvents, everything: bool) -> Iterator[FolderScan]:
        """Scan every folder that is due."""
        anew: set[str] = set()
        for path, state in self._watch_states.items():
            root = self.folders.roots.get(path)
            if root is not None:
                if state.broken:
                    self.folders.away(root)
                if root.live and not state.live:
                    self._times[path].scan.wait_until(self._now)
                root.set_live(state.live)
                yield from self._scans_in(root, new.lost or state.renewed, everything)
            elif state.broken or state.renewed:
                # Named files are in it; it may be inside a recursive one too.
                anew.add(path)
        yield from self._changes(new.folders, anew)
        self._remounted = False

    def _scans_in(self, root: Folder, lost: bool, everything: bool) -> Iterator[FolderScan]:
        scan, poll = self._times[root.path]
        if everything or lost or root.fresh or scan.is_due(self._now):
            begun = self._timer()
            # Where events report each new file, the names are enough.
            yield from self._walk(list(root.tree()), lost)
            scan.note_cost(self._timer() - begun)
            scan.wait_until(self._now + self._rest(root.live, not root.entry.on_change))
            poll.wait_until(self._now + SHARE * scan.cost)
        elif root.entry.recursive and root.live and poll.is_due(self._now):
            begun = self._timer()
            deaf = [folder for folder in root.tree() if not folder.live]
            if deaf:
                yield from self._walk(deaf, False)
                poll.note_cost(self._timer() - begun)
                poll.wait_until(self._now + SHARE * sum(times.poll.cost for times in self._times.values()))
            else:
                poll.wait_until(scan.at)

    def _walk(self, folders: Iterable[Folder], lost: bool) -> Iterator[FolderScan]:
        """Scan these folders and all that are found inside them."""
        for folder in folders:
            if self.folders.get(folder.path) is folder:
                yield from self._scan_whole(folder, lost)

    def _scan_whole(self, folder: Folder, lost: bool) -> Iterator[FolderScan]:
        # A new subfolder is scanned at once, with the folders inside it.
        waiting = [(folder, lost)]
        while waiting:
            folder, lost = waiting.pop()
            if self._is_unmounted(folder.path):
                self.folders.away(folder)
                continue
            if self._remounted and folder.inside is not None and folder.is_another():
                self.folders.drop(folder)
                found = self._adopt(folder.inside, folder.name, False)
                waiting += [] if found is None else [(found, True)]
                continue
            renewed = folder.inside is not None and not folder.live and self.folders.follow(folder, self._now)
            fresh = folder.fresh
            try:
                listing = folder.scan(lost or renewed or fresh or not folder.live or folder.entry.on_change)
            except OSError as exc:
                if folder.inside is not None and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
                    self.folders.drop(folder)
                    continue
                # The folder is missing, or cannot be read at the moment: it is scanned again without a message.
                self.folders.away(folder)
                continue
            if lost or renewed or fresh or not folder.live:
                listing = listing._replace(new=())  # files from before the events need not have had one
            self.folders.listed()
            waiting += [(found, True) for found in self._compare(folder, listing.subs, fresh)]
            yield FolderScan(folder, listing, fresh)

    # -- folders inside others --------------------------------------------------------------------------------

    def _changes(self, paths: set[str], anew: set[str]) -> Iterator[FolderScan]:
        """Scan the folders of which events came: first those that are gone, then the new ones, so that a rename is handled as
        both. ``anew``: paths that may be other folders than before though they look the same."""
        changed = sorted(path for path in paths | anew if path not in self.folders.roots)
        deaf: list[Folder] = []
        for path in changed:
            folder = self.folders.get(path)
            if folder is not None and (path in anew or not (folder.is_same() and self.folders.hears(folder))):
                self.folders.drop(folder)
            elif folder is not None and not folder.live:
                # A folder that was removed and created again may have the same inode number, and nothing else shows the
                # difference.
                deaf.append(folder)
        for path in changed:
            parent, name = self.folders.get(os.path.dirname(path)), os.path.basename(path)
            if parent is not None and not parent.fresh and parent.entry.recursive and self.folders.get(path) is None:
                folder = self._adopt(parent, name, False)
                if folder is not None:
                    yield from self._scan_whole(folder, True)
        yield from self._walk(deaf, False)

    def _compare(self, folder: Folder, subs: Mapping[str, int], fresh: bool) -> list[Folder]:
        """Drop the subfolders that are not the ones found now, and adopt the new ones; the latter."""
        for name, sub in list(folder.subs.items()):
            # For a mount point a listing shows the inode number of the hidden folder.
            if name not in subs or not sub.is_same(subs[name]):
                self.folders.drop(sub)
        found = [self._adopt(folder, name, fresh) for name in subs if name not in folder.subs]
        return [sub for sub in found if sub is not None]

    def _adopt(self, parent: Folder, name: str, fresh: bool) -> Folder | None:
        folder = self.folders.adopt(parent, name, fresh, self._now)
        if folder is not None and not folder.live:
            self._times[folder.entry.path].poll.wait_until(self._now)
        return folder
