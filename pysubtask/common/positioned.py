"""Reads and writes at an offset of a file: pread(2) and pwrite(2), elsewhere a seek and a read or write that no other thread comes
between. Where the system has the calls the position of the descriptor stays; elsewhere it moves."""

from __future__ import annotations

import os
import threading

_seeking = threading.Lock()


def read_at(handle: int, count: int, offset: int) -> bytes:
    """Up to ``count`` bytes from ``offset``. OSError."""
    if hasattr(os, "pread"):
        data: bytes = os.pread(handle, count, offset)
        return data
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, count)


def read_into(handle: int, buffer: memoryview, offset: int) -> int:
    """Read from ``offset`` into ``buffer``; the number of bytes, 0 at the end of the file. OSError."""
    if hasattr(os, "preadv"):
        count: int = os.preadv(handle, [buffer], offset)
        return count
    data = read_at(handle, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def write_at(handle: int, data: bytes | memoryview, offset: int) -> int:
    """Write at ``offset``; the number of bytes that were written, which may be fewer. OSError."""
    if hasattr(os, "pwrite"):
        count: int = os.pwrite(handle, data, offset)
        return count
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)
