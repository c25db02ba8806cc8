"""Checks the files in watched folders: new ones, changed ones where that counts, and those with a new notify stamp."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from ...common.notify import HOLD, NOTIFY, Stamp, data_name, make_notify, notify_name
from ...common.paths import name_of
from ..platform.creation_time import was_recreated
from .changing_files import ChangingFiles
from .due_files import DueFiles
from .folder import Folder
from .folder_scans import FolderScan
from .hold_files import HoldFiles
from .missed_events import MissedEvents
from .rechecks import Rechecks
from .settle_queue import SettleQueue, quiet_secs
from .stamps import Stamps
from .watched_entries import WatchedEntries


class FolderFiles:
    """A file in a folder goes from here to ``due``, or first to ``settling``, ``hold_files`` or ``rechecks``. ``changing``: the
    files with an entry of their own, by which they settle. ``missed``: where a new file is noted that had no event.
    ``since_ns``: a file whose ctime is later is read at the first scan of its folder, though its stamp is the same.
    ``is_unmounted``: whether a file is on a missing disk. ``now`` is in monotonic seconds, ``wall`` in nanoseconds since the
    epoch."""

    def __init__(
        self,
        entries: WatchedEntries,
        changing: ChangingFiles,
        stamps: Stamps,
        due: DueFiles,
        settling: SettleQueue,
        hold_files: HoldFiles,
        rechecks: Rechecks,
        missed: MissedEvents,
        since_ns: int | None,
        is_unmounted: Callable[[str], bool],
    ) -> None:
        self._entries = entries
        self._changing = changing
        self._stamps = stamps
        self._due = due
        self._settling = settling
        self._hold_files = hold_files
        self._rechecks = rechecks
        self._missed = missed
        self._since_ns = since_ns
        self._is_unmounted = is_unmounted
        self._gone: list[str] = []
        self._lost: list[str] = []

    def gone(self) -> list[str]:
        """Data files that left a watched folder, with their notify files, since the last call."""
        gone, self._gone = self._gone, []
        return [path for path in gone if not self._entries.is_listed(path)]

    def lost(self) -> list[str]:
        """Data files that were due and went with their folder before they could be copied, since the last call."""
        lost, self._lost = self._lost, []
        return lost

    # -- what is checked --------------------------------------------------------------------------------------

    def check_scan(self, scan: FolderScan, now: float, wall: int) -> None:
        """Check what the scan of a whole folder has found."""
        folder, listing, fresh = scan
        for name in listing.new:
            self._missed.found(folder.names.join(name), now)
        for name in listing.odd:
            self._check_data(folder, name, False, fresh, now, wall)
        for name in listing.held:
            self._check_hold(folder, name, now)
        for name in listing.notified:
            self.check_notify(folder, name, wall)
        self._note_gone(map(folder.names.join, listing.gone))

    def check_path(self, path: str, created: bool, now: float, wall: int, event: bool) -> None:
        """Check the path of a data, notify or hold file that had an ``event``, or is to be checked again."""
        folder, name = self._entries.folder_of(path), name_of(path)
        if folder is None or folder.fresh:
            return
        if name.endswith(NOTIFY):
            self.check_notify(folder, data_name(name), wall)
        elif name.endswith(HOLD):
            self._check_hold(folder, data_name(name), now)
        elif folder.names.is_data(name):
            self._check_data(folder, name, created, False, now, wall, event)

    def check_notify(self, folder: Folder, name: str, wall: int) -> None:
        """Make a data file due whose notify file has a new stamp; ``name``: that of the data file."""
        path = folder.names.join(name)
        notify = notify_name(path)
        stamp = self._stamps.of(notify)
        if stamp is not None and stamp == self._stamps.handled(notify):
            folder.known.set_calm(notify_name(name), stamp)
            return
        if not name or stamp is None or not folder.names.is_data(name, named=True):
            return
        self._settling.drop(path)
        source = self._stamps.of(path)
        if source is not None:
            folder.known.note(name, source.inode)
        self._due.add(path, folder.index, stamp, "notify", wall, source)

    def leave(self, folder: Folder) -> None:
        """A subfolder is gone: its files are not due any more. Where it was renamed, all its files are new under the new path."""
        dropped = self._due.drop_in(folder.path)
        self._lost += dropped
        self._gone += dropped
        self._note_gone(map(folder.names.join, folder.known))

    def _note_gone(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self._stamps.source(path) is not None or self._stamps.handled_in_queue(notify_name(path)) is not None:
                self._gone.append(path)

    # -- data files -------------------------------------------------------------------------------------------

    def _check_data(
        self, folder: Folder, name: str, created: bool, fresh: bool, now: float, wall: int, event: bool = False
    ) -> None:
        path = folder.names.join(name)
        seen = self._stamps.of(path)
        if seen is None:
            folder.known.forget(name)
            return
        new = created or seen.inode != folder.known.inode(name)
        folder.known.note(name, seen.inode)
        last = self._stamps.source(path)
        if last is not None and seen == last:
            # Where changes do not count, another file under the same name does.
            reported = event and (created or folder.entry.on_change)
            self._check_same(folder, name, last, seen, reported, fresh, now, wall)
            return
        folder.known.unset_calm(name)
        if fresh:
            age = quiet_secs(seen, wall)
            if age >= folder.entry.settle_secs:
                self.take(folder, path, seen, "start", wall)
            else:
                self._settle(folder, path, seen, now - age, "start", wall)
        elif new or (not folder.entry.on_change and last is not None and was_recreated(path, seen, last)):
            self._settle(folder, path, seen, now, "new", wall)
        elif folder.entry.on_change:
            self._settle(folder, path, seen, now, "change", wall)

    def _check_same(
        self, folder: Folder, name: str, last: Stamp, seen: Stamp, reported: bool, fresh: bool, now: float, wall: int
    ) -> None:
        """Check a file with the stamp of its last snapshot; ``reported``: an event says that it was changed all the same."""
        path = folder.names.join(name)
        folder.known.set_calm(name, last)
        if (
            folder.known.is_changed(name, seen, event=reported, since_ns=self._since_ns if fresh else None)
            and (reported or fresh or folder.entry.on_change or was_recreated(path, seen, last))
            and path not in self._due
        ):
            self._rechecks.read_again(path, folder.index, last, now, 0.0 if fresh else folder.entry.settle_secs)
        elif fresh:
            self._rechecks.doubt(path, folder.index, seen, now, wall)

    def _check_hold(self, folder: Folder, name: str, now: float) -> None:
        if name and folder.names.is_data(name, named=True):
            self._hold_files.check(folder.names.join(name), folder.index, now)

    def _settle(self, folder: Folder, path: str, seen: Stamp, since: float, cause: str, wall: int) -> None:
        if path in self._changing:
            # The file has an entry of its own, by which it settles.
            return
        if path in self._due:
            self._due.note_change(path)
            return
        if folder.entry.settle_secs or self._is_unmounted(path):
            self._settling.put(folder, folder.entry, path, seen, since, cause)
        else:
            # The file need not be quiet, and its stat is recent.
            self.take(folder, path, seen, cause, wall)

    def take(self, folder: Folder, path: str, seen: Stamp, cause: str, wall: int) -> None:
        """Make a file due that is quiet enough, with a notify file where its entry asks for that. ``seen``: its stamp a moment
        ago."""
        self._settling.drop(path)
        notify, created = notify_name(path), False
        if folder.entry.notify_files and cause not in ("change", "recheck"):
            # Where the folder cannot be written, or the name is too long, the file goes without a new notify file.
            with contextlib.suppress(OSError):
                created = make_notify(notify)
        stamp = self._stamps.of(notify)
        if cause == "new" and not created and stamp is not None and stamp != self._stamps.handled(notify):
            cause = "notify"  # the notify file came together with the data file
        self._due.add(path, folder.index, stamp, cause, wall, seen)
