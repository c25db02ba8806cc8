"""Proof of delivery: one JSON line each in ``receipts.jsonl`` of the state folder.

A receipt says which state of a local file (``path``, ``size``, ``mtime_ns``, ``digest``) stood under which
remote ``name`` at which ``destination``, ``at`` what time (UTC), how many file bytes were sent for it
(0: the server already had it), how many of them are new since the delivery before, how many bytes of any kind the link has carried
since the receipt before (null: not known), and how it was ``verified``.
``seq`` rises by one.

The file holds those since the last compaction and the newest one of each file that may be asked for; every receipt that was there
at a compaction is in the file of its month, too (``receipt_months.py``).
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from . import own_files
from .events import lines_of, to_json
from .state_files import RECEIPTS

FILE = RECEIPTS


class Receipt(NamedTuple):
    """One delivery, as a line of ``receipts.jsonl`` has it."""

    seq: int
    """Number of the receipt: 1, 2, 3 ..."""
    at: str
    """When the delivery was complete, UTC, as ``2026-11-21T20:37:10.205Z``."""
    path: str
    """Absolute path of the data file."""
    name: str
    """Its name on the server, relative to the folder of the destination."""
    destination: str
    """URL of the folder on the server, without secrets."""
    size: int
    """Bytes of the delivered version."""
    mtime_ns: int
    """Time of its last change, in nanoseconds since the epoch."""
    digest: str
    """Hash of its content."""
    bytes_sent: int
    """Bytes handed to the connection that delivered it."""
    verified: str
    """``hash``, ``size``, ``reply`` or ``taken``, see docs/config.md, How a delivery is verified."""
    bytes_new: int = 0
    """Bytes that were not in the delivery before."""
    bytes_on_wire: int | None = None
    """Bytes over the link in both directions since the receipt before; None where that is not known."""


_TYPES = (int, str, str, str, str, int, int, str, int, str, int, int)


@functools.lru_cache(maxsize=256)
def to_line(receipt: Receipt) -> bytes:
    """The receipt as a line of the file."""
    return to_json(receipt._asdict()).encode("ascii") + b"\n"


def parse(line: bytes) -> Receipt | None:
    """A line as a Receipt; None for anything else."""
    try:
        found = json.loads(line)
        # Lines of earlier versions lack what has a default.
        receipt = Receipt(
            **{field: found[field] for field in Receipt._fields if field in found or field not in Receipt._field_defaults}
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    complete = receipt if receipt.bytes_on_wire is not None else receipt._replace(bytes_on_wire=0)
    return receipt if all(type(value) is kind for value, kind in zip(complete, _TYPES, strict=True)) else None


def read_receipts(state_dir: str, *, any_owner: bool = True) -> Iterator[Receipt]:
    """All receipts of the present file, oldest first; torn lines and repeats of a ``seq`` are passed over. ``any_owner``: those
    of another user are read too, for display; a caller that acts on the content passes False."""
    last = 0
    for line in lines_of(state_dir, FILE, any_owner=any_owner):
        receipt = parse(line)
        if receipt is not None and receipt.seq > last:
            last = receipt.seq
            yield receipt


def last_seq(state_dir: str) -> int:
    """The highest ``seq`` in the file, 0 where there is none. Reads the end of the file only."""
    try:
        with os.fdopen(own_files.open_read(state_dir, FILE), "rb") as file:
            return last_seq_in(file)
    except OSError:
        return 0


def last_seq_in(file: IO[bytes]) -> int:
    """The highest ``seq`` at the end of an open file of receipts, 0 where there is none. Raises OSError."""
    size = file.seek(0, os.SEEK_END)
    back = 64 * 1024
    while True:
        file.seek(max(0, size - back))
        found = [receipt.seq for receipt in map(parse, file.read().splitlines(keepends=True)) if receipt]
        if found or back >= size:
            return max(found, default=0)
        back *= 16


def append(state_dir: str, receipts: Iterable[Receipt], *, sync: bool = False) -> None:
    """Add lines at the end. Raises OSError; lines that were cut short are written again by the next start."""
    data = b"".join(map(to_line, receipts))
    if data:
        own_files.append_lines(state_dir, FILE, data, sync=sync)
