"""Brings due files into the queue: copy, make durable, one commit, and only then does a notify count as handled."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from ...common.entries import Entry
from ...common.errors import DiskLow, SourceError, SourceMissing
from ...common.notify import Stamp, read_stamp
from ..delta.transfer_plan import LEAST_BYTES
from ..watch.watcher import Due, Watcher
from .append_tracker import AppendTracker
from .content_check import ContentCheck
from .copied import Copied
from .copier import BATCH_BYTES, Copier, Copy
from .copy_aids import CopyAids
from .interfaces import QueueNames, QueueReader
from .queue_writer import QueueWriter
from .retakes import Retakes
from .snapshot_context import SnapshotContext
from .snapshot_problems import SnapshotProblems
from .snapshotter import Snapshotter
from .source_places import SourcePlaces

FIRST_FILES, BATCH_FILES = 16, 256
"""Numbers of files. The first commit of many files comes soon, so that the dispatcher may log in meanwhile; the later ones are
fewer and larger."""
TURN_SECS = 1.0
"""Seconds that copying goes on before requests are polled again."""


class SnapshotPipeline:
    """Runs on the main thread of the child. Times are monotonic.

    ``between`` is called between two batches; ``wake`` has :meth:`take` called again soon, from any thread. The way of a file:
    the watch finds it due, the copier copies it, the queue writer queues it and tells the reader, the watch counts it as handled.
    """

    def __init__(
        self,
        context: SnapshotContext,
        entries: Sequence[Entry],
        watch: Watcher,
        snapshotter: Snapshotter,
        names: QueueNames,
        reader: QueueReader,
        aids: CopyAids,
        retakes: Retakes,
        *,
        between: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._context = context
        self._watch = watch
        self._snapshotter = snapshotter
        self._names = names
        self._reader = reader
        self._retakes = retakes
        self._between = between
        self._wake = wake
        self._problems = SnapshotProblems(context)
        append_tracker, places = AppendTracker(), SourcePlaces(entries)
        self._copier = Copier(entries, snapshotter, context.spool_thread, names, aids, append_tracker, places, wake)
        self._content_check = ContentCheck(context.spool_thread, append_tracker, places)
        self._queue_writer = QueueWriter(context, entries, snapshotter, names, reader)

    def next_at(self) -> float | None:
        """When a file that could not be read is tried again."""
        return self._problems.next_at()

    def take(self, now: float, *, everything: bool = False, most_secs: float = TURN_SECS) -> int:
        """Snapshot and queue the due files; the number of files that were due and readable. After ``most_secs`` the rest is left
        for the next call: a hundred thousand files take minutes, and requests must not wait that long."""
        for path in self._retakes.take():
            self._watch.take_again(path, now)
        found = self._watch.scan(now, everything=everything)
        self._copier.turn_begins(now)
        self._problems.begin()
        taken, unfinished = 0, False
        try:
            with self._snapshotter.at_work(alone=len(found) == 1) if found else contextlib.nullcontext():
                taken, unfinished = self._take(found, now, everything, time.monotonic() + most_secs)
            self._problems.lost(self._watch.lost())
            self._forget(self._watch.gone())
        except DiskLow as exc:
            # The queue cannot be written: everything not in it stays due.
            self._problems.disk_low(exc)
            taken = 0
        if self._problems.is_low:
            self._copier.release_all()  # the room is for what waits
        self._problems.end(tried=bool(found))
        self._drop_released()
        self._tell(found, taken, unfinished, now)
        return taken

    def _take(self, found: list[Due], now: float, everything: bool, until: float) -> tuple[int, bool]:
        """The number of files that were readable, and whether there was no time for others."""
        batch: list[tuple[Due, Copied]] = []
        size = taken = 0
        enough, unfinished = FIRST_FILES, False
        for due, copy in self._copies(found, now, everything):
            copied = self._copied(due, copy, now)
            if copied is not None:
                taken += 1
                batch.append((due, copied))
                size += copied.size
            if len(batch) >= enough or size >= BATCH_BYTES:
                self._put(batch)
                batch, size, enough = [], 0, min(4 * enough, BATCH_FILES)
                self._between()
                if time.monotonic() >= until:
                    unfinished = True
                    self._wake()
                    break
            if self._problems.is_low:
                break
        self._put(batch)
        return taken, unfinished

    # -- watch -> snapshots -----------------------------------------------------------------------------------

    def _copies(self, found: list[Due], now: float, everything: bool) -> Iterator[tuple[Due, Copy]]:
        """The due files that may be copied now, each with the function that copies it; first the big file whose copy is finished,
        for which ``everything`` waits."""
        ready = self._copier.fetch(wait=everything)
        begun = {(due.path, due.stamp, due.hold) for due, _ in ready}
        yield from ready
        others = iter([due for due in found if (due.path, due.stamp, due.hold) not in begun])
        while some := list(itertools.islice(others, BATCH_FILES)):
            yield from self._copies_of(some, now, everything)

    def _copies_of(self, found: list[Due], now: float, everything: bool) -> Iterator[tuple[Due, Copy]]:
        """As :meth:`_copies`, of files whose names and sizes are looked up together. The copies of big files are started, one at a
        time, and come later."""
        in_progress = self._copier.in_progress()
        asked = [
            due
            for due in found
            if (everything or not self._problems.waits(due, now)) and not (in_progress and in_progress.path == due.path)
        ]
        known = self._known_sizes(asked)
        refused = self._names.claim(asked)
        for due in asked:
            if due.path in refused:
                self._problems.clash(due, refused[due.path], now)
            elif due.cause == "recheck" and self._content_check.reads_the_same(due):
                self._settled(due)
            else:
                copy, big = self._copy_of(due, *known.get(due.path, (0, set())))
                if everything or not big:
                    yield due, copy
                elif self._copier.in_progress() is None:
                    self._copier.begin(due, copy)

    def _known_sizes(self, found: list[Due]) -> dict[str, tuple[int, set[int]]]:
        """For each data file, where it is known, the size that was delivered last (0: none to continue from) and the sizes that may
        have been delivered since; queried for many files together."""
        spool = self._context.spool_thread.spool
        names = {
            due.path: self._names.name_of(due)
            for due in found
            if (known := spool.stamps.sources.get(due.path)) is not None and known[0].size > LEAST_BYTES
        }
        sizes = self._context.spool_thread.run(spool.remote_files.known_sizes, list(names.values())) if names else {}
        return {path: sizes[name] for path, name in names.items() if name in sizes}

    def _copy_of(self, due: Due, delivered: int, sizes: set[int]) -> tuple[Copy, bool]:
        """See :meth:`Copier.copy_of`; the reader of the queue is told that a job will come."""
        seen = _seen(due.path)
        copy = self._copier.copy_of(due, 0 if seen is None else seen.size, delivered, sizes)
        known = self._context.spool_thread.spool.stamps.sources.get(due.path)
        is_new = seen is not None and (known is None or seen != known[0])
        # While the disk is too full, no connection is opened for files that may come.
        if is_new and not self._problems.was_low:
            self._reader.expect()
        return copy

    def _copied(self, due: Due, copy: Copy, now: float) -> Copied | None:
        """The copy, where it could be made and is to be queued; else None."""
        try:
            copied = copy()
        except SourceMissing as exc:
            self._missing(due, exc, now)
            return None
        except DiskLow as exc:
            self._problems.disk_low(exc)
            return None
        except SourceError as exc:
            self._problems.unreadable(due, exc, now)
            return None
        if self._content_check.is_to_be_sent(due, copied):
            return copied
        self._snapshotter.discard(copied)
        self._queue_writer.seen(due, copied)
        self._settled(due)
        return None

    def _missing(self, due: Due, exc: SourceMissing, now: float) -> None:
        if due.cause not in ("notify", "hold"):
            # The file was not notified; it existed a moment ago and is gone now.
            self._settled(due)
            self._problems.lost([due.path])
            return
        self._problems.missing(due, exc, now)

    # -- snapshots -> queue -----------------------------------------------------------------------------------

    def _put(self, batch: list[tuple[Due, Copied]]) -> None:
        if not batch:
            return
        try:
            entries = self._queue_writer.put(batch)
        except SourceError as exc:
            self._problems.disk_low(exc)
            for due, _ in batch:
                self._copier.failed(due.path)
            return
        # After the commit: from here on the notifies count as handled.
        for due, _ in batch:
            self._settled(due)
        self._queue_writer.announce(batch, entries)

    def _settled(self, due: Due) -> None:
        self._watch.done(due)
        self._problems.over(due.path)

    def _forget(self, gone: list[str]) -> None:
        """Data files have left their folders: what is known of them goes, too."""
        if gone:
            self._context.spool_thread.run(self._context.spool_thread.spool.stamps.forget, gone)
            self._names.release(gone)
            for path in gone:
                self._problems.over(path)
                self._copier.forget(path)

    def _drop_released(self) -> None:
        """Remove the snapshots that are not kept any more, unless a job needs one."""
        if released := self._copier.released():
            self._context.spool_thread.drop_unqueued([(copy.name, copy.snapshot) for copy in released])

    def close(self) -> None:
        """The child ends: keep no snapshot but those of the queue."""
        self._copier.release_all()
        self._drop_released()

    # -- the status page --------------------------------------------------------------------------------------

    def _tell(self, found: list[Due], taken: int, unfinished: bool, now: float) -> None:
        is_low, kept = self._problems.is_low, self._copier.kept_sizes()
        # Due files that were neither taken nor have an error of their own have no room.
        left = 0
        if is_low or unfinished:
            asked = [due for due in found if is_low or due.cause != "recheck"]  # a recheck is not one more file
            left = max(0, sum(due.path not in self._problems for due in asked) - taken)
        settling, settling_more = self._watch.report.settling(now)
        excluded, excluded_more = self._watch.report.left_out()
        self._context.status_model.set(
            settling=settling,
            settling_more=settling_more,
            excluded=excluded,
            excluded_more=excluded_more,
            disk_low=is_low,
            not_copied=left if is_low else 0,
            being_copied=0 if is_low else left,
            cannot_read=self._problems.listing(),
            unreadable=len(self._problems),
            kept_copies=len(kept),
            kept_bytes=sum(kept),
            watch=self._watch.mode,
            watch_reason=self._watch.mode_reason,
            never_quiet=self._watch.report.never_quiet(now),
        )


def _seen(path: str) -> Stamp | None:
    try:
        return read_stamp(path)
    except OSError:
        return None
