"""Puts snapshots into the queue: sync them, one commit with the events, and only then a notify counts as handled."""

from __future__ import annotations

from collections.abc import Sequence

from ...common.entries import Entry, keeps_records
from ...common.errors import SourceError
from ...common.events import happened
from ...common.logs import info_each
from ...common.notify import Stamp, notify_name
from ..spool.jobs import QueuedSnapshot
from ..watch.watcher import RESIDUAL, Due
from .copied import Copied
from .interfaces import QueueNames, QueueReader
from .snapshot_context import SnapshotContext
from .snapshotter import Snapshotter


class QueueWriter:
    """``entries``: the watch list. ``reader`` is told of each commit."""

    def __init__(
        self, context: SnapshotContext, entries: Sequence[Entry], snapshotter: Snapshotter, names: QueueNames, reader: QueueReader
    ) -> None:
        self._context = context
        self._entries = entries
        self._snapshotter = snapshotter
        self._names = names
        self._reader = reader

    def put(self, batch: Sequence[tuple[Due, Copied]]) -> list[QueuedSnapshot]:
        """Queue these snapshots in one commit; the new entries. Raises SourceError (DiskLow) where the disk takes them not: they
        are discarded then."""
        entries = [self._entry(due, copied) for due, copied in batch]
        try:
            # Synced before the commit: a queued job must never name a snapshot that a power cut takes away.
            self._snapshotter.seal([copied for _, copied in batch])
            garbage = self._context.spool_thread.run(self.enqueue, entries)
        except SourceError:
            for _, copied in batch:
                self._snapshotter.discard(copied)
            raise
        self._context.spool_thread.drop(garbage)
        return entries

    def announce(self, batch: Sequence[tuple[Due, Copied]], entries: Sequence[QueuedSnapshot]) -> None:
        """Report what :meth:`put` has queued, in the log and to the reader of the queue."""
        rows = ((due.path, copied.path) for due, copied in batch if not copied.live)
        info_each(self._context.log, "Copying [%s] to [%s]", rows, "copied")
        self._reader.jobs_added(entries)

    def seen(self, due: Due, copied: Copied) -> None:
        """A file has the content that is queued or delivered: only note that its stamp was handled."""
        self._context.spool_thread.run(self._context.spool_thread.spool.stamps.record, [self._entry(due, copied)])

    def enqueue(self, entries: list[QueuedSnapshot]) -> list[str]:
        """Commit on the spool's thread, where the status page is written too: so a page has the new entries and their events, or
        neither. The snapshots that are not needed any more."""
        garbage = self._context.spool_thread.spool.queue.enqueue(entries)
        replaced = self._context.spool_thread.spool.queue.replaced
        self._context.events.emit_all(
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

    def _entry(self, due: Due, copied: Copied) -> QueuedSnapshot:
        return QueuedSnapshot(
            self._names.name_of(due),
            due.path,
            copied.path,
            copied.live,
            copied.size,
            copied.mtime_ns,
            copied.digest,
            self._context.wall(),
            Stamp(copied.mtime_ns, copied.size, copied.inode),
            None if due.stamp is None else notify_name(due.path),
            due.stamp,
            due.hold,
            copied.prefixes,
            due.entry_index != RESIDUAL and keeps_records(self._entries[due.entry_index], due.path),
            copied.base,
        )
