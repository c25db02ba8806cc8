"""Receipts of the past: a file for each month, ``receipts-2026-11.jsonl`` and the like in the state folder.

A receipt is written to the file of its month once, in the order of ``seq``, and no such file is ever rewritten. So the last
``seq`` in a file says which receipts of that month it holds, whatever has been cut short; nothing else has to be recorded.
"""

import os
import re
from collections.abc import Collection
from typing import IO

from . import own_files, own_folders
from .events import lines_of, to_json
from .receipts import Receipt, last_seq_in, parse

_NAME = re.compile(r"receipts-([0-9]{4}-[0-9]{2})\.jsonl")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_NO_MONTH = "1970-01"  # of a receipt whose time is none
_PIECE = 256 * 1024  # bytes of lines that are written together
_BLOCK = 64 * 1024


def name_of(month: str) -> str:
    """The name of the file of a month (``2026-11``)."""
    return f"receipts-{month}.jsonl"


def month_of(receipt: Receipt) -> str:
    """The month of a receipt, as ``2026-11``."""
    month = receipt.at[:7]
    return month if _MONTH.fullmatch(month) else _NO_MONTH


def months(state_dir: str, *, any_owner: bool = False) -> list[str]:
    """The months that have a file, oldest first. ``any_owner``: of a folder of another user, too, for display. Raises OSError."""
    return sorted(found[1] for found in map(_NAME.fullmatch, own_folders.names(state_dir, any_owner=any_owner)) if found)


def last_seq_of_months(state_dir: str) -> int:
    """The highest ``seq`` in the files of all months, 0 where there are none. Raises OSError."""
    last = 0
    for month in months(state_dir):
        with os.fdopen(own_files.open_read(state_dir, name_of(month)), "rb") as file:
            last = max(last, last_seq_in(file))
    return last


def remove_oldest(state_dir: str, keep: int) -> None:
    """Of more than ``keep`` files of months remove the oldest. Files are counted and not months, since a clock that was wrong for a
    while must not cost all of them. Raises OSError."""
    for month in months(state_dir)[:-keep]:
        own_files.remove(state_dir, name_of(month))


def newest_kept(state_dir: str, requested: Collection[str]) -> list[Receipt]:
    """The newest receipt in the files of months of each file that has one of the ``requested`` paths or remote names, oldest first.
    Reads all of these files, those of another user, too: for display. Raises OSError."""
    # Lines are looked through before they are parsed: there may be millions.
    texts = [to_json(name)[1:-1].encode("ascii") for name in requested]
    newest: dict[tuple[str, str, str], Receipt] = {}
    for month in months(state_dir, any_owner=True):
        for line in lines_of(state_dir, name_of(month)):
            receipt = parse(line) if any(text in line for text in texts) else None
            if receipt is None or not {receipt.path, receipt.name} & set(requested):
                continue
            key = receipt.path, receipt.name, receipt.destination
            if key not in newest or newest[key].seq < receipt.seq:
                newest[key] = receipt
    return sorted(newest.values())


class MonthFiles:
    """Writes receipts to the files of their months. Every method raises OSError; what was written until then stays, and the next
    object of this class goes on behind it."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._last: dict[str, int] = {}
        self._lines: dict[str, list[bytes]] = {}
        self._bytes = 0

    def add(self, receipt: Receipt, line: bytes) -> None:
        """Write a receipt, with its whole ``line``, unless its month has it already. To be called in the order of ``seq``."""
        month = month_of(receipt)
        if month not in self._last:
            self._last[month] = self._begin(month)
        if receipt.seq <= self._last[month]:
            return
        self._last[month] = receipt.seq
        self._lines.setdefault(month, []).append(line)
        self._bytes += len(line)
        if self._bytes >= _PIECE:
            self._write()

    def flush(self) -> None:
        """Write what is left; all of it outlasts a power cut from here on."""
        self._write()
        own_files.sync_folder(self._state_dir)

    def _write(self) -> None:
        lines, self._lines, self._bytes = self._lines, {}, 0
        for month, rows in lines.items():
            handle = own_files.open_append(self._state_dir, name_of(month))
            try:
                own_files.write_all(handle, b"".join(rows))
                os.fsync(handle)
            finally:
                os.close(handle)

    def _begin(self, month: str) -> int:
        """The last ``seq`` in the file of a month; a line that was cut short is removed first, as it is written once more."""
        with os.fdopen(own_files.open_append(self._state_dir, name_of(month)), "r+b") as file:
            whole = _whole(file)
            if whole < file.seek(0, os.SEEK_END):
                file.truncate(whole)
            return last_seq_in(file)


def _whole(file: IO[bytes]) -> int:
    """Bytes of an open file up to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n") + 1
        if found:
            return begin + found
        end = begin
    return 0
