"""Which watched files are due: those with a new notify stamp, or changed where that counts, and what is new or changed in
watched folders.

Everything here runs on the main thread of the child. File events only say which files to check and when; whether a file is due is
always decided by its stat, so a lost event costs time and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...common.entries import Entry
from ...common.never_sent import NONE, NeverSent
from ...common.notify import Stamp
from ...common.paths import folder_of
from ...common.place import real_path
from ..platform.change_times import missed_since, read_seen
from .changing_files import ChangingFiles
from .due import RESIDUAL as RESIDUAL
from .due import Due as Due
from .due import Known as Known
from .due_files import DueFiles
from .event_inbox import NewEvents
from .folder_files import FolderFiles
from .folder_scans import FolderScans
from .folders import Folders
from .hold_files import HoldFiles
from .missed_events import MissedEvents
from .named_files import by_folder
from .named_scan import NamedScan
from .rechecks import Rechecks
from .settle_queue import SettleQueue
from .snapshot_follow_up import SnapshotFollowUp
from .stamps import Stamps
from .timed_files import TimedFiles
from .unmounted_folders import UnmountedFolders
from .watch_report import WatchReport
from .watched_entries import WatchedEntries, bursting_files


class Watcher:
    """Finds the due files of ``entries``.

    The child takes due files by three methods: :meth:`scan` gives them, each until :meth:`done` says that its snapshot is
    durable, and :meth:`next_at` says when to scan though no event comes. A touch of a notify file becomes a due file so:

        touch -> event (``inotify.py``) -> ``event_inbox.py``, which wakes the main thread -> :meth:`scan`
        -> the notify file has a new stamp (``named_scan.py`` for a named file, ``folder_files.py`` for one in a folder)
        -> ``due_files.py`` -> the result of :meth:`scan` -> snapshot, queue -> :meth:`done` -> ``snapshot_follow_up.py``

    Without an event the same checks are made by the timer (``folder_scans.py``). Files that first have to settle, are held by a
    burst or must be rechecked become due in ``timed_files.py``.

    ``skip``: absolute paths: a folder with such a path is not watched (``ignored`` has the index of an entry for one), a file
    with such a path is no data. ``nested``: the same, but an entry for such a folder is watched. ``own``: this program's own
    files, which are no data. ``wake`` is called from another thread when a scan is worth while.
    ``mode`` is 'events' or 'polling', ``mode_reason`` says why it is polling. ``longest_hold``: seconds a burst may hold
    data back. ``last_sign``: when the last child wrote its page last (seconds since the epoch), None where that is not known: a
    file whose ctime is later is read, though its stamp is the same. ``unmounted``: which folders have lost their disk.
    ``file_events``: those of the whole child, None where it has none; ``report``: what the status page says of files that wait.
    ``stat``, ``wall`` (nanoseconds since the epoch) and ``timer`` (seconds) are for tests.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        known: Known,
        skip: Sequence[str],
        wake: Callable[[], None],
        use_events: bool = True,
        *,
        nested: Sequence[str] = (),
        longest_hold: float = 5.0,
        last_sign: float | None = None,
        stat: Callable[[str], Stamp | None] = read_seen,
        wall: Callable[[], int] = time.time_ns,
        timer: Callable[[], float] = time.monotonic,
        own: NeverSent = NONE,
        unmounted: UnmountedFolders | None = None,
    ) -> None:
        is_unmounted = _never if unmounted is None else unmounted.is_gone
        since_ns = missed_since(last_sign)
        stamps, settling, rechecks, self._missed = Stamps(known, stat), SettleQueue(), Rechecks(), MissedEvents()
        hold_files = HoldFiles(longest_hold, stamps.of, stamps.handled)
        named_files = by_folder(entries, bursting_files(entries), settling.__contains__)
        folders = Folders(entries, skip, nested, named_files, own)
        watched = WatchedEntries(entries, folders)
        changing = ChangingFiles(_changing(entries, {real_path(path) for path in (*skip, *nested)}), timer)
        self._due = DueFiles(watched, stamps, hold_files, changing, is_unmounted)
        waits = (self._due, settling, hold_files, rechecks)
        self._named = NamedScan(watched, named_files, changing, stamps, *waits, since_ns, is_unmounted)
        self._folder_files = FolderFiles(watched, changing, stamps, *waits, self._missed, since_ns, is_unmounted)
        self._timed = TimedFiles(watched, self._named, self._folder_files, stamps, *waits, own, is_unmounted)
        self._follow_up = SnapshotFollowUp(watched, stamps, self._due, self._named, changing, rechecks)
        self.file_events = folders.listen(wake) if use_events else None
        self._scans = FolderScans(folders, named_files, self.file_events, is_unmounted, timer)
        self.report = WatchReport(settling, folders)
        self._wall = wall
        self.mode, self.mode_reason = "polling", "file events are switched off"

    @property
    def ignored(self) -> tuple[int, ...]:
        """The indices of the entries that are not watched, as they are for folders of this program."""
        return self._scans.folders.ignored

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the file events, as far as the platform has them."""
        if self.file_events is not None:
            self.file_events.start()
            self.mode, self.mode_reason = self.file_events.mode()

    def stop(self) -> None:
        """End the threads of the file events; scans go on without them."""
        if self.file_events is not None:
            self.file_events.stop()

    # -- due files, for the child -----------------------------------------------------------------------------

    def scan(self, now: float, *, everything: bool = False) -> list[Due]:
        """The due files at ``now`` (monotonic seconds), each path once; the same ones again until :meth:`done`.

        ``everything``: also the files that still settle, without those just being written, for the last scan before the end.
        """
        new = self.file_events.take() if self.file_events is not None else NewEvents({}, set(), False)
        self._missed.heard(new.paths, new.lost)
        wall = self._wall()
        checks = self._follow_up.take_checks()
        for path, created in new.paths.items():
            checks[path] = created or checks.get(path, False)
        self._follow_up.follow_up(now, wall, checks)
        self._scans.begin(now, new)
        for named_files, files in self._scans.due_named_files(everything):
            self._named.check(named_files, files, now, wall)
        self._named.check_changing(now, everything or new.lost)
        for scan in self._scans.due_scans(new, everything):
            self._folder_files.check_scan(scan, now, wall)
        for folder in self._scans.folders.dropped():
            self._folder_files.leave(folder)
        for path, created in checks.items():
            event = path in new.paths
            self._named.check_path(path, now, wall, event)
            self._folder_files.check_path(path, created, now, wall, event)
        self._timed.collect(now, wall, everything)
        self._named.end_first()
        self._check_mode(now)
        return self._due.ready()

    def _check_mode(self, now: float) -> None:
        """Find out whether the events still report every change."""
        if self.file_events is not None:
            late = self._missed.overdue(now)
            if late is not None:
                self.file_events.do_not_tell(folder_of(late))
            self.mode, self.mode_reason = self.file_events.mode()

    def done(self, due: Due) -> None:
        """A snapshot of this file is durable and known, or the file was given up: its stamp counts as handled."""
        self._follow_up.done(due, self._wall())

    def next_at(self, now: float) -> float | None:
        """When the next file becomes due by itself (monotonic seconds), or None; ``now`` at the earliest."""
        wall = self._wall()
        # What follows from snapshots is handled here, so that not each snapshot costs one more scan.
        if self._follow_up.has_checks(now, wall):
            return now
        at = self._timed.next_at(now, wall)
        return None if at is None else max(now, at)

    def last_scan_at(self) -> float | None:
        """When all settling files are quiet enough for the last scan before an end (monotonic seconds); None where none
        settles."""
        return self._timed.last_scan_at()

    # -- what the child tells and asks besides ----------------------------------------------------------------

    def offer(self, paths: Sequence[str]) -> None:
        """Have files that no entry watches snapshotted once, where they differ from their last snapshot."""
        self._timed.offer(paths)

    def take_again(self, path: str, now: float) -> None:
        """Have a file snapshotted again whose snapshot is lost, as soon as it is quiet."""
        self._timed.take_again(path, now, self._wall())

    def mounted(self) -> None:
        """A disk was mounted or unmounted."""
        self._scans.mounted()

    def gone(self) -> list[str]:
        """Data files that left a watched folder, with their notify files, since the last call."""
        return self._folder_files.gone()

    def lost(self) -> list[str]:
        """Data files that were due and went with their folder before they could be copied, since the last call."""
        return self._folder_files.lost()


def _changing(entries: Sequence[Entry], ours: set[str]) -> list[str]:
    """The named files whose every change counts, without those in ``ours``: a log of this program that is sent after each change
    would be sent for ever, as each delivery writes a line to it."""
    named = {entry.path: entry for entry in entries if entry.kind == "file"}
    return [path for path, entry in named.items() if entry.on_change and real_path(path) not in ours]


def _never(path: str) -> bool:
    return False
