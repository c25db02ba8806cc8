"""Copies due files: small ones at once, a big one on a thread of its own, of a growing one its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...common.entries import Entry
from ..delta import signature
from ..spool.spool_thread import SpoolThread
from ..watch.watcher import RESIDUAL, Due
from .append_tracker import AppendTracker
from .copied import Copied
from .copy_aids import CopyAids
from .growing_copies import LEAST_BYTES, MOST_TAIL_BYTES, Continuation, GrowingCopy
from .interfaces import QueueNames
from .one_task_thread import OneTaskThread
from .snapshotter import Snapshotter
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

    def turn_begins(self, now: float) -> None:
        """A turn of the pipeline begins (monotonic seconds): folders and links may be others now."""
        self._places.forget()
        self._aids.growing_copies.turn_begins(now)

    def forget(self, path: str) -> None:
        """The data file has left its folder."""
        self._append_tracker.forget(path)
        self._aids.growing_copies.release(path)

    def failed(self, path: str) -> None:
        """The copy of a data file could not be queued, so nothing may be added to it."""
        self._aids.growing_copies.release(path)

    def release_all(self) -> None:
        """Keep no snapshot to be continued any more."""
        self._aids.growing_copies.release_all()

    def kept_sizes(self) -> list[int]:
        """The number of bytes in each snapshot that is kept to be continued."""
        return self._aids.growing_copies.sizes()

    def released(self) -> list[GrowingCopy]:
        """The snapshots that are not kept any more since the last call."""
        return self._aids.growing_copies.released()

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
        may_grow = self._aids.shares_snapshots and (append or size >= LEAST_BYTES)
        name, before = (self._names.name_of(due), self._before(due.path)) if may_grow else ("", {})
        grown = self._grown(due.path, name, None if start is None else delivered) if may_grow else None

        def copy() -> Copied:
            try:
                within = self._places.within(due)
            except OSError as exc:
                raise unreadable(exc, due.path) from exc
            copied = self._snapshotter.copy(due.path, within, sizes | before.keys(), start, average, grown)
            self._keep(due.path, copied, sizes if append or big else None)
            self._keep_growing(due.path, name, copied, before)
            return copied

        return copy, big

    def _keep(self, path: str, copied: Copied, sizes: set[int] | None) -> None:
        """Keep what the next copy and the upload can build upon. ``sizes``: of the earlier snapshots of a file whose starts are
        kept; None where they are not."""
        if copied.live:
            return
        if sizes is not None:
            written = copied.temp or copied.path
            self._append_tracker.keep(path, written, copied.inode, copied.size, copied.base, copied.sha, sizes)
        self._aids.prefixes.keep(copied.digest, copied.sha.states)
        if copied.signature is not None:
            self._aids.signature_cache.keep(copied.digest, copied.signature)

    def _before(self, path: str) -> dict[int, str]:
        """The size and the digest of the content that was queued last, where it is long enough for its snapshot to be kept."""
        known = self._spool_thread.spool.stamps.sources.get(path)
        if known is None or known[0].size < LEAST_BYTES:
            return {}
        return {known[0].size: known[1]}

    def _grown(self, path: str, name: str, delivered: int | None) -> Continuation | None:
        """The kept snapshot that may be continued. ``delivered``: the bytes that an append can build upon."""
        kept = self._aids.growing_copies.of(path, name)
        if kept is None:
            return None
        if delivered is None:
            return None if kept.base else Continuation(kept, None)
        if not kept.base:
            return None  # of an append-only file the end is enough, and takes less room
        # A snapshot of the end only: it must have all that may have to be sent, and a long one is not continued.
        start = self._append_tracker.start(path, kept.size)
        is_long = kept.size == delivered and kept.size - kept.base > MOST_TAIL_BYTES
        return None if start is None or kept.base > delivered or is_long else Continuation(kept, start)

    def _keep_growing(self, path: str, name: str, copied: Copied, before: dict[int, str]) -> None:
        """Keep a snapshot for the next one, where the file has grown: ``before`` it had such a size and digest."""
        if copied.live:
            return
        grew = any(size < copied.size and copied.prefixes.get(size) == digest for size, digest in before.items())
        if name and (copied.continued or copied.base or grew):
            self._aids.growing_copies.keep(path, GrowingCopy(copied.path, copied.base, copied.size, copied.digest, name))
        else:
            self._aids.growing_copies.release(path)

    def _average(self, due: Due, size: int) -> int:
        """The average size of the parts of a signature that can be compared with the one stored for this name."""
        old = signature.unpack(self._spool_thread.run(self._spool_thread.spool.remote_files.signature, self._names.name_of(due)))
        return old.average if old is not None and old.suits() else signature.average_for(size)
