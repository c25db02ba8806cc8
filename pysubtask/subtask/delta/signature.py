"""Signatures: the parts that a content consists of, so that the server can build the next version from parts of it.

A signature holds the sizes and digests of consecutive parts of a content. With pyfastcdc (the extra ``delta``) the content itself
decides where a part ends (FastCDC: W. Xia et al., "The Design of Fast Content-Defined Chunking", IEEE TPDS 2020), so parts are
found again wherever they have moved to. Without pyfastcdc all parts are blocks of one size. Such blocks are found at their old
offsets and, counted from the end, behind the last change, however far an insertion or a cut has moved them. A signature made with
one method cannot be compared with one made with the other.

Two parts are taken for the same where the first 128 bits of their SHA-256 are equal: like in rsync and restic, the strength of
the digest keeps one content from being taken for another.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ...common.errors import SourceChanged
from ...transports.base import Copy

LEAST_COPY = 4096
"""Bytes. A shorter copy costs the server more than it saves."""

FIXED, FASTCDC = 0, 1

_LEAST_PART, _MOST_PART = 8 * 1024, 1024 * 1024
_PARTS = 8192
_HEAD = struct.Struct(">4sBIQ")
_MAGIC = b"sig1"
_OPENED = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_SIZE = struct.Struct(">I")
_RECORD = 4 + 16

Record = bytes
"""Size and digest of one part."""


class Halted(Exception):
    """The computation was halted, because its result is not needed any more."""


class Signature(NamedTuple):
    """``method`` by which the first ``size`` bytes of a content were cut, the ``average`` size of a part in bytes, and the
    ``records`` of the parts in their order (size and digest of each)."""

    method: int
    average: int
    size: int
    records: tuple[Record, ...]

    def pack(self) -> bytes:
        """The signature as bytes, for the queue file."""
        return _HEAD.pack(_MAGIC, self.method, self.average, self.size) + b"".join(self.records)

    def parts(self) -> Iterator[tuple[int, int, Record]]:
        """Offset, size and record of each part."""
        at = 0
        for record in self.records:
            size = _size(record)
            yield at, size, record
            at += size

    def suits(self) -> bool:
        """Whether the average size of the parts is within a factor of four of the best one for this size."""
        best = average_for(self.size)
        return best <= 4 * self.average and self.average <= 4 * best


def unpack(data: bytes) -> Signature | None:
    """The signature that :meth:`Signature.pack` has packed; None for any other bytes."""
    if len(data) < _HEAD.size or (len(data) - _HEAD.size) % _RECORD:
        return None
    magic, method, average, size = _HEAD.unpack_from(data)
    records = tuple(data[at : at + _RECORD] for at in range(_HEAD.size, len(data), _RECORD))
    if magic != _MAGIC or not _LEAST_PART <= average <= _MOST_PART or sum(map(_size, records)) != size:
        return None
    return Signature(method, average, size, records)


def average_for(size: int) -> int:
    """The average size of a part in bytes for a content of ``size`` bytes, a power of two: smaller parts find more, but more of
    them must be stored."""
    average = _LEAST_PART
    while average < _MOST_PART and average * _PARTS < size:
        average *= 2
    return average


def sign(
    path: str, size: int, halted: Callable[[], bool], average: int | None = None, there: Callable[[int], int] | None = None
) -> Signature:
    """The signature of the first ``size`` bytes of a file. Blocks while it reads; ``halted`` is asked in between. ``there``: for
    a file that is still being written, waits for bytes at an offset and returns the offset up to which there are some.

    Raises Halted, SourceChanged where the file is shorter, and OSError.
    """
    average = average or average_for(size)
    with _opened(path) as file:
        return _signed(_Reader(file, size, halted, there), average)


def copies_of(
    old: Signature, had: int, path: str, size: int, halted: Callable[[], bool], new: Signature | None = None
) -> tuple[tuple[Copy, ...], Signature]:
    """What a server with a file of ``had`` bytes that begins with the content of ``old`` can copy from it for the first
    ``size`` bytes of a local file, and the signature of these, ``new`` if that was made with parts of the same size.
    Reads as :func:`sign` does.

    Nothing can be copied where ``old`` was made with another method than the one used here.
    """
    with _opened(path) as file:
        if new is None or new.average != old.average:
            new = _signed(_Reader(file, size, halted), old.average)
        if new.method != old.method:
            return (), new
        if new.method == FASTCDC:
            return settled(_by_content(old, new)), new
        return settled([*_by_place(old, new), *_by_end(old, had, file, size, halted)]), new


def _opened(path: str) -> io.FileIO:
    """A file opened for reading, without waiting for the other end of a pipe that was put in its place. Raises OSError,
    SourceChanged."""
    file = io.FileIO(path, opener=lambda path, flags: os.open(path, flags | _OPENED))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SourceChanged(f"{path} is no regular file any more")
    return file


def settled(copies: Iterable[Copy]) -> tuple[Copy, ...]:
    """The same copies in order: without overlaps, neighbours merged, tiny ones left out."""
    found: list[Copy] = []
    for at, size, origin in sorted(copies):
        last = found[-1] if found else Copy(0, 0, -1)
        over = max(0, last.at + last.size - at)
        if size <= over:
            continue
        one = Copy(at + over, size - over, origin + over)
        if (one.at, one.origin) == (last.at + last.size, last.origin + last.size):
            found[-1] = Copy(last.at, last.size + one.size, last.origin)
        else:
            found.append(one)
    return tuple(one for one in found if one.size >= LEAST_COPY)


def _by_content(old: Signature, new: Signature) -> Iterator[Copy]:
    places: dict[Record, int] = {}
    records: dict[int, Record] = {}
    for at, _, record in old.parts():
        places.setdefault(record, at)
        records[at] = record
    following = -1
    for at, size, record in new.parts():
        # Of equal parts take the one that follows the last copy, so that both become one copy.
        origin = following if records.get(following) == record else places.get(record)
        following = -1
        if origin is not None:
            following = origin + size
            yield Copy(at, size, origin)


def _by_place(old: Signature, new: Signature) -> Iterator[Copy]:
    for (at, size, record), other in zip(new.parts(), old.records, strict=False):
        if record == other:
            yield Copy(at, size, at)


def _by_end(old: Signature, had: int, file: io.FileIO, size: int, halted: Callable[[], bool]) -> Iterator[Copy]:
    """Blocks that lie as far from the end as before, back to the last change."""
    moved = size - had
    for at, length, record in reversed(list(old.parts()) if moved else []):
        if halted():
            raise Halted
        if at + moved < 0:
            return
        file.seek(at + moved)
        if _record(file.read(length)) != record:
            return
        yield Copy(at + moved, length, at)


def _signed(reader: _Reader, average: int) -> Signature:
    library = _fastcdc()
    if library is None:
        records = tuple(_record(part) for part in reader.blocks(average))
        return Signature(FIXED, average, reader.size, records)
    # All parameters are given, so that a later version with other defaults cuts the same parts.
    cutter = library(average, min_size=average // 4, max_size=average * 4, normalized_chunking=1, seed=0)
    records = tuple(_record(part.data) for part in cutter.cut_stream(reader))
    return Signature(FASTCDC, average, reader.size, records)


def _fastcdc() -> Any:
    """FastCDC of pyfastcdc; None where the package is missing, or not in its compiled form (the pure Python form cuts 3 MB a
    second)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pyfastcdc import FastCDC
    except ImportError:
        return None
    return FastCDC if FastCDC.__module__.startswith("pyfastcdc.cy") else None


def _record(part: bytes | memoryview) -> Record:
    return _SIZE.pack(len(part)) + hashlib.sha256(part).digest()[:16]


def _size(record: Record) -> int:
    return int(_SIZE.unpack_from(record)[0])


class _Reader:
    """Reads the first ``size`` bytes of a file, at a time no more than requested."""

    def __init__(self, file: io.FileIO, size: int, halted: Callable[[], bool], there: Callable[[int], int] | None = None) -> None:
        self.size = size
        self._there = there
        self._file = file
        self._left = size
        self._halted = halted

    def readinto(self, buffer: memoryview) -> int:
        if self._halted():
            raise Halted
        room = min(len(buffer), self._left)
        if self._there is not None and room:
            at = self.size - self._left
            room = min(room, self._there(at) - at)
            if self._halted():
                raise Halted
        count = self._file.readinto(buffer[:room]) or 0
        if not count and self._left and len(buffer):
            raise SourceChanged(f"{self._file.name!r} ends {self._left} bytes before its {self.size}")
        self._left -= count
        return count

    def blocks(self, size: int) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(size))
        while self._left:
            needed, filled = min(size, self._left), 0
            while filled < needed:
                filled += self.readinto(buffer[filled:needed])
            yield buffer[:filled]
