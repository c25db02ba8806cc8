"""Brings due files into the queue: copy, make durable, one commit, and only then does a notify count as handled."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ...common.entries import Entry as WatchEntry
from ...common.entries import below, keeps_records
from ...common.errors import DiskLow, SourceChanged, SourceError, SourceMissing
from ...common.events import EventLog, happened
from ...common.logs import info_each
from ...common.notify import Stamp, notify_name, read_stamp
from ...common.paths import folder_of
from ...common.remedy import says_more
from ..delta import signature
from ..delta.signature_cache import SignatureCache
from ..delta.transfer_plan import LEAST_BYTES
from ..spool.jobs import QueuedSnapshot
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel
from ..watch.watcher import RESIDUAL, Due, Watcher
from .append_tracker import AppendTracker
from .one_task_thread import OneTaskThread
from .prefix_hashes import Prefixes
from .read_errors import CHANGING, CLASH, MISSING, READ, ReadErrors
from .snapshotter import Copied, Snapshotter, content_digest
from .sources import Place, place_of, unreadable

FIRST_FILES, BATCH_FILES = 16, 256
"""Seconds. The first commit of many files comes soon, so that the dispatcher may log in meanwhile; the later ones are fewer and
larger."""
BATCH_BYTES = 32 * 1024 * 1024
"""Bytes. A larger file is copied by a thread of its own, and the other files do not wait for it."""
_ONE_TOUCH_NS = 12_000_000  # a new file gets the kernel's coarse time, up to 10 ms old, then its own


TURN_SECS = 1.0
"""Seconds that copying goes on before requests are polled again."""


class Rules(NamedTuple):
    """What the child decides for its pipeline."""

    queue_name: Callable[[Due], str]
    """The name of a file in the queue."""
    clash: Callable[[Due], str]
    """Why a file may not be queued; empty where it may."""
    queued: Callable[[list[QueuedSnapshot]], None]
    """Called with new entries after their commit."""
    between: Callable[[], None]
    """Called between two batches."""
    wake: Callable[[], None]
    """Has :meth:`SnapshotPipeline.take` called again soon; may be called from any thread."""
    coming: Callable[[], None] = lambda: None
    """Called when there will be something to send soon."""
    gone: Callable[[Collection[str]], None] = lambda paths: None
    """Called with data files that have left their folders."""
    claim: Callable[[list[Due]], None] = lambda found: None
    """Called with the files of which ``clash`` is asked next, so that one look-up serves all of them."""


class SnapshotPipeline:
    """Runs on the main thread of the child. Times are monotonic but for ``wall``, the wall clock. ``wants_tails``: whether a
    snapshot of the end of a file is of use. ``signature_cache``: signatures of big files that were copied. ``more``: where a
    person finds more about a problem."""

    def __init__(
        self,
        entries: Sequence[WatchEntry],
        watch: Watcher,
        snapshotter: Snapshotter,
        spool_thread: SpoolThread,
        status_model: StatusModel,
        events: EventLog,
        log: logging.Logger,
        rules: Rules,
        wall: Callable[[], float],
        more: str = "",
    ) -> None:
        self._more = more or says_more("")
        self._entries = entries
        self._watch = watch
        self._snapshotter = snapshotter
        self._spool_thread = spool_thread
        self._status_model = status_model
        self._events = events
        self._log = log
        self._rules = rules
        self._wall = wall
        self._read_errors = ReadErrors()
        self._asked: deque[str] = deque()
        self._disk_low = self._unfinished = False
        self._append_tracker = AppendTracker()
        self._real: dict[str, Place] = {}
        self._big: OneTaskThread[Due, Copied] = OneTaskThread(rules.wake)
        self.wants_tails = False
        self.signature_cache = SignatureCache()
        self.prefixes = Prefixes()

    def again(self, path: str) -> None:
        """Snapshot this file again as soon as it is quiet, because its snapshot is lost; for any thread."""
        self._asked.append(path)

    def next_at(self) -> float | None:
        """When a file that could not be read is tried again."""
        return self._read_errors.next_at()

    def take(self, now: float, *, everything: bool = False, most_secs: float = TURN_SECS) -> int:
        """Snapshot and queue the due files; the number of files that were due and readable. After ``most_secs`` the rest is left
        for the next call: a hundred thousand files take minutes, and requests must not wait that long."""
        while self._asked:
            self._watch.take_again(self._asked.popleft(), now)
        found = self._watch.scan(now, everything=everything)
        self._real.clear()
        low_before, self._disk_low = self._disk_low, False
        try:
            with self._snapshotter.at_work(alone=len(found) == 1) if found else contextlib.nullcontext():
                taken = self._take(found, now, everything, low_before, time.monotonic() + most_secs)
            self._tell_lost(self._watch.lost())
            gone = self._watch.gone()
            if gone:
                self._spool_thread.run(self._spool_thread.spool.stamps.forget, gone)
                self._rules.gone(gone)
                for path in gone:
                    self._well(path)
                    self._append_tracker.forget(path)
        except DiskLow as exc:
            # The queue cannot be written: everything not in it stays due.
            self._say_disk_low(exc, low_before)
            taken = 0
        if low_before and not self._disk_low and found:
            self._log.info("The disk takes what is copied again")
            with self._status_model.guard:
                self._events.emit("disk_ok")
                self._status_model.set(disk_low=False)
                self._status_model.over("disk_low")
        # Due files that were neither taken nor have an error of their own have no room.
        left = 0
        if self._disk_low or self._unfinished:
            asked = [due for due in found if self._disk_low or due.cause != "recheck"]  # a recheck is not one more file
            left = sum(due.path not in self._read_errors for due in asked) - taken
        settling, settling_more = self._watch.report.settling(now)
        excluded, excluded_more = self._watch.report.left_out()
        self._status_model.set(
            settling=settling,
            settling_more=settling_more,
            excluded=excluded,
            excluded_more=excluded_more,
            disk_low=self._disk_low,
            not_copied=max(0, left) if self._disk_low else 0,
            being_copied=0 if self._disk_low else max(0, left),
            cannot_read=self._read_errors.listing(),
            unreadable=len(self._read_errors),
            watch=self._watch.mode,
            watch_reason=self._watch.mode_reason,
            never_quiet=self._watch.report.never_quiet(now),
        )
        return taken

    def _take(self, found: list[Due], now: float, everything: bool, low_before: bool, until: float) -> int:
        self._unfinished = False
        batch: list[tuple[Due, Copied]] = []
        size = taken = 0
        enough = FIRST_FILES
        ready = self._ready(everything)
        begun = {(due.path, due.stamp, due.hold) for due, _ in ready}
        others = (due for due in found if (due.path, due.stamp, due.hold) not in begun)
        for due, copy in itertools.chain(ready, self._asked_for(others, now, everything, low_before)):
            copied = self._copied(due, copy, now, low_before)
            if copied is not None:
                taken += 1
                batch.append((due, copied))
                size += copied.size
            if len(batch) >= enough or size >= BATCH_BYTES:
                self._seal(batch, low_before)
                batch, size, enough = [], 0, min(4 * enough, BATCH_FILES)
                self._rules.between()
                if time.monotonic() >= until:
                    self._unfinished = True
                    self._rules.wake()
                    break
            if self._disk_low:
                break
        self._seal(batch, low_before)
        return taken

    def _ready(self, everything: bool) -> list[tuple[Due, Callable[[], Copied]]]:
        """The big file whose copy is finished, if any. With ``everything``, wait for it."""
        done = self._big.fetch(wait=everything)
        return [] if done is None else [(done[0], done[1].result)]

    def _asked_for(
        self, found: Iterable[Due], now: float, everything: bool, low: bool
    ) -> Iterator[tuple[Due, Callable[[], Copied]]]:
        """The due files that may be copied now, each with the function that copies it. The copies of big files are started, one
        at a time, and come later. ``low``: the disk was too full at the last scan, so no connection is opened for files that may
        come."""
        for due, sizes in self._with_known_sizes(found):
            in_progress = self._big.key
            waits = self._read_errors.waits(due.path, now, _signals(due)) and not everything
            if waits or (in_progress is not None and in_progress.path == due.path):
                continue
            clash = self._rules.clash(due)
            if clash:
                self._status_model.error("clash", f"{due.path}: {clash}", due.path)
                if self._read_errors.add(due.path, clash, now, _signals(due), CLASH):
                    self._log.error("PARKED [%s]: %s; %s", due.path, clash, self._more)
                    self._events.emit("clash", path=due.path, reason=clash)
            elif due.cause == "recheck" and self._reads_the_same(due):
                self._settled(due)
            else:
                seen = _seen(due.path)
                copy, big = self._copy_of(due, 0 if seen is None else seen.size, *sizes)
                if not low and seen is not None and (seen != (self._spool_thread.spool.stamps.sources.get(due.path) or (None,))[0]):
                    self._rules.coming()
                if everything or not big:
                    yield due, copy
                elif in_progress is None:
                    self._big.begin(due, copy)

    def _copy_of(self, due: Due, size: int, delivered: int, sizes: set[int]) -> tuple[Callable[[], Copied], bool]:
        """The function that copies a file, and whether that is a big file. ``delivered``, ``sizes``: as in ``known_sizes``."""
        append = self.wants_tails and due.entry_index != RESIDUAL and self._entries[due.entry_index].append
        start = self._append_tracker.start(due.path, delivered) if append else None
        big = size - (0 if start is None else start.base) > BATCH_BYTES
        average = (
            self._average(due, size)
            if big and self.signature_cache.needed and not self._append_tracker.grew(due.path, delivered)
            else 0
        )

        def copy() -> Copied:
            try:
                within = self._within(due)
            except OSError as exc:
                raise unreadable(exc, due.path) from exc
            copied = self._snapshotter.copy(due.path, within, sizes, start, average)
            if (append or big) and not copied.live:
                self._append_tracker.keep(due.path, str(copied.temp), copied.inode, copied.size, copied.base, copied.sha, sizes)
            if not copied.live:
                self.prefixes.keep(copied.digest, copied.sha.states)
            if copied.signature is not None:
                self.signature_cache.keep(copied.digest, copied.signature)
            return copied

        return copy, big

    def _average(self, due: Due, size: int) -> int:
        """The average size of the parts of a signature that can be compared with the one stored for this name."""
        old = signature.unpack(self._spool_thread.run(self._spool_thread.spool.remote_files.signature, self._rules.queue_name(due)))
        return old.average if old is not None and old.suits() else signature.average_for(size)

    def _copied(self, due: Due, copy: Callable[[], Copied], now: float, low_before: bool) -> Copied | None:
        """The copy, where it could be made and is to be queued; else None."""
        try:
            copied = copy()
        except SourceMissing as exc:
            self._missing(due, exc, now)
            return None
        except DiskLow as exc:
            self._say_disk_low(exc, low_before)
            return None
        except SourceError as exc:
            # A file that changes while it is copied is the usual case of a busy writer, which is not an error.
            # However often such a file is notified, the copy is not tried all the time.
            moved = isinstance(exc, SourceChanged)
            if not moved:
                self._status_model.error("source_error", str(exc), due.path)
            asked = None if moved else _signals(due)
            if self._read_errors.add(due.path, str(exc), now, asked, CHANGING if moved else READ) and not moved:
                self._log.error("Cannot snapshot [%s]: %s; %s", due.path, exc, self._more)
                self._events.emit("source_error", path=due.path, reason=str(exc))
            return None
        if self._is_changed(due, copied):
            return copied
        self._snapshotter.discard(copied)
        self._spool_thread.run(self._spool_thread.spool.stamps.record, [self._entry(due, copied)])
        self._settled(due)
        return None

    def _with_known_sizes(self, found: Iterable[Due]) -> Iterator[tuple[Due, tuple[int, set[int]]]]:
        """Each due file with the size that was delivered last (0: none to continue from) and the sizes that may have been
        delivered since; queried for many files together."""
        spool, rest = self._spool_thread.spool, iter(found)
        while some := list(itertools.islice(rest, BATCH_FILES)):
            names = {
                due.path: self._rules.queue_name(due)
                for due in some
                if (known := spool.stamps.sources.get(due.path)) is not None and known[0].size > LEAST_BYTES
            }
            sizes = self._spool_thread.run(spool.remote_files.known_sizes, list(names.values())) if names else {}
            self._rules.claim(some)
            for due in some:
                yield due, sizes.get(names.get(due.path, ""), (0, set()))

    def _within(self, due: Due) -> Place | None:
        """The folder a file must really be in, should a link lead to it; None for a named file. OSError."""
        folder = folder_of(due.path)
        if due.entry_index == RESIDUAL:
            return self._real_place(folder)
        entry = self._entries[due.entry_index]
        if entry.kind == "file":
            return None
        # The folder of the entry may be a link, the folders inside it may not.
        inside, top = below(entry, folder), self._real_place(entry.path)
        return top._replace(path=os.path.normpath(os.path.join(top.path, inside))) if inside else top

    def _real_place(self, folder: str) -> Place:
        """Where a folder really is; found out once in each :meth:`take`."""
        found = self._real.get(folder)
        if found is None:
            found = self._real[folder] = place_of(folder)
        return found

    def _settled(self, due: Due) -> None:
        self._watch.done(due)
        self._well(due.path)

    def _well(self, path: str) -> None:
        """The errors of this file are over."""
        if path in self._read_errors:
            self._read_errors.clear(path)
            self._status_model.over("source_error", "source_missing", "clash", about=path)

    def _missing(self, due: Due, exc: SourceMissing, now: float) -> None:
        if due.cause not in ("notify", "hold"):
            # The file was not notified; it existed a moment ago and is gone now.
            self._settled(due)
            self._tell_lost([due.path])
            return
        self._status_model.error("source_missing", f"{due.path} was notified and is not there", due.path)
        if self._read_errors.add(due.path, str(exc), now, _signals(due), MISSING):
            self._log.error("File [%s] notified but does not exist!", due.path)
            self._events.emit("source_missing", path=due.path)

    def _tell_lost(self, paths: Iterable[str]) -> None:
        """Report files that were due and are gone before they could be copied: no version of them is left to send."""
        lost = [path for path in paths if not os.path.lexists(path)]
        if lost:
            self._log.warning(
                "Deleted before %s could be copied: [%s]%s",
                "it" if len(lost) == 1 else "they",
                lost[0],
                f" and {len(lost) - 1} more" if len(lost) > 1 else "",
            )
            self._events.emit_all([happened("deleted_before_copy", path=path) for path in lost])

    def _reads_the_same(self, due: Due) -> bool:
        """Whether a recheck finds the known content: that costs a read then, but no copy and no write."""
        spool = self._spool_thread.spool
        known = spool.stamps.sources.get(due.path)
        if known is None or (due.stamp is not None and spool.stamps.signals.get(notify_name(due.path)) != due.stamp):
            return False
        try:
            before = read_stamp(due.path)
            same = self._append_tracker.same(due.path, known[0].size)
            if same is None:
                same = before == known[0] and content_digest(due.path, known[0].size, self._within(due)) == known[1]
            return same and read_stamp(due.path) == before
        except (OSError, SourceError):
            # The copy will report the error.
            return False

    def _is_changed(self, due: Due, copied: Copied) -> bool:
        """Whether a file is to be delivered though its content may be the same as before.

        Not at a recheck or the first scan after a start; and not where one touch was seen in two steps: the creation of the
        notify file, then its time.
        """
        spool = self._spool_thread.spool
        known = spool.stamps.sources.get(due.path)
        if known is None or known[1] != copied.digest:
            return True
        handled = spool.stamps.signals.get(notify_name(due.path))
        if due.stamp is None or handled is None or handled.inode != due.stamp.inode:
            return due.cause not in ("recheck", "start")
        one_touch = 0 <= due.stamp.mtime_ns - handled.mtime_ns < _ONE_TOUCH_NS
        return due.cause not in ("recheck", "start") and not one_touch

    def _say_disk_low(self, exc: SourceError, low_before: bool) -> None:
        if not (low_before or self._disk_low):
            if problem := getattr(exc, "problem", ""):
                text = "DISK FAULT! Nothing is copied, and notifies stay due, until the disk takes it: %s (%s); %s"
                self._log.error(text, exc, problem, self._more)
            else:
                self._log.error("DISK LOW! Notifies stay due until there is room: %s; %s", exc, self._more)
            with self._status_model.guard:
                self._events.emit("disk_low", reason=str(exc))
                self._status_model.set(disk_low=True)
        self._disk_low = True
        if isinstance(exc, DiskLow):
            self._status_model.set(disk={"free": exc.free, "least": exc.least, **({"problem": exc.problem} if exc.problem else {})})
        self._status_model.error("disk_low", str(exc))

    def _entry(self, due: Due, copied: Copied) -> QueuedSnapshot:
        return QueuedSnapshot(
            self._rules.queue_name(due),
            due.path,
            copied.path,
            copied.live,
            copied.size,
            copied.mtime_ns,
            copied.digest,
            self._wall(),
            Stamp(copied.mtime_ns, copied.size, copied.inode),
            None if due.stamp is None else notify_name(due.path),
            due.stamp,
            due.hold,
            copied.prefixes,
            due.entry_index != RESIDUAL and keeps_records(self._entries[due.entry_index], due.path),
            copied.base,
        )

    def _seal(self, batch: list[tuple[Due, Copied]], low_before: bool) -> None:
        if not batch:
            return
        entries = [self._entry(due, copied) for due, copied in batch]
        try:
            self._snapshotter.seal([copied for _, copied in batch])
            garbage = self._spool_thread.run(self._enqueue, entries)
        except SourceError as exc:
            for _, copied in batch:
                self._snapshotter.discard(copied)
            self._say_disk_low(exc, low_before)
            return
        for due, _ in batch:
            self._settled(due)
        rows = ((due.path, copied.path) for due, copied in batch if not copied.live)
        info_each(self._log, "Copying [%s] to [%s]", rows, "copied")
        self._spool_thread.drop(garbage)
        self._rules.queued(entries)

    def _enqueue(self, entries: list[QueuedSnapshot]) -> list[str]:
        """On the spool's thread, where the status page is written too: so a page has the new versions and their events, or
        neither."""
        garbage = self._spool_thread.spool.queue.enqueue(entries)
        replaced = self._spool_thread.spool.queue.replaced
        self._events.emit_all(
            [
                happened(
                    "queued",
                    name=entry.name,
                    path=entry.path,
                    size=entry.size,
                    **({"replaced": True} if entry.name in replaced else {}),
                )
                for entry in entries
            ]
        )
        return garbage


def _seen(path: str) -> Stamp | None:
    try:
        return read_stamp(path)
    except OSError:
        return None


def _signals(due: Due) -> tuple[Stamp | None, Stamp | None]:
    """The stamps that distinguish a new notify from one whose snapshot failed."""
    return due.stamp, due.hold
