"""Why the disk below a folder takes nothing, in words. The disk is only read."""

from __future__ import annotations

import errno
import os
import sys

from .mount_table import TABLE, mount_of

_LEAST_BYTES = 64 * 1024
"""Below this a disk counts as full: a status page may take as much."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that has no room; it may be that no further file can be made on it."""
BROKEN = (errno.EROFS, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESHUTDOWN, getattr(errno, "EUCLEAN", errno.EIO))
"""Errors of a disk that is read-only, fails, or was drawn out."""
NO_INODES = "it has no inodes left, so no file can be made on it, whatever room it has"
IS_FULL = "it is full"


def free_bytes(folder: str) -> int:
    """Bytes that this user can still write to the disk of a folder. OSError."""
    if hasattr(os, "statvfs"):
        room = os.statvfs(folder)
        return int(room.f_bavail * room.f_frsize)
    import shutil  # not for everybody: it loads much

    return shutil.disk_usage(folder).free


def space_of(found: os.stat_result) -> int:
    """Bytes that a file takes on its disk: fewer than its size where it has holes. Its size where the system does not tell."""
    if sys.platform == "win32":
        return found.st_size
    return found.st_blocks * 512


def fault_of(folder: str, *, table: str = TABLE) -> str:
    """Why nothing can be written to a folder now: read-only, full, without inodes, unplugged; '' where there is no sign of that.

    A file system that was made read-only by an error of its own may say so in the mount table alone (``emergency_ro``).
    """
    if sys.platform == "win32":
        return _windows_fault_of(folder)
    try:
        room = os.statvfs(folder)
    except OSError as exc:
        return "" if exc.errno in (errno.ENOENT, errno.ENOTDIR) else f"it cannot be read ({exc.strerror})"
    mount = mount_of(folder, table)
    options = mount.options if mount is not None else frozenset()
    if "shutdown" in options:
        return "it was shut down, as when a stick is drawn out"
    if "emergency_ro" in options:
        return "it is read-only since an error of its file system"
    if "ro" in options or room.f_flag & os.ST_RDONLY:
        return "it is read-only"
    if room.f_files and not room.f_favail:
        return NO_INODES
    return IS_FULL if (room.f_bfree if _is_root() else room.f_bavail) * room.f_frsize < _LEAST_BYTES else ""


def _windows_fault_of(folder: str) -> str:
    try:
        return IS_FULL if free_bytes(folder) < _LEAST_BYTES else ""
    except OSError as exc:
        return "" if exc.errno in (errno.ENOENT, errno.ENOTDIR) else f"it cannot be read ({exc.strerror})"


def problem_of(exc: OSError, folder: str) -> str:
    """What is wrong with the disk below ``folder`` that gave this error, where it is not the room on it; '' where it is that, or
    where the error is none of a disk."""
    if exc.errno in FULL:
        return found if (found := fault_of(folder)) == NO_INODES else ""
    if exc.errno not in BROKEN:
        return ""
    found = fault_of(folder)
    return found if found not in ("", IS_FULL, NO_INODES) else f"it fails ({exc.strerror or exc})"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def repair_of(problem: str) -> str:
    """What a person can do about a disk that takes nothing; ``problem`` as of :func:`fault_of`, '' for one without room."""
    if problem in ("", IS_FULL):
        return "Make room on the disk"
    if problem == NO_INODES:
        return "Make room for more files: 'df -i' shows which disk has no inodes left"
    if "read-only" in problem:
        return "'dmesg' says why the disk is read-only. Have it checked, and mount it writable again"
    return "Look whether the disk is there and whole: 'dmesg' says what became of it"
