"""The disks of a child: watched folders that are missing or lost their disk, and the state folder itself."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from ...common.errors import DiskLow
from ...common.notify import Stamp
from ...common.place import is_in
from ...common.state_place import is_inside
from ..spool.spool_thread import SpoolThread
from ..watch.missing_folders import MissingFolders, watched_folders
from ..watch.state_folder_guard import StateFolderGuard
from ..watch.unmounted_folders import UnmountedFolders
from .child_context import ChildContext

_MOUNTS = "mounts"
"""Key of the mount points of the watched folders, in the small values of the queue."""


class DiskChecks:
    """``disks``: which watched folders have lost their disk. ``state_folders``: whether the state folder is still the one that the
    child was started with."""

    def __init__(self, context: ChildContext, spool_thread: SpoolThread, state_folders: StateFolderGuard) -> None:
        handoff = context.handoff
        self._context = context
        self._spool_thread = spool_thread
        self._named = {entry.path for entry in handoff.entries if entry.kind == "file"}
        self.state_folders = state_folders
        kept = str(spool_thread.run(spool_thread.spool.meta.get, _MOUNTS, ""))
        self.disks = UnmountedFolders(watched_folders(handoff.entries), handoff.state_dir, kept, self._sent_from)
        mount = context.settings.current.get("RequiresMount")
        self._missing = MissingFolders(handoff.entries, mount, context.log, context.wall, self.disks)

    def next_at(self) -> float | None:
        """When to check again though nothing else happens (monotonic seconds); None while nothing is missing."""
        return self._missing.next_at()

    def poll(self, now: float) -> bool:
        """Check the mounts, then the folders, before any file is read: below the mount point of a disk that was taken away there is
        another folder. Whether a disk was mounted or unmounted."""
        changed = self._check_mounts()
        self._context.status_model.set(missing=self._missing.poll(now))
        return changed

    def may_come_back(self, path: str) -> bool:
        """Whether a missing data file is to be remembered: an entry names it, or its disk may be missing. For any thread."""
        return path in self._named or self.disks.may_come_back(path)

    def forget(self) -> None:
        """Take the folders as they are now: a person says that they are the right ones."""
        self.disks.forget()
        with contextlib.suppress(DiskLow, sqlite3.Error):  # the disk is full: the folders are reported as missing once more
            self._spool_thread.run(self._spool_thread.spool.meta.set, _MOUNTS, "")

    def close(self) -> None:
        """Close the mount table."""
        self.disks.close()

    def _check_mounts(self) -> bool:
        before = self.disks.text()
        if not self.disks.check():
            return False
        self._missing.poll_soon()
        kept = self.disks.text()
        if kept != before:
            try:
                self._spool_thread.run(self._spool_thread.spool.meta.set, _MOUNTS, kept)
            except (DiskLow, sqlite3.Error) as exc:
                self._context.log.warning("A disk that is missing at the next start will not be missed (%s)", exc)
        return True

    def _sent_from(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """The files of a folder that were snapshotted before, with their stamps."""
        for path, (stamp, _) in list(self._spool_thread.spool.stamps.sources.items()):
            if is_in(path, folder):
                yield path, stamp


def state_folders_of(context: ChildContext) -> StateFolderGuard:
    """The folders that must stay the ones that the child was started with. Where the state is elsewhere, the disk of the watched
    folder may be removed while the state stays."""
    state_dir = context.handoff.state_dir
    return StateFolderGuard(state_dir, *([] if is_inside(state_dir) else [context.first]))
