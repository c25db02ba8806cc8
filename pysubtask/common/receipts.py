"""Proof of delivery: one JSON line each in ``receipts.jsonl`` of the state folder.

A receipt says which state of a local file (``path``, ``size``, ``mtime_ns``, ``digest``) stood under which
remote ``name`` at which ``destination``, ``at`` what time (UTC), how many file bytes were sent for it
(0: the server already had it), how many of them are new since the delivery before, how many bytes of any kind the link has carried
since the receipt before (null: not known), and how it was ``verified``.
``seq`` rises by one.
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import own_files
from .events import lines_of, to_json
from .state_files import RECEIPTS

FILE = RECEIPTS
COMPACT_BYTES = 512 * 1024  # about 1,000 receipts; below that it is not worth the rewriting


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
            size = file.seek(0, os.SEEK_END)
            back = 64 * 1024
            while True:
                file.seek(max(0, size - back))
                found = [receipt.seq for receipt in map(parse, file.read().splitlines(keepends=True)) if receipt]
                if found or back >= size:
                    return max(found, default=0)
                back *= 16
    except OSError:
        return 0


def append(state_dir: str, receipts: Iterable[Receipt], *, sync: bool = False) -> None:
    """Add lines at the end. Raises OSError; lines that were cut short are written again by the next start."""
    data = b"".join(map(to_line, receipts))
    if data:
        own_files.append_lines(state_dir, FILE, data, sync=sync)


def compact(state_dir: str, this_month: str) -> None:
    """Keep the last line of each file, and put lines of earlier months (``2026-11``) into files of their own.

    Does nothing while the file is small. A crash on the way leaves lines twice in a month's file, never none.
    """
    try:
        if os.stat(os.path.join(state_dir, FILE)).st_size < COMPACT_BYTES:
            return
    except OSError:
        return
    newest: dict[tuple[str, str, str], Receipt] = {}
    months: dict[str, list[bytes]] = {}
    for receipt in read_receipts(state_dir, any_owner=False):
        newest[receipt.path, receipt.name, receipt.destination] = receipt
        if receipt.at[:7] != this_month:
            months.setdefault(receipt.at[:7], []).append(to_line(receipt))
    for month, lines in months.items():
        with os.fdopen(own_files.open_append(state_dir, f"receipts-{month}.jsonl"), "r+b", buffering=0) as file:
            own_files.write_all(file.fileno(), b"".join(lines))
            os.fsync(file.fileno())
    own_files.replace(state_dir, FILE, b"".join(map(to_line, sorted(newest.values()))), sync=True)
