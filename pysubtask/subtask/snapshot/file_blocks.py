"""The bytes of an open file, in blocks: data and holes are read, hashed and copied."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from ...common.errors import SourceChanged
from ...common.positioned import read_into, write_at
from ..delta.signature_cache import Growing
from .append_tracker import Digest
from .sources import unreadable

BLOCK = 1024 * 1024
"""Bytes that are read at once."""
_WRITE_OUT = 8 * BLOCK
_SMALL = 64 * 1024
_ZEROS = memoryview(bytes(BLOCK))


def copy_blocks(
    handle: int,
    out: int,
    found: os.stat_result,
    source: str,
    sha: Digest,
    base: int,
    growing: Growing | None = None,
    begin: int | None = None,
) -> None:
    """Copy the bytes from ``base`` up to the size in ``found`` and hash them; holes stay holes. ``source``: the file, for errors.
    ``growing``: is told of each block that was copied. ``begin``: the bytes before it are in ``out`` already. Raises
    SourceChanged, SourceError; OSError of ``out``."""
    os.ftruncate(out, found.st_size - base)
    unwritten = begin = base if begin is None else begin
    for data, offset, block in blocks(handle, found, source, begin):
        sha.update(block, offset)
        if data:
            done = 0
            while done < len(block):
                done += write_at(out, block[done:], offset - base + done)
        at = offset + len(block)
        if at - unwritten >= _WRITE_OUT:
            # On Linux this makes the kernel begin to write, so that the sync at the end has little left to do.
            begin_writing(out, unwritten - base, at - unwritten)
            unwritten = at
        if growing is not None:
            growing.reached(at)


def hash_blocks(handle: int, found: os.stat_result, source: str, sha: Digest, base: int = 0, upto: int | None = None) -> None:
    """Hash the bytes from ``base`` up to ``upto`` (None: the size in ``found``). ``source``: the file, for errors. Raises
    SourceChanged, SourceError."""
    for _, offset, block in blocks(handle, found, source, base, upto):
        sha.update(block, offset)


def blocks(
    handle: int, found: os.stat_result, source: str, base: int, upto: int | None = None
) -> Iterator[tuple[bool, int, memoryview]]:
    """The bytes from ``base`` up to ``upto`` (None: the size in ``found``) in pieces: whether they are data (or a hole), the
    offset, the bytes. ``source``: the file, for errors. Raises SourceChanged where it became shorter, SourceError."""
    size = found.st_size if upto is None else upto
    buffer = memoryview(bytearray(min(BLOCK, max(1, size - base))))
    for begin, end, data in extents(handle, found, base, upto):
        at = begin
        if not data and os.fstat(handle).st_size < end:
            raise SourceChanged(f"{source} became shorter while it was read")
        while at < end:
            want = min(BLOCK, end - at)
            if data:
                try:
                    got = read_into(handle, buffer[:want], at)
                except OSError as exc:
                    raise unreadable(exc, source) from exc
                if got == 0:
                    raise SourceChanged(f"{source} became shorter while it was read")
                yield True, at, buffer[:got]
            else:
                got = want
                yield False, at, _ZEROS[:got]
            at += got


def extents(handle: int, found: os.stat_result, at: int, upto: int | None = None) -> Iterator[tuple[int, int, bool]]:
    """Data and holes of a file from ``at`` up to ``upto`` (None: the size in ``found``), in order (lseek(2), SEEK_DATA and
    SEEK_HOLE)."""
    size = found.st_size if upto is None else upto
    # A file with as many blocks as bytes has no holes; a small file is read in one piece in any case.
    if sys.platform == "win32" or not hasattr(os, "SEEK_DATA") or (size <= _SMALL and found.st_blocks * 512 >= found.st_size):
        if at < size:
            yield at, size, True
        return
    while at < size:
        try:
            data = min(size, os.lseek(handle, at, os.SEEK_DATA))
        except OSError as exc:
            # ENXIO: a hole up to the end. Any other error: this file system has no such query.
            data = size if exc.errno == errno.ENXIO else at
            if exc.errno != errno.ENXIO:
                yield at, size, True
                return
        if data > at:
            yield at, data, False
        if data < size:
            end = min(size, os.lseek(handle, data, os.SEEK_HOLE))
            yield data, end, True
            at = end
        else:
            at = size


def begin_writing(out: int, offset: int = 0, count: int = 0) -> None:
    """Have the system begin to write ``count`` bytes of a file (0: all) to the disk, without waiting for it: posix_fadvise(2),
    POSIX_FADV_DONTNEED. Pages not yet on the disk are not dropped from memory, so the upload reads them from there."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # it only saves time
            os.posix_fadvise(out, offset, count, os.POSIX_FADV_DONTNEED)
