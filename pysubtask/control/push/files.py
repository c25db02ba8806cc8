"""The files of a push. A file is identified by the digest of its content at the moment of reading."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from ...common.errors import SourceChanged, SourceError, SourceMissing
from ..exit_status import USAGE, CommandError

_PIECE = 1 << 20  # bytes per read, so that a large file is never in memory


class File(NamedTuple):
    """The first ``size`` bytes of ``path``, which go to the remote ``name``. ``mtime_ns``: the time of modification, in
    nanoseconds since the epoch. ``digest``: SHA-256 of the bytes, hexadecimal."""

    path: str
    name: str
    size: int
    mtime_ns: int
    digest: str


def named(paths: Sequence[str], name: str | None) -> list[tuple[str, str]]:
    """The path and the remote name of each file. Raises CommandError for a path that is no file, and where two files would have
    one name."""
    if name is not None and len(paths) > 1:
        raise CommandError("--as gives one file another name, and there are several. Push them one by one.", USAGE)
    found: dict[str, str] = {}
    for path in paths:
        own = name or os.path.basename(path)
        if os.path.isdir(path):
            raise CommandError(f"{path} is a folder. Name its files ({os.path.join(path, '*')}), or watch it with a task.", USAGE)
        if not os.path.exists(path):
            raise CommandError(f"There is no file {path}.", USAGE)
        if found.setdefault(own, path) != path:
            both = f"{found[own]} and {path} would both be {own!r} on the server"
            raise CommandError(f"{both}. Push them one by one, with --as.", USAGE)
    return [(path, own) for own, path in found.items()]


def read(path: str, name: str) -> File:
    """The file as it is now. Blocks while the content is read. Raises SourceMissing, SourceChanged or SourceError."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as exc:
        raise SourceMissing(f"{path}: it is not there") from exc
    except OSError as exc:
        raise SourceError(f"{path}: it cannot be read: {exc.strerror}") from exc
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"{path}: it is no regular file")
        return File(path, name, found.st_size, found.st_mtime_ns, _digest(file, found.st_size, path))


def is_as_read(file: File) -> bool:
    """Whether the file still has the size and time of its reading."""
    try:
        found = os.stat(file.path)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)


def confirm(file: File) -> None:
    """Raises SourceChanged where the uploaded bytes are no longer the beginning of the file. A file that only grew is accepted."""
    if is_as_read(file):
        return
    try:
        with open(file.path, "rb") as source:
            if os.fstat(source.fileno()).st_size >= file.size and _digest(source, file.size, file.path) == file.digest:
                return
    except OSError as exc:
        raise SourceChanged(f"{file.path}: it cannot be read any more: {exc.strerror}") from exc
    raise SourceChanged(f"{file.path}: it was changed while it was sent")


def _digest(file: BinaryIO, size: int, path: str) -> str:
    sha = hashlib.sha256()
    while size > 0:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise SourceChanged(f"{path}: it got shorter while it was read")
        sha.update(piece)
        size -= len(piece)
    return sha.hexdigest()
