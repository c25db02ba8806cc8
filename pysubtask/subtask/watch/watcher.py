"""Which watched files are due: those with a new notify stamp, or changed where that counts, and what is new or changed in
watched folders.

Everything here runs on the main thread of the child. File events only say which files to check and when; whether a file is due is
always decided by its stat, so a lost event costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, NamedTuple

from ...common.clock import is_plausible
from ...common.entries import Entry
from ...common.never_sent import NONE, NeverSent
from ...common.notify import HOLD, NOTIFY, Stamp, data_name, hold_name, make_notify, notify_name
from ...common.paths import folder_of, name_of
from ...common.place import real_path
from ..platform.change_times import ctime_of, is_changed, missed_since, read_seen
from ..platform.creation_time import was_recreated
from ..platform.timestamp_granularity import again, undecided
from .candidate import RESIDUAL as RESIDUAL
from .candidate import Due as Due
from .candidate import Known as Known
from .changing_files import Changing
from .disks import Disks
from .file_events import Taken
from .folder import Folder, Listing
from .folders import Folders
from .hold_files import HoldFiles
from .missed_events import Unheard
from .named_files import NamedFiles, by_folder
from .settle_queue import LAST_SCAN_SECS, Settling

_MOST_LISTED = 10


class _Recheck(NamedTuple):
    at: float
    source: Stamp | None
    unseen: bool
    entry_index: int


class Watch:
    """Finds the due files of ``entries``.

    ``skip``: absolute paths: a folder with such a path is not watched (``ignored`` has the index of an entry for one), a file
    with such a path is no data. ``nested``: the same, but an entry for such a folder is watched. ``own``: this program's own
    files, which are no data. ``wake`` is called from another thread when a scan is worth while.
    ``mode`` is 'events' or 'polling', ``mode_reason`` says why it is polling. ``longest_hold``: seconds a burst may hold
    data back. ``last_sign``: when the last child wrote its page last (seconds since the epoch), None where that is not known: a
    file whose ctime is later is read, though its stamp is the same.
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
        disks: Disks | None = None,
    ) -> None:
        self._disks = disks
        self._own = own
        self.mode = "polling"
        self.mode_reason = "file events are switched off"
        self._known = known
        self._stat_of = stat
        self._wall = wall
        self._static_of = {entry.path: index for index, entry in enumerate(entries) if entry.kind == "file"}
        self._bursting = {entry.path for entry in entries if entry.kind == "file" and entry.burstmode}
        self._entries = entries
        self._settling = Settling()
        self._named_files = by_folder(entries, self._bursting, self._settling.__contains__)
        ours = {real_path(path) for path in (*skip, *nested)}
        # A log of this program that is sent after each change would be sent for ever, as each delivery writes a line to it.
        self._changing = Changing(
            {path: index for path, index in self._static_of.items() if entries[index].on_change and real_path(path) not in ours},
            timer,
        )
        self._hold_files = HoldFiles(longest_hold, self._stat, self._handled_stamp)
        self._folders = Folders(entries, skip, nested, self._named_files, timer, own, disks)
        self.ignored = self._folders.ignored
        self._events = self._folders.listen(wake) if use_events else None
        self._started = False
        self._since_ns = missed_since(last_sign)
        self._ctimes: dict[str, int] = {}
        self._unheard = Unheard()
        self._reported: Container[str] = ()
        self._handled: dict[str, Stamp] = {}
        self._due: dict[str, Due] = {}
        self._due_since: dict[str, int] = {}
        self._changed_while_due: set[str] = set()
        self._done: list[tuple[Due, int]] = []
        self._due_checks: dict[str, bool] = {}
        self._rechecks: dict[str, _Recheck] = {}
        self._checked: dict[str, Stamp | None] = {}
        self._gone: list[str] = []
        self._lost: list[str] = []
        self._offered: list[str] = []

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the file events, as far as the platform has them."""
        if self._events is not None:
            self._events.start()
            self.mode, self.mode_reason = self._events.mode()

    def stop(self) -> None:
        """End the threads of the file events; scans go on without them."""
        if self._events is not None:
            self._events.stop()

    def gone(self) -> list[str]:
        """Data files that left a watched folder, with their notify files, since the last call."""
        gone, self._gone = self._gone, []
        return [path for path in gone if not self._is_listed(path)]

    def lost(self) -> list[str]:
        """Data files that were due and went with their folder before they could be copied, since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def _is_listed(self, path: str) -> bool:
        """Whether a file exists again, in a folder that was created again."""
        folder = self._folders.of(path)
        return folder is not None and bool(folder.names.get(name_of(path)))

    def offer(self, paths: Sequence[str]) -> None:
        """Have files that no entry watches snapshotted once, where they differ from their last snapshot."""
        self._offered += paths

    def take_again(self, path: str, now: float) -> None:
        """Have a file snapshotted again whose snapshot is lost, as soon as it is quiet."""
        index, folder, seen, wall = self.index_of(path), self._folders.of(path), self._stat(path), self._wall()
        stamp = self._stat(notify_name(path))
        if seen is None or index == RESIDUAL:
            self._add(path, index, stamp, "start", wall)
        else:
            self._take_quiet(None if path in self._static_of else folder, index, path, seen, stamp, now, wall)

    def index_of(self, path: str) -> int:
        """The entry a data file belongs to, or RESIDUAL."""
        folder = self._folders.of(path)
        return self._static_of.get(path, RESIDUAL if folder is None else folder.index)

    # -- the scan ---------------------------------------------------------------------------------------------

    def scan(self, now: float, *, everything: bool = False) -> list[Due]:
        """The due files at ``now`` (monotonic seconds), each path once; the same ones again until :meth:`done`.

        ``everything``: also the files that still settle, without those just being written, for the last scan before the end.
        """
        taken = self._events.take() if self._events is not None else Taken({}, set(), False)
        self._unheard.heard(taken.paths, taken.lost)
        self._reported = taken.paths
        wall = self._wall()
        checks, self._due_checks = self._due_checks, {}
        for path, created in taken.paths.items():
            checks[path] = created or checks.get(path, False)
        self._after_done(now, wall, checks)
        self._folders.refresh_watches(now, taken)
        for named_files, files in self._folders.due_named_files(everything):
            for index, path in files:
                if not self._started or path in self._bursting or not named_files.is_calm(path, self._handled_stamp(path + NOTIFY)):
                    self._check_named(named_files, index, path, now, wall)
        if self._started:
            for path in self._changing.turn(now, everything or taken.lost):
                self._check_change(path, now)
        for folder, listing, fresh in self._folders.due_scans(taken, everything):
            self._check_listing(folder, listing, fresh, now, wall)
        for folder in self._folders.dropped():
            self._leave(folder)
        for path, created in checks.items():
            self._check_path(path, created, now, wall, path in taken.paths)
        self._collect_settled(now, wall, everything)
        for path, hold_file in self._hold_files.due(now, wall, everything).items():
            self._add(path, hold_file.entry_index, self._stat(notify_name(path)), "hold", wall)
        self._check_offered(now, wall, everything)
        self._recheck(now, wall, everything)
        self._started = True
        if self._events is not None:
            late = self._unheard.overdue(now)
            if late is not None:
                self._events.do_not_tell(folder_of(late))
            self.mode, self.mode_reason = self._events.mode()
        return [due for path, due in self._due.items() if not self._is_gone(path)]

    def mounted(self) -> None:
        """A disk was mounted or unmounted."""
        self._folders.mounted()

    def _is_gone(self, path: str) -> bool:
        return self._disks is not None and self._disks.is_gone(path)

    def done(self, due: Due) -> None:
        """A snapshot of this file is durable and known, or the file was given up: its stamp counts as handled."""
        pending = self._due.pop(due.path, None)
        since = self._due_since.pop(due.path, self._wall())
        if due.stamp is not None:
            self._handled[notify_name(due.path)] = due.stamp
        if due.hold is not None:
            self._handled[hold_name(due.path)] = due.hold
        if pending is not None and pending.stamp is not None and pending.stamp != due.stamp:
            self._due_checks[notify_name(due.path)] = False
        if due.path in self._changed_while_due:
            self._changed_while_due.remove(due.path)
            self._due_checks[due.path] = True
        self._done.append((due, since))

    def never_quiet(self, now: float) -> list[dict[str, Any]]:
        """The first of the files that have waited for long because they are never quiet for ``settle_secs``, for the status page:
        ``path``, ``for_secs`` in whole tens, ``settle_secs``, and ``goes``: whether the file is snapshotted all the same now and
        then."""
        found = self._settling.never_quiet(now)[:_MOST_LISTED]
        return [
            {
                "path": path,
                "for_secs": int((now - one.first) // 10 * 10),
                "settle_secs": one.entry.settle_secs,
                "goes": one.goes_anyway,
            }
            for path, one in found
        ]

    def last_scan_at(self) -> float | None:
        """When all settling files are quiet enough for the last scan before an end (monotonic seconds); None where none
        settles."""
        return self._settling.last_scan_at()

    def settling(self, now: float) -> tuple[list[dict[str, Any]], int]:
        """The first of the files that wait until they are quiet for ``settle_secs``, for the status page (``path``,
        ``settle_secs``), and how many others."""
        found = self._settling.waiting(now)
        rows = [{"path": path, "settle_secs": one.entry.settle_secs} for path, one in found[:_MOST_LISTED]]
        return rows, len(found) - len(rows)

    def left_out(self) -> tuple[list[dict[str, Any]], int]:
        """The first of the files in watched folders that are left out (``path``, ``why``), and how many others."""
        rows, more = self._folders.left_out()
        return [left._asdict() for left in rows], more

    def next_at(self, now: float) -> float | None:
        """When the next file becomes due by itself (monotonic seconds), or None; ``now`` at the earliest."""
        # Handled here, so that not each snapshot costs one more scan.
        self._after_done(now, self._wall(), self._due_checks)
        times = [found.at for found in self._rechecks.values()]
        times += [at for at in (self._settling.next_at(), self._hold_files.next_at(now, self._wall())) if at is not None]
        if self._due_checks or self._offered:
            times.append(now)
        return max(now, min(times)) if times else None

    # -- files that were named --------------------------------------------------------------------------------

    def _check_named(self, named_files: NamedFiles, index: int, path: str, now: float, wall: int) -> None:
        if self._is_gone(path):
            named_files.unread, named_files.next_scan = True, now
            return
        if path in self._bursting:
            self._hold_files.check(path, index, now)
        notify = notify_name(path)
        try:
            stamp = self._stat_of(notify)
        except OSError:
            # The notify file is read again soon, without an event.
            stamp, named_files.unread, named_files.next_scan = None, True, now
        if named_files.live and stamp is not None and os.path.islink(notify):
            named_files.linked[path] = index
        elif named_files.linked:
            named_files.linked.pop(path, None)
        if stamp is not None and stamp != self._handled_stamp(notify):
            self._add(path, index, stamp, "notify", wall)
        elif not self._started:
            seen, last = self._stat(path), self._known.source(path)
            if seen is not None and seen != last:
                self._take_quiet(None, index, path, seen, stamp, now, wall)
            elif last is not None and seen is not None and is_changed(self._ctimes, path, seen, since_ns=self._since_ns):
                self._read_again(path, index, last, now, 0.0)
            elif last is not None:
                self._doubt(path, index, last, now, wall)

    def _take_quiet(
        self, folder: Folder | None, index: int, path: str, seen: Stamp, stamp: Stamp | None, now: float, wall: int
    ) -> None:
        """Take a file that nobody has notified: now, if it is quiet, else when it has settled."""
        age, entry = _quiet_for(seen, wall), self._entries[index]
        if age >= entry.settle_secs:
            self._add(path, index, stamp, "start", wall)
        else:
            self._settling.put(folder, entry, path, seen, now - age, "start")

    def _check_change(self, path: str, now: float, event: bool = False) -> None:
        """Check a named file whose every change counts."""
        if self._is_gone(path):
            self._settling.drop(path)
            return
        seen = self._stat(path)
        if seen is None or seen == self._known.source(path):
            self._settling.drop(path)
            index = self._changing.files[path]
            if seen is not None and path not in self._due and is_changed(self._ctimes, path, seen, event=event):
                self._read_again(path, index, seen, now, self._entries[index].settle_secs)
        elif path in self._due:
            self._changed_while_due.add(path)
        else:
            self._settling.put(None, self._entries[self._changing.files[path]], path, seen, now, "change")

    def _check_offered(self, now: float, wall: int, everything: bool) -> None:
        offered, self._offered = self._offered, []
        for path in offered:
            if self._own.why(path):
                continue
            seen = self._stat(path)
            if seen is None or seen == self._known.source(path):
                continue
            if everything or _quiet_for(seen, wall) >= LAST_SCAN_SECS:
                self._add(path, self.index_of(path), None, "start", wall)
            else:
                self._rechecks[path] = _Recheck(now + LAST_SCAN_SECS, seen, True, self.index_of(path))

    # -- folders ----------------------------------------------------------------------------------------------

    def _check_listing(self, folder: Folder, listing: Listing, fresh: bool, now: float, wall: int) -> None:
        """Handle the result of the scan of a whole folder."""
        for name in listing.new:
            if (path := folder.join(name)) not in self._reported:
                self._unheard.found(path, now)
        for name in listing.odd:
            self._check_data(folder, name, False, fresh, now, wall)
        for name in listing.held:
            self._check_hold(folder, name, now)
        for name in listing.notified:
            self._check_notify(folder, name, wall)
        self._note_gone(map(folder.join, listing.gone))

    def _note_gone(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self._known.source(path) is not None or self._known.handled(notify_name(path)) is not None:
                self._gone.append(path)

    def _leave(self, folder: Folder) -> None:
        """A subfolder is gone: its files are not due any more. Where it was renamed, all its files are new under the new path."""
        for path in [path for path in self._due if folder_of(path) == folder.path and path not in self._static_of]:
            if not self._is_listed(path):
                self._lost.append(path)
                del self._due[path], self._due_since[path]
                self._changed_while_due.discard(path)
                self._gone.append(path)
        self._note_gone(map(folder.join, folder.names))

    def _check_path(self, path: str, created: bool, now: float, wall: int, event: bool) -> None:
        """Check one path that had an ``event``, or is to be checked again."""
        about = data_name(path)
        index = self._static_of.get(about) if about != path else None
        if index is not None:
            self._check_named(self._named_files[folder_of(path)], index, about, now, wall)
        if path in self._changing.files:
            self._check_change(path, now, event)
        folder, name = self._folders.of(path), name_of(path)
        if folder is None or folder.fresh:
            return
        if name.endswith(NOTIFY):
            self._check_notify(folder, data_name(name), wall)
        elif name.endswith(HOLD):
            self._check_hold(folder, data_name(name), now)
        elif folder.is_data(name):
            self._check_data(folder, name, created, False, now, wall, event)

    def _check_data(
        self, folder: Folder, name: str, created: bool, fresh: bool, now: float, wall: int, event: bool = False
    ) -> None:
        path = folder.join(name)
        seen = self._stat(path)
        if seen is None:
            folder.forget(name)
            return
        new = created or seen.inode != folder.names.get(name)
        folder.names[name] = seen.inode
        last = self._known.source(path)
        if last is not None and seen == last:
            folder.calm[name] = last
            # Where changes do not count, another file under the same name does.
            reported = event and (created or folder.entry.on_change)
            changed = is_changed(folder.ctimes, name, seen, event=reported, since_ns=self._since_ns if fresh else None)
            if (
                changed
                and (reported or fresh or folder.entry.on_change or was_recreated(path, seen, last))
                and path not in self._due
            ):
                self._read_again(path, folder.index, last, now, 0.0 if fresh else folder.entry.settle_secs)
            elif fresh:
                self._doubt(path, folder.index, seen, now, wall)
            return
        folder.calm.pop(name, None)
        if fresh:
            age = _quiet_for(seen, wall)
            if age >= folder.entry.settle_secs:
                self._take(folder, path, seen, "start", wall)
            else:
                self._settle(folder, path, seen, now - age, "start", wall)
        elif new or (not folder.entry.on_change and last is not None and was_recreated(path, seen, last)):
            self._settle(folder, path, seen, now, "new", wall)
        elif folder.entry.on_change:
            self._settle(folder, path, seen, now, "change", wall)

    def _check_notify(self, folder: Folder, name: str, wall: int) -> None:
        path = folder.join(name)
        notify = notify_name(path)
        stamp = self._stat(notify)
        if stamp is not None and stamp == self._handled_stamp(notify):
            folder.calm[notify_name(name)] = stamp
            return
        if not name or stamp is None or not folder.is_data(name, named=True):
            return
        self._settling.drop(path)
        source = self._stat(path)
        if source is not None:
            folder.names[name] = source.inode
        self._add(path, folder.index, stamp, "notify", wall, source)

    def _check_hold(self, folder: Folder, name: str, now: float) -> None:
        if name and folder.is_data(name, named=True):
            self._hold_files.check(folder.join(name), folder.index, now)

    def _settle(self, folder: Folder, path: str, seen: Stamp, since: float, cause: str, wall: int) -> None:
        if path in self._changing.files:
            # The file has an entry of its own, by which it settles.
            return
        if path in self._due:
            self._changed_while_due.add(path)
            return
        if folder.entry.settle_secs or self._is_gone(path):
            self._settling.put(folder, folder.entry, path, seen, since, cause)
        else:
            # The file need not be quiet, and its stat is recent.
            self._take(folder, path, seen, cause, wall)

    def _collect_settled(self, now: float, wall: int, everything: bool) -> None:
        for path, found in self._settling.settled(now, everything):
            if self._is_gone(path):
                self._settling.drop(path)
                continue
            seen = self._stat(path)
            name, folder = name_of(path), found.folder
            if folder is not None and (seen is None or self._folders.of(path) is not folder or not folder.is_data(name)):
                self._settling.drop(path)
                folder.forget(name)
            elif seen is None:
                self._settling.drop(path)
            elif seen != found.seen and found.entry.settle_secs and now < found.taken_at:
                self._settling.put(folder, found.entry, path, seen, now, found.cause)
            elif everything and not found.may_go_early(now, _quiet_for(seen, wall)):
                continue
            elif folder is not None:
                folder.names[name] = seen.inode
                self._take(folder, path, seen, found.cause, wall)
            else:
                self._settling.drop(path)
                # A file that a burst holds back is sent when the burst is over, with this change in it.
                if seen != self._known.source(path) and (path not in self._hold_files or everything):
                    self._add(path, self._static_of[path], self._stat(notify_name(path)), found.cause, wall, seen)

    def _take(self, folder: Folder, path: str, seen: Stamp, cause: str, wall: int) -> None:
        self._settling.drop(path)
        notify, created = notify_name(path), False
        if folder.entry.notify_files and cause not in ("change", "recheck"):
            # Where the folder cannot be written, or the name is too long, the file goes without a new notify file.
            with contextlib.suppress(OSError):
                created = make_notify(notify)
        stamp = self._stat(notify)
        if cause == "new" and not created and stamp is not None and stamp != self._handled_stamp(notify):
            cause = "notify"  # the notify file came together with the data file
        self._add(path, folder.index, stamp, cause, wall, seen)

    # -- what is due ------------------------------------------------------------------------------------------

    def _add(self, path: str, index: int, stamp: Stamp | None, cause: str, wall: int, seen: Stamp | None = None) -> None:
        """Make a file due, or update a due one. ``seen``: the stamp of the data file a moment ago, where the caller has it."""
        index = self._static_of.get(path, index)
        old = self._due.get(path)
        # The data of an existing hold file will be in the snapshot.
        hold = self._hold_files.take(path)
        if old is None:
            self._note_ctime(path, seen)
            self._due_since[path] = wall
            self._due[path] = Due(path, index, stamp, cause, hold)
        else:
            cause = cause if old.cause == "recheck" else old.cause
            self._due[path] = Due(path, index, stamp or old.stamp, cause, hold or old.hold)

    def _note_ctime(self, path: str, seen: Stamp | None) -> None:
        """Note the ctime before a file is copied: a change after that may be missing in the copy."""
        folder = self._folders.of(path)
        times, name = (
            (self._ctimes, path)
            if path in self._changing.files
            else ((folder.ctimes, name_of(path)) if folder is not None else (None, ""))
        )
        if times is None:
            return
        seen = seen or self._stat(path)
        if seen is not None and (ctime := ctime_of(seen)):
            times[name] = ctime

    def _after_done(self, now: float, wall: int, checks: dict[str, bool]) -> None:
        """Handle the snapshots made since the last scan, whose stamps are known now."""
        finished, self._done = self._done, []
        for due, since in finished:
            for signal in (notify_name(due.path), hold_name(due.path)):
                if signal in self._handled and self._known.handled(signal) == self._handled[signal]:
                    del self._handled[signal]
            last = self._known.source(due.path)
            folder = self._folders.of(due.path)
            if folder is not None:
                folder.doubt(name_of(due.path))
                self._compare_taken(folder, due.path, last, checks)
            if due.path in self._changing.files:
                # The file may have changed since its snapshot, in a way that no event has reported.
                self._check_change(due.path, now)
            checked = due.cause == "recheck" and due.path in self._checked
            before = self._checked.pop(due.path, None)
            # One recheck is enough, as it includes all that was notified within the tick. Only where each change counts, a change
            # that the recheck found may hide another one.
            each = due.path in self._changing.files or (folder is not None and folder.entry.on_change)
            if checked and (before == last or not each):
                continue
            more = again(due.stamp, last, since, wall, alone=folder is not None or each)
            if more is not None:
                self._rechecks[due.path] = _Recheck(now + more.in_ns / 1e9, last, more.unseen, due.entry_index)

    def _compare_taken(self, folder: Folder, path: str, last: Stamp | None, checks: dict[str, bool]) -> None:
        name = name_of(path)
        seen = self._stat(path)
        if seen is None:
            folder.forget(name)
        elif last is None:
            # The file was given up; one that was missing exists now.
            checks.setdefault(path, False)
        elif seen.inode != last.inode:
            # Another file has taken its place since.
            checks[path] = True
        elif folder.wants(name, named=True):  # otherwise a named file, which no listing of this folder has
            folder.names[name] = seen.inode

    def _doubt(self, path: str, index: int, last: Stamp, now: float, wall: int) -> None:
        """Recheck a file with an unchanged stamp at the start: the recheck that was due may have been lost with the last
        child."""
        more = undecided(last, wall)
        if more is not None:
            self._rechecks[path] = _Recheck(now + more.in_ns / 1e9, last, True, index)

    def _read_again(self, path: str, index: int, last: Stamp, now: float, secs: float) -> None:
        """Have the content of a file compared after ``secs`` without a change: its stamp is the same, but its ctime is
        another."""
        self._rechecks.setdefault(path, _Recheck(now + secs, last, True, index))

    def _recheck(self, now: float, wall: int, everything: bool) -> None:
        for path, found in list(self._rechecks.items()):
            early = now < found.at
            if early and not everything:
                continue
            if not early:
                del self._rechecks[path]
            folder = self._folders.of(path)
            if folder is not None:
                self._check_notify(folder, name_of(path), wall)
            seen = self._stat(path)
            if path in self._due or path in self._settling or seen is None or (seen == found.source and not found.unseen):
                continue
            if folder is not None and not folder.is_data(name_of(path), named=True):
                continue
            if seen != found.source and found.entry_index == RESIDUAL and not everything:
                self._rechecks[path] = found._replace(at=now + LAST_SCAN_SECS, source=seen)
            elif seen != found.source and not everything and (folder is not None or path in self._static_of):
                # The file was changed since, and may still be being written. Where its folder is gone, the copy will report
                # that.
                self._settling.put(folder, self._entries[found.entry_index], path, seen, now - _quiet_for(seen, wall), "recheck")
            else:
                if not early:
                    self._checked[path] = found.source
                self._add(path, found.entry_index, self._stat(notify_name(path)), "recheck", wall, seen)

    # -- small ------------------------------------------------------------------------------------------------

    def _stat(self, path: str) -> Stamp | None:
        try:
            return self._stat_of(path)
        except OSError:
            # No access, or a disk or server that does not answer: the file is unknown for now, and read again later.
            return None

    def _handled_stamp(self, signal: str) -> Stamp | None:
        return self._handled.get(signal) or self._known.handled(signal)


def _quiet_for(seen: Stamp, wall: int) -> float:
    """The seconds that a file has been quiet, by its modification time; 0 where that is not plausible."""
    return max(0, wall - seen.mtime_ns) / 1e9 if is_plausible(seen.mtime_ns / 1e9) else 0.0
