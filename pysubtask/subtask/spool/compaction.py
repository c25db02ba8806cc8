"""Once a day, beside the work of a child, what it remembers of files that are gone is bounded: receipts, stamps, and what is known
of the server.

The order, each step durable before the next; a kill between any two loses no receipt and writes none twice:

1. The stamps of missing files are forgotten. (Killed: the rest the next time.)
2. The receipts are appended to the files of their months. (Killed: the next run goes on behind the last whole line of each.)
3. Those that are still needed are written to a new file. (Killed: that file is removed by the next run.)
4. On the spool's thread what was delivered meanwhile is added to the new file, which then replaces the old one: one rename.
5. What is known of gone files on the server is forgotten. (Killed: the rest the next time; it only saves work.)
6. The oldest months are removed, and the day is noted.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from ...common import own_files, receipt_months
from ...common.errors import DiskLow
from ...common.limits import is_limit
from ...common.notify import data_name, hold_name, notify_name
from ...common.paths import encoded
from ...common.receipts import FILE, Receipt, parse
from .receipt_file import NEW, ReceiptFile
from .remote_files import RemoteKey
from .spool import Spool

COMPACT_BYTES = 512 * 1024  # about 1,000 receipts; below that it is not worth the rewriting
MANY_STAMPS = 1000  # fewer stamps are not checked
KNOWN_GONE = 10_000
"""Files that are gone whose newest receipt stays in the file of receipts, and with it what is known of them on the server: names
that are used again, as by a ring of pictures, are known again."""
_BATCH = 500
_LONGEST_LINE = 4 * 1024 * 1024  # bytes; a longer line is no receipt
_PIECE = 256 * 1024
_NOTED = "compacted"
_CLOSE_SECS = 10.0

Key = tuple[str, str, str]
"""Path, remote name and destination of a receipt."""


class _Stopped(Exception):
    """The child ends, and the rest is left to its next start."""


class Compaction:
    """``run`` runs a call on the spool's thread and waits for it; ``wall`` is the wall clock."""

    def __init__(
        self, state_dir: str, run: Callable[..., Any], spool: Spool, receipt_file: ReceiptFile, wall: Callable[[], float]
    ) -> None:
        self._state_dir = state_dir
        self._run = run
        self._spool = spool
        self._receipt_file = receipt_file
        self._wall = wall
        self._day = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def daily(self, keep_months: int, may_come_back: Callable[[str], bool]) -> None:
        """Begin the work of the day on a thread of its own, unless it was begun or there is little to do; cheap. ``keep_months``:
        how many files of months are kept; ``may_come_back``: whether a missing data file is to be remembered all the same."""
        day = time.strftime("%Y-%m-%d", time.gmtime(self._wall()))
        if day == self._day or (self._thread is not None and self._thread.is_alive()):
            return
        self._day = day
        if not self._is_large():
            return
        self._thread = threading.Thread(target=self._work, args=(day, keep_months, may_come_back), name="compaction", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:
            self._thread = None
            if not is_limit(exc):
                raise

    def wait(self) -> None:
        """Wait for the work that was begun."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Give up what is going on, soon, and wait a while for that. To be called before the spool's thread ends."""
        self._ending.set()
        if self._thread is not None:
            # A disk that hangs must not keep the child from its end; what is written later is as what a kill leaves.
            self._thread.join(_CLOSE_SECS)

    def _is_large(self) -> bool:
        stamps = self._spool.stamps
        if len(stamps.sources) + len(stamps.signals) >= MANY_STAMPS:
            return True
        try:
            return os.stat(os.path.join(self._state_dir, FILE)).st_size >= COMPACT_BYTES
        except OSError:
            return False

    def _work(self, day: str, keep_months: int, may_come_back: Callable[[str], bool]) -> None:
        # A disk that is full, fails or is removed keeps the present file and rows; the work is tried again on the next day, or at
        # the next start.
        with contextlib.suppress(OSError, DiskLow, sqlite3.Error, _Stopped):
            if self._ask(self._spool.meta.get, _NOTED, "") == day:
                return
            self._forget_missing(may_come_back)
            if os.stat(os.path.join(self._state_dir, FILE)).st_size >= COMPACT_BYTES:
                self._forget_gone(self._compact())
                receipt_months.remove_oldest(self._state_dir, keep_months)
            self._ask(self._spool.shrink)
            self._ask(self._spool.meta.set, _NOTED, day)

    def _check(self) -> None:
        if self._ending.is_set():
            raise _Stopped

    def _ask(self, call: Callable[..., Any], *args: Any) -> Any:
        """The result of a call on the spool's thread, which ends soon after this object is closed."""
        self._check()
        return self._run(call, *args)

    # -- stamps ---------------------------------------------------------------------------------------------

    def _forget_missing(self, may_come_back: Callable[[str], bool]) -> None:
        """Step 1: most files that go are forgotten at once, but not those that went while no child ran."""
        stamps = self._spool.stamps
        missing = {}
        for path in dict.fromkeys([*stamps.sources, *map(data_name, list(stamps.signals))]):
            self._check()
            # Their order: a file that is noted behind this line is there, or has another stamp.
            before = stamps.sources.get(path)
            if not any(map(os.path.lexists, (path, notify_name(path), hold_name(path)))) and not may_come_back(path):
                missing[path] = before
            if len(missing) >= _BATCH:
                self._ask(stamps.forget_unchanged, missing)
                missing = {}
        if missing:
            self._ask(stamps.forget_unchanged, missing)

    # -- receipts -------------------------------------------------------------------------------------------

    def _compact(self) -> set[RemoteKey]:
        """Steps 2 to 4: the files on the server that are known from receipts which stay."""
        try:
            with os.fdopen(own_files.open_read(self._state_dir, FILE), "rb") as file:
                found = os.fstat(file.fileno())
                kept, end = self._put_away(file, found.st_size)
                self._copy(file, sorted(kept.values()))
            rest: bytes = self._ask(self._receipt_file.replace, end, (found.st_dev, found.st_ino))
        except BaseException:
            with contextlib.suppress(OSError):  # it may be that very disk which fails; the next run removes it
                own_files.remove(self._state_dir, NEW)
            raise
        late = filter(None, map(parse, rest.splitlines(keepends=True)))
        return {(destination, encoded(name)) for _, name, destination in [*kept, *map(_key, late)]}

    def _put_away(self, file: IO[bytes], size: int) -> tuple[dict[Key, int], int]:
        """Step 2, of the whole lines in the first ``size`` bytes: the offsets of the receipts that stay in the file, and where the
        lines end."""
        month_files = receipt_months.MonthFiles(self._state_dir)
        needed: dict[Key, int] = {}
        gone: OrderedDict[Key, int] = OrderedDict()
        last = end = 0
        while end < size:
            self._check()
            line = file.readline(_LONGEST_LINE)
            if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                break  # it is being written: it goes with what is delivered meanwhile
            receipt = parse(line)
            if receipt is not None and receipt.seq > last:
                last = receipt.seq
                month_files.add(receipt, line)
                key = _key(receipt)
                needed.pop(key, None)
                gone.pop(key, None)
                # Archive, wait_delivered and dry run ask for files that are there, or whose disk is away for a while.
                if receipt.path in self._spool.stamps.sources or os.path.lexists(receipt.path):
                    needed[key] = end
                else:
                    gone[key] = end
                    if len(gone) > KNOWN_GONE:
                        gone.popitem(last=False)
            end += len(line)
        month_files.flush()
        return {**needed, **gone}, end

    def _copy(self, file: IO[bytes], offsets: list[int]) -> None:
        """Step 3."""
        own_files.remove(self._state_dir, NEW)
        handle = own_files.open_append(self._state_dir, NEW)
        try:
            piece: list[bytes] = []
            size = 0
            for offset in offsets:
                self._check()
                file.seek(offset)
                piece.append(file.readline())
                size += len(piece[-1])
                if size >= _PIECE:
                    own_files.write_all(handle, b"".join(piece))
                    piece, size = [], 0
            own_files.write_all(handle, b"".join(piece))
            # Here and not on the spool's thread, which would keep deliveries waiting.
            os.fsync(handle)
        finally:
            os.close(handle)

    # -- the server -----------------------------------------------------------------------------------------

    def _forget_gone(self, keep: set[RemoteKey]) -> None:
        """Step 5. A file that is delivered and gone during it may be forgotten: it would be sent whole if it came again."""
        after: RemoteKey | None = ("", b"")
        while after is not None:
            self._check()
            after = self._ask(self._spool.remote_files.drop_gone, after, keep, _BATCH)


def _key(receipt: Receipt) -> Key:
    return receipt.path, receipt.name, receipt.destination
