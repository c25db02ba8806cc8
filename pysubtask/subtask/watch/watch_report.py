"""What the status page says of watched files that are not due: those that settle, and those that are left out."""

from __future__ import annotations

from typing import Any

from .folders import Folders
from .settle_queue import SettleQueue

_MOST_LISTED = 10


class WatchReport:
    """``now`` is in monotonic seconds."""

    def __init__(self, settling: SettleQueue, folders: Folders) -> None:
        self._settling = settling
        self._folders = folders

    def never_quiet(self, now: float) -> list[dict[str, Any]]:
        """The first of the files that have waited for long because they are never quiet for ``settle_secs``: ``path``, ``for_secs``
        in whole tens, ``settle_secs``, and ``goes``: whether the file is snapshotted all the same now and then."""
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

    def settling(self, now: float) -> tuple[list[dict[str, Any]], int]:
        """The first of the files that wait until they are quiet for ``settle_secs`` (``path``, ``settle_secs``), and how many
        others."""
        found = self._settling.waiting(now)
        rows = [{"path": path, "settle_secs": one.entry.settle_secs} for path, one in found[:_MOST_LISTED]]
        return rows, len(found) - len(rows)

    def left_out(self) -> tuple[list[dict[str, Any]], int]:
        """The first of the files in watched folders that are left out (``path``, ``why``), and how many others."""
        rows, more = self._folders.left_out()
        return [left._asdict() for left in rows], more
