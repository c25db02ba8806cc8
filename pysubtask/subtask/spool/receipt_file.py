"""The file of receipts, as the spool's thread writes it: behind each commit, and once more where a crash came between."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...common import own_files, receipt_months, receipts
from ...common.receipts import Receipt
from .deliveries import Deliveries
from .meta import Meta

_SYNC_EVERY = 500
NEW = "receipts.jsonl.new"
"""The compacted file, until it replaces the present one. One that is left by a kill is removed by the next compaction."""


class ReceiptFile:
    """For the spool's thread alone. The receipts are in the spool, too, until the file has them on the disk."""

    def __init__(self, state_dir: str, deliveries: Deliveries, meta: Meta) -> None:
        self._state_dir = state_dir
        self._deliveries = deliveries
        self._meta = meta
        self._unsynced = 0
        self._unwritten: list[Receipt] = []

    def repair(self) -> None:
        """Write the receipts that a crash kept from the file, then remove their copies in the spool."""
        last = receipts.last_seq(self._state_dir)
        known = self._deliveries.last_seq()
        # A new spool beside a lost file: a number that a month has already would count as put away.
        used = max(last, known) or self._last_of_months()
        if known < used:
            self._meta.set("receipt", used)
        missing = list(self._deliveries.receipts_after(last))
        try:
            receipts.append(self._state_dir, missing, sync=True)
        except OSError:
            # A failure here delays nothing: the receipts stay in the spool, and are written before those of the next delivery.
            self._unwritten = missing
            return
        self._deliveries.receipts_safe(max(last, receipts.last_seq(self._state_dir)))

    def _last_of_months(self) -> int:
        try:
            return receipt_months.last_seq_of_months(self._state_dir)
        except OSError:
            return 0

    def write(self, committed: Sequence[Receipt]) -> None:
        """Append receipts that were committed. Where the file cannot be written they stay in the spool, and the next call or the
        next start writes them."""
        self._unwritten += committed
        self._unsynced += len(committed)
        try:
            receipts.append(self._state_dir, self._unwritten, sync=self._unsynced >= _SYNC_EVERY)
        except OSError:
            return
        if self._unsynced >= _SYNC_EVERY and self._unwritten:
            self._unsynced = 0
            # The copies in the spool go only after a sync: before it a power cut may take the lines.
            self._deliveries.receipts_safe(self._unwritten[-1].seq)
        self._unwritten = []

    def replace(self, end: int, identity: tuple[int, int]) -> bytes:
        """Put the compacted file in the place of the present one, of which it holds what is needed up to the offset ``end``; the
        lines behind that, which are copied. ``identity``: device and inode of the file that was compacted. Raises OSError, and the
        present file stays."""
        with os.fdopen(own_files.open_read(self._state_dir, receipts.FILE), "rb") as file:
            found = os.fstat(file.fileno())
            if (found.st_dev, found.st_ino) != identity:
                raise OSError(0, "the file of receipts was replaced while it was compacted")
            file.seek(end)
            rest = file.read()
        handle = own_files.open_append(self._state_dir, NEW)
        try:
            own_files.write_all(handle, rest)
            # Before the rename: a power cut behind it must not find an empty file under the name.
            os.fsync(handle)
        finally:
            os.close(handle)
        own_files.rename(self._state_dir, NEW, receipts.FILE)
        own_files.sync_folder(self._state_dir)
        return rest
