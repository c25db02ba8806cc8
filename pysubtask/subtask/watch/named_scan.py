"""Checks the named files: a new stamp of a notify file makes its data file due, as does a change where every change counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ...common.notify import NOTIFY, Stamp, data_name, notify_name
from ...common.paths import folder_of
from .changing_files import ChangingFiles
from .due_files import DueFiles
from .folder import Folder
from .hold_files import HoldFiles
from .named_files import NamedFiles
from .rechecks import Rechecks
from .settle_queue import SettleQueue, quiet_secs
from .stamps import Stamps
from .watched_entries import WatchedEntries


class NamedScan:
    """A named file goes from here to ``due``, or first to ``settling``, ``hold_files`` or ``rechecks``. ``named_files``: those of
    each folder; ``changing``: those whose every change counts. ``since_ns``: a file whose ctime is later is read at the first scan,
    though its stamp is the same. ``is_unmounted``: whether a file is on a missing disk. ``now`` is in monotonic seconds, ``wall``
    in nanoseconds since the epoch."""

    def __init__(
        self,
        entries: WatchedEntries,
        named_files: Mapping[str, NamedFiles],
        changing: ChangingFiles,
        stamps: Stamps,
        due: DueFiles,
        settling: SettleQueue,
        hold_files: HoldFiles,
        rechecks: Rechecks,
        since_ns: int | None,
        is_unmounted: Callable[[str], bool],
    ) -> None:
        self._entries = entries
        self._named_files = named_files
        self._changing = changing
        self._stamps = stamps
        self._due = due
        self._settling = settling
        self._hold_files = hold_files
        self._rechecks = rechecks
        self._since_ns = since_ns
        self._is_unmounted = is_unmounted
        self._started = False

    def check(self, named_files: NamedFiles, files: Iterable[tuple[int, str]], now: float, wall: int) -> None:
        """Check these files, which lie in one folder."""
        started, bursting, handled, is_calm = self._started, self._entries.bursting, self._stamps.handled, named_files.is_calm
        for index, path in files:
            if not started or path in bursting or not is_calm(path, handled(path + NOTIFY)):
                self._check_notify(named_files, index, path, now, wall)

    def check_changing(self, now: float, everything: bool) -> None:
        """Check the files whose every change counts and whose turn it is; the first scan compares them anyway."""
        if self._started:
            for path in self._changing.turn(now, everything):
                self.check_change(path, now)

    def end_first(self) -> None:
        """The first scan is over: from now on, a file that differs from its last snapshot is not due for that alone."""
        self._started = True

    def check_path(self, path: str, now: float, wall: int, event: bool) -> None:
        """Check the path of a data, notify or hold file that had an ``event``, or is to be checked again."""
        about = data_name(path)
        index = self._entries.named(about) if about != path else None
        if index is not None:
            self._check_notify(self._named_files[folder_of(path)], index, about, now, wall)
        if path in self._changing:
            self.check_change(path, now, event)

    def check_change(self, path: str, now: float, event: bool = False) -> None:
        """Check a named file whose every change counts."""
        if self._is_unmounted(path):
            self._settling.drop(path)
            return
        index, seen = self._entries.index_of(path), self._stamps.of(path)
        if seen is None or seen == self._stamps.source(path):
            self._settling.drop(path)
            if seen is not None and path not in self._due and self._changing.is_changed(path, seen, event=event):
                self._rechecks.read_again(path, index, seen, now, self._entries[index].settle_secs)
        elif path in self._due:
            self._due.note_change(path)
        else:
            self._settling.put(None, self._entries[index], path, seen, now, "change")

    def take_quiet(
        self, folder: Folder | None, index: int, path: str, seen: Stamp, stamp: Stamp | None, now: float, wall: int
    ) -> None:
        """Take a file that nobody has notified: now, if it is quiet, else when it has settled. ``folder``: that of a file that is
        not named; ``seen``: its stamp, ``stamp``: that of its notify file."""
        age, entry = quiet_secs(seen, wall), self._entries[index]
        if age >= entry.settle_secs:
            self._due.add(path, index, stamp, "start", wall)
        else:
            self._settling.put(folder, entry, path, seen, now - age, "start")

    def _check_notify(self, named_files: NamedFiles, index: int, path: str, now: float, wall: int) -> None:
        if self._is_unmounted(path):
            named_files.check_soon(now)
            return
        if path in self._entries.bursting:
            self._hold_files.check(path, index, now)
        notify = notify_name(path)
        try:
            stamp = self._stamps.read(notify)
        except OSError:
            # The notify file is read again soon, without an event.
            stamp = None
            named_files.check_soon(now)
        named_files.note_link(index, path, stamp is not None)
        if stamp is not None and stamp != self._stamps.handled(notify):
            self._due.add(path, index, stamp, "notify", wall)
        elif not self._started:
            self._check_at_start(index, path, stamp, now, wall)

    def _check_at_start(self, index: int, path: str, stamp: Stamp | None, now: float, wall: int) -> None:
        seen, last = self._stamps.of(path), self._stamps.source(path)
        if seen is not None and seen != last:
            self.take_quiet(None, index, path, seen, stamp, now, wall)
        elif last is not None and seen is not None and self._changing.is_changed(path, seen, since_ns=self._since_ns):
            self._rechecks.read_again(path, index, last, now, 0.0)
        elif last is not None:
            self._rechecks.doubt(path, index, last, now, wall)
