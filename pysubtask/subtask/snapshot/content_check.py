"""Whether a due file has another content than the one that was queued last."""

from __future__ import annotations

from ...common.errors import SourceError
from ...common.notify import notify_name, read_stamp
from ..spool.spool_thread import SpoolThread
from ..watch.watcher import Due
from .append_tracker import AppendTracker
from .copied import Copied
from .file_copies import content_digest
from .source_places import SourcePlaces

_ONE_TOUCH_NS = 12_000_000  # a new file gets the kernel's coarse time, up to 10 ms old, then its own


class ContentCheck:
    """Compares with what the queue knows of each data file."""

    def __init__(self, spool_thread: SpoolThread, append_tracker: AppendTracker, places: SourcePlaces) -> None:
        self._spool_thread = spool_thread
        self._append_tracker = append_tracker
        self._places = places

    def reads_the_same(self, due: Due) -> bool:
        """Whether a recheck finds the known content: that costs a read then, but no copy and no write."""
        spool = self._spool_thread.spool
        known = spool.stamps.sources.get(due.path)
        if known is None or (due.stamp is not None and spool.stamps.signals.get(notify_name(due.path)) != due.stamp):
            return False
        try:
            before = read_stamp(due.path)
            same = self._append_tracker.same(due.path, known[0].size)
            if same is None:
                same = before == known[0] and content_digest(due.path, known[0].size, self._places.within(due)) == known[1]
            return same and read_stamp(due.path) == before
        except (OSError, SourceError):
            # The copy will report the error.
            return False

    def is_to_be_sent(self, due: Due, copied: Copied) -> bool:
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
