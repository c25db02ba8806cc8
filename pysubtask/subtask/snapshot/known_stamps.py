"""What the queue knows of each data file, for the watch."""

from __future__ import annotations

from ...common.notify import Stamp
from ..spool.spool_thread import SpoolThread


class KnownStamps:
    """The stamps that the watch queries, from dictionaries of the queue that follow its commits."""

    def __init__(self, spool_thread: SpoolThread) -> None:
        self._spool = spool_thread.spool

    def handled(self, notify_path: str) -> Stamp | None:
        """The last stamp of a notify file that was handled; None where there is none."""
        return self._spool.stamps.signals.get(notify_path)

    def source(self, path: str) -> Stamp | None:
        """The stamp that a data file had at its last snapshot; None where there is none."""
        found = self._spool.stamps.sources.get(path)
        return None if found is None else found[0]
