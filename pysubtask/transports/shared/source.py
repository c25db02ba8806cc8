"""The file that an upload reads."""

from __future__ import annotations

import os
import stat

from ...common import beneath, own_files, own_folders
from ...common.errors import SourceChanged, SourceMissing
from ...common.paths import folder_of, name_of
from ..base import Job


def open_source(job: Job) -> int:
    """A descriptor of ``job.source`` for reading; the caller closes it.

    Raises SourceMissing, and SourceChanged where it cannot be read, is no regular file, is shorter than ``job.size``
    (less what it lacks at its beginning), or is to be a snapshot and is a link or somebody else's.
    """
    # O_NONBLOCK: the open of a pipe in a data file's place must not block the caller.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if job.snapshot:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = _open(job, flags)
    except FileNotFoundError as exc:
        raise SourceMissing(f"{job.source}: it is not there") from exc
    except OSError as exc:
        raise SourceChanged(f"{job.source}: it cannot be read: {exc.strerror}") from exc
    found = os.fstat(fd)
    expected = job.size - job.base
    if not stat.S_ISREG(found.st_mode) or found.st_size < expected:
        os.close(fd)
        raise SourceChanged(f"{job.source}: it has {found.st_size:,} bytes, {expected:,} were to be sent")
    if job.snapshot and not own_files.is_regular_and_ours(found):
        os.close(fd)
        raise SourceChanged(f"{job.source}: it belongs to another user or has a second name, so it is not the copy that was made")
    return fd


def _open(job: Job, flags: int) -> int:
    if job.opener is not None:
        return job.opener()
    if not job.snapshot:
        return os.open(job.source, flags)
    folder = beneath.found_to_write(job.source)
    if folder is None:
        return os.open(job.source, flags)
    at, found = folder
    try:
        if not own_folders.is_by_us_or_root(found):
            raise own_folders.NotOurs(folder_of(job.source), "belongs to another user")
        return os.open(name_of(job.source), flags, dir_fd=at)
    finally:
        os.close(at)
