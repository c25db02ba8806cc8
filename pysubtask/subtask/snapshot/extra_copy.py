"""Copies a data file into another folder, for the subtasks of users."""

from __future__ import annotations

import contextlib
import os
import stat

from ...common import beneath, own_files
from .sources import opened

_BLOCK = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def copy_to_dir(source: str, folder: str) -> str:
    """Copy a file with its times and mode into a folder, which is created if missing, in one step; the path of the copy. Raises
    SourceMissing, SourceError, OSError."""
    target = os.path.join(folder, os.path.basename(source))
    with opened(os.path.abspath(source), None) as (handle, found):
        beneath.make_folders(os.path.abspath(folder))
        with beneath.to_write(os.path.abspath(target)) as at:
            name = os.path.abspath(target) if at is None else os.path.basename(target)
            # Others may write the folder, so the file is new and has a name that nobody can foresee.
            part = os.path.join(os.path.dirname(name), f".{os.path.basename(name)}.{os.urandom(8).hex()}.part")
            out = os.open(part, _NEW, 0o600, dir_fd=at)
            try:
                with os.fdopen(out, "wb", buffering=0):
                    while block := os.read(handle, _BLOCK):
                        own_files.write_all(out, block)
                    if os.chmod in os.supports_fd:
                        os.chmod(out, stat.S_IMODE(found.st_mode))
                    if os.utime in os.supports_fd:
                        os.utime(out, ns=(found.st_atime_ns, found.st_mtime_ns))
                os.replace(part, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part, dir_fd=at)
                raise
    return target
