"""Copies due files: small ones at once, a big one on a thread of its own, of a growing one its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...common.entries import Entry
from ..delta import signature
from ..spool.spool_thread import SpoolThread
from ..watch.watcher import RESIDUAL, Due
from .append_tracker import AppendTracker
from .copy_aids import CopyAids
from .interfaces import QueueNames
from .one_task_thread import OneTaskThread
from .snapshotter import Copied, Snapshotter
from .source_places import SourcePlaces
from .sources import unreadable

BATCH_BYTES = 32 * 1024 * 1024
"""Bytes. A larger file is copied by a thread of its own, and the other files do not wait for it."""
Copy = Callable[[], Copied]
"""Makes the copy. Raises SourceError (DiskLow, SourceMissing, SourceChanged)."""


class Copier:
    """Belongs to the main thread. ``wake`` is called, from another thread, when the copy of a big file is finished."""

    def __init__(
        self,
        entries: Sequence[Entry],
        snapshotter: Snapshotter,
        spool_thread: SpoolThread,
        names: QueueNames,
        aids: CopyAids,
        append_tracker: AppendTracker,
        places: SourcePlaces,
        wake: Callable[[], None],
    ) -> None:
        self._entries = entries
        self._snapshotter = snapshotter
        self._spool_thread = spool_thread
        self._names = names
        self._aids = aids
        self._append_tracker = append_tracker
        self._places = places
        self._big: OneTaskThread[Due, Copied] = OneTaskThread(wake)

    def turn_begins(self) -> None:
        """A turn of the pipeline begins: folders and links may be others now."""
        self._places.forget()

    def forget(self, path: str) -> None:
        """The data file has left its folder."""
        self._append_tracker.forget(path)

    def in_progress(self) -> Due | None:
        """The big file that is being copied, or whose copy waits to be fetched."""
        return self._big.key

    def begin(self, due: Due, copy: Copy) -> None:
        """Start the copy of a big file; only while there is none in progress."""
        self._big.begin(due, copy)

    def fetch(self, *, wait: bool) -> list[tuple[Due, Copy]]:
        """The big file whose copy is finished, if any. ``wait``: wait for it."""
        done = self._big.fetch(wait=wait)
        return [] if done is None else [(done[0], done[1].result)]

    def copy_of(self, due: Due, size: int, delivered: int, sizes: set[int]) -> tuple[Copy, bool]:
        """The function that copies a file, and whether that is a big file. ``delivered``, ``sizes``: as in ``known_sizes``."""
        append = self._aids.wants_tails and due.entry_index != RESIDUAL and self._entries[due.entry_index].append
        start = self._append_tracker.start(due.path, delivered) if append else None
        big = size - (0 if start is None else start.base) > BATCH_BYTES
        is_signed = big and self._aids.signature_cache.needed and not self._append_tracker.grew(due.path, delivered)
        average = self._average(due, size) if is_signed else 0

        def copy() -> Copied:
            try:
                within = self._places.within(due)
            except OSError as exc:
                raise unreadable(exc, due.path) from exc
            copied = self._snapshotter.copy(due.path, within, sizes, start, average)
            if (append or big) and not copied.live:
                self._append_tracker.keep(due.path, str(copied.temp), copied.inode, copied.size, copied.base, copied.sha, sizes)
            if not copied.live:
                self._aids.prefixes.keep(copied.digest, copied.sha.states)
            if copied.signature is not None:
                self._aids.signature_cache.keep(copied.digest, copied.signature)
            return copied

        return copy, big

    def _average(self, due: Due, size: int) -> int:
        """The average size of the parts of a signature that can be compared with the one stored for this name."""
        old = signature.unpack(self._spool_thread.run(self._spool_thread.spool.remote_files.signature, self._names.name_of(due)))
        return old.average if old is not None and old.suits() else signature.average_for(size)
