"""Watched folders whose disk was taken away: below the mount point there is another folder by the same name then.

Such a folder is not scanned and nothing of it is sent, and what is known of the files on the disk is kept, until the disk is
mounted again. The mount point and device of each folder are kept over restarts (in the queue's file), so a disk that is missing
at a boot is noticed as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ...common.mount_table import TABLE, Mount, mounts, nearest_mount
from ...common.notify import Stamp
from ...common.place import is_in, real_path

_MOST_PROBES = 20


class Stood(NamedTuple):
    """Where a folder was: the ``point`` on which its disk was mounted, without links, and the ``device`` number."""

    point: str
    device: int


class UnmountedFolders:
    """``folders``: the watched ones, each with whether it is recursive. ``state_dir``: a folder that contains it is not checked, as
    the state itself shows whether the folder is the right one. ``kept``: an earlier result of :meth:`text`. ``known``: the files
    in a folder that were sent, with their stamps: where one of them exists unchanged, a person has moved the files to this disk
    on purpose. ``table``: the mount table, as /proc/self/mountinfo. Without such a table no disk is ever missing here."""

    def __init__(
        self,
        folders: Mapping[str, bool],
        state_dir: str,
        kept: str,
        known: Callable[[str], Iterable[tuple[str, Stamp]]],
        table: str = TABLE,
    ) -> None:
        self._folders = folders
        self._state_dir = state_dir
        self._known = known
        self._table = table
        self._stood = _read(kept)
        self._poll, self._handle = _listening(table)
        self._checked = False
        self.gone: dict[str, str] = {}
        """Folders whose disk is missing -> the point on which it was mounted."""

    def check(self) -> bool:
        """Check all folders if anything was mounted or unmounted since the last call (or at the first call); whether that is
        so."""
        if self._checked and self._poll is not None and not self._poll.poll(0):
            return False
        known = mounts(self._table)
        changed, self._checked = not self._checked or self._poll is not None, True
        if known:
            for folder, deep in self._folders.items():
                if not is_in(self._state_dir, folder):
                    self._check_folder(folder, known)
                for inside in self._inside(folder, known) if deep else ():
                    self._check_folder(inside, known)
        return changed

    def why(self, folder: str) -> str:
        """Why a folder is not scanned, '' where it is."""
        point = self.gone.get(folder)
        if point is None:
            return ""
        return (
            f"{point} is not mounted, and the files of {folder} were on that disk (if they are to be on this one from now on: "
            "'pysubtask reset')"
        )

    def is_gone(self, path: str) -> bool:
        """Whether a folder, or a file, is on a missing disk; for any thread."""
        return bool(self.gone) and any(is_in(path, folder) for folder in tuple(self.gone))

    def may_come_back(self, path: str) -> bool:
        """Whether a file that is missing may be on a missing disk: on a disk that is known as such, or in a watched folder that is
        missing, too. For any thread."""
        if self.is_gone(path):
            return True
        folder = os.path.dirname(path)
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            if folder in self._folders:
                return True
            folder = os.path.dirname(folder)
        return False

    def forget(self) -> None:
        """Accept the folders as they are now, by request of a person."""
        self._stood.clear()
        self.gone.clear()
        self._checked = False

    def text(self) -> str:
        """The mount points of the folders as a text to be kept."""
        return json.dumps({folder: list(stood) for folder, stood in sorted(self._stood.items())})

    def close(self) -> None:
        """Stop listening for changes of the mount table."""
        handle, self._handle, self._poll = self._handle, None, None
        if handle is not None:
            os.close(handle)

    def _inside(self, folder: str, known: list[Mount]) -> set[str]:
        """The mount points inside a folder, present and former."""
        real = real_path(folder)
        found = {
            os.path.join(folder, os.path.relpath(mount.point, real))
            for mount in known
            if mount.point != real and is_in(mount.point, real)
        }
        return found | {one for one in self._stood if one != folder and is_in(one, folder) and one not in self._folders}

    def _check_folder(self, folder: str, known: list[Mount]) -> None:
        real = real_path(folder)
        try:
            device = os.stat(folder).st_dev
        except OSError:
            return  # a missing folder is reported by missing_folders
        here, stood = nearest_mount(real, known), self._stood.get(folder)
        if here is None:
            return
        if stood is not None and self._is_lost(stood, here, device, known) and not self._was_moved(folder):
            self.gone[folder] = stood.point
            return
        self.gone.pop(folder, None)
        if here.point == os.sep:
            self._stood.pop(folder, None)
        else:
            self._stood[folder] = Stood(here.point, device)

    @staticmethod
    def _is_lost(stood: Stood, here: Mount, device: int, known: list[Mount]) -> bool:
        """Whether nothing is mounted any more where the disk was, and the folder is the one below the mount point."""
        mounted = any(mount.point == stood.point for mount in known)
        return not mounted and device != stood.device and is_in(stood.point, here.point)

    def _was_moved(self, folder: str) -> bool:
        for number, (path, stamp) in enumerate(self._known(folder)):
            if number >= _MOST_PROBES:
                break
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if (found.st_mtime_ns, found.st_size) == (stamp.mtime_ns, stamp.size):
                    return True
        return False


def _listening(table: str) -> tuple[Any, int | None]:
    """A poll object and descriptor that report changes of the kernel's table (proc(5): poll(2) with POLLERR and POLLPRI); None
    where the system has none."""
    if sys.platform == "win32" or table != TABLE:
        return None, None
    try:
        handle = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    poll = select.poll()
    poll.register(handle, select.POLLPRI | select.POLLERR)
    return poll, handle


def _read(kept: str) -> dict[str, Stood]:
    try:
        found = json.loads(kept) if kept else {}
        return {str(folder): Stood(str(point), int(device)) for folder, (point, device) in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
