"""When a file was created: distinguishes a file that was deleted and created again from one that was changed, where the inode
number is the same."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from ...common.notify import Stamp

_AT_FDCWD = -100
_STATX_BTIME = 0x800


class _Statx(ctypes.Structure):
    """struct statx of statx(2), as far as it is read here."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("before", ctypes.c_uint8 * 76),
        ("creation_secs", ctypes.c_int64),
        ("creation_nsecs", ctypes.c_uint32),
        ("after", ctypes.c_uint8 * 164),
    )


def _find_statx() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError, TypeError):
        # Another system, or a C library older than 2018.
        return None


_statx = _find_statx()


def creation_ns(path: str) -> int | None:
    """The time a file was created, nanoseconds since the epoch; None where the system or file system does not report it."""
    if _statx is not None:
        found = _Statx()
        if _statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, ctypes.byref(found)) == 0 and found.mask & _STATX_BTIME:
            return int(found.creation_secs) * 1_000_000_000 + int(found.creation_nsecs)
        return None
    try:
        secs = getattr(os.stat(path), "st_birthtime", None)
    except OSError:
        return None
    return None if secs is None else int(secs * 1e9)


def was_recreated(path: str, seen: Stamp, last: Stamp) -> bool:
    """Whether a file, ``seen`` now, is another one than at its ``last`` snapshot though it has the same inode number: file
    systems use the numbers of deleted files again. True in doubt."""
    born = creation_ns(path)
    return born is None or born > last.mtime_ns or seen.mtime_ns < last.mtime_ns
