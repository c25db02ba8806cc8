"""Files that become due by time: those that have settled, whose burst is over, that were offered, or that must be rechecked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...common.never_sent import NeverSent
from ...common.notify import notify_name
from ...common.paths import name_of
from .due import RESIDUAL
from .due_files import DueFiles
from .folder_files import FolderFiles
from .hold_files import HoldFiles
from .named_scan import NamedScan
from .rechecks import Recheck, Rechecks
from .settle_queue import LAST_SCAN_SECS, SettleQueue, SettlingFile, quiet_secs
from .stamps import Stamps
from .watched_entries import WatchedEntries


class TimedFiles:
    """Takes files out of ``settling``, ``hold_files`` and ``rechecks`` when it is time, and makes them ``due`` if they still are as
    they should be. ``own``: this program's own files, which are no data. ``is_unmounted``: whether a file is on a missing disk.
    ``now`` is in monotonic seconds, ``wall`` in nanoseconds since the epoch."""

    def __init__(
        self,
        entries: WatchedEntries,
        named: NamedScan,
        folder_files: FolderFiles,
        stamps: Stamps,
        due: DueFiles,
        settling: SettleQueue,
        hold_files: HoldFiles,
        rechecks: Rechecks,
        own: NeverSent,
        is_unmounted: Callable[[str], bool],
    ) -> None:
        self._entries = entries
        self._named = named
        self._folder_files = folder_files
        self._stamps = stamps
        self._due = due
        self._settling = settling
        self._hold_files = hold_files
        self._rechecks = rechecks
        self._own = own
        self._is_unmounted = is_unmounted
        self._offered: list[str] = []

    def offer(self, paths: Sequence[str]) -> None:
        """Have files that no entry watches snapshotted once, where they differ from their last snapshot."""
        self._offered += paths

    def take_again(self, path: str, now: float, wall: int) -> None:
        """Have a file snapshotted again whose snapshot is lost, as soon as it is quiet."""
        index, seen, stamp = self._entries.index_of(path), self._stamps.of(path), self._stamps.of(notify_name(path))
        if seen is None or index == RESIDUAL:
            self._due.add(path, index, stamp, "start", wall)
        else:
            folder = self._entries.folder_of(path) if self._entries.named(path) is None else None
            self._named.take_quiet(folder, index, path, seen, stamp, now, wall)

    def collect(self, now: float, wall: int, everything: bool) -> None:
        """Make the files due whose time has come; ``everything``: also the others, without those just being written."""
        for path, found in self._settling.settled(now, everything):
            self._collect_settled(path, found, now, wall, everything)
        for path, hold_file in self._hold_files.due(now, wall, everything).items():
            self._due.add(path, hold_file.entry_index, self._stamps.of(notify_name(path)), "hold", wall)
        self._collect_offered(now, wall, everything)
        for path, recheck, early in self._rechecks.take(now, everything):
            self._recheck(path, recheck, early, now, wall, everything)

    def next_at(self, now: float, wall: int) -> float | None:
        """When the next file becomes due by itself (monotonic seconds); None where none does."""
        times = (
            self._rechecks.next_at(),
            self._settling.next_at(),
            self._hold_files.next_at(now, wall),
            now if self._offered else None,
        )
        return min((at for at in times if at is not None), default=None)

    def last_scan_at(self) -> float | None:
        """When all settling files are quiet enough for the last scan before an end (monotonic seconds); None where none
        settles."""
        return self._settling.last_scan_at()

    def _collect_settled(self, path: str, found: SettlingFile, now: float, wall: int, everything: bool) -> None:
        if self._is_unmounted(path):
            self._settling.drop(path)
            return
        seen = self._stamps.of(path)
        name, folder = name_of(path), found.folder
        if folder is not None and (seen is None or self._entries.folder_of(path) is not folder or not folder.names.is_data(name)):
            self._settling.drop(path)
            folder.known.forget(name)
        elif seen is None:
            self._settling.drop(path)
        elif seen != found.seen and found.entry.settle_secs and now < found.taken_at:
            self._settling.put(folder, found.entry, path, seen, now, found.cause)
        elif everything and not found.may_go_early(now, quiet_secs(seen, wall)):
            return
        elif folder is not None:
            folder.known.note(name, seen.inode)
            self._folder_files.take(folder, path, seen, found.cause, wall)
        else:
            self._settling.drop(path)
            # A file that a burst holds back is sent when the burst is over, with this change in it.
            if seen != self._stamps.source(path) and (path not in self._hold_files or everything):
                stamp = self._stamps.of(notify_name(path))
                self._due.add(path, self._entries.index_of(path), stamp, found.cause, wall, seen)

    def _collect_offered(self, now: float, wall: int, everything: bool) -> None:
        offered, self._offered = self._offered, []
        for path in offered:
            if self._own.why(path):
                continue
            seen = self._stamps.of(path)
            if seen is None or seen == self._stamps.source(path):
                continue
            index = self._entries.index_of(path)
            if everything or quiet_secs(seen, wall) >= LAST_SCAN_SECS:
                self._due.add(path, index, None, "start", wall)
            else:
                self._rechecks.put(path, Recheck(now + LAST_SCAN_SECS, seen, True, index))

    def _recheck(self, path: str, recheck: Recheck, early: bool, now: float, wall: int, everything: bool) -> None:
        folder = self._entries.folder_of(path)
        if folder is not None:
            self._folder_files.check_notify(folder, name_of(path), wall)
        seen = self._stamps.of(path)
        if path in self._due or path in self._settling or seen is None or (seen == recheck.source and not recheck.unseen):
            return
        if folder is not None and not folder.names.is_data(name_of(path), named=True):
            return
        is_watched = folder is not None or self._entries.named(path) is not None
        if seen != recheck.source and recheck.entry_index == RESIDUAL and not everything:
            self._rechecks.put(path, recheck._replace(at=now + LAST_SCAN_SECS, source=seen))
        elif seen != recheck.source and not everything and is_watched:
            # The file was changed since, and may still be being written. Where its folder is gone, the copy will report
            # that.
            entry = self._entries[recheck.entry_index]
            self._settling.put(folder, entry, path, seen, now - quiet_secs(seen, wall), "recheck")
        else:
            if not early:
                self._rechecks.note_checked(path, recheck.source)
            self._due.add(path, recheck.entry_index, self._stamps.of(notify_name(path)), "recheck", wall, seen)
