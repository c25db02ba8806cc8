"""Deliveries: a job that is on the server leaves the queue, and its receipt is kept here until the file of receipts has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from ...common.events import utc
from ...common.paths import decoded, encoded
from ...common.receipts import Receipt, parse, to_line
from .database import Commit, placeholders
from .jobs import DeliveryResult
from .meta import Meta
from .remote_files import RemoteFiles
from .temp_names import TempNames

Delivered = tuple[DeliveryResult, Receipt]


class Deliveries:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it."""

    def __init__(
        self, db: sqlite3.Connection, commit: Commit, destination: str, meta: Meta, remote_files: RemoteFiles, temps: TempNames
    ) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination
        self._meta = meta
        self._remote_files = remote_files
        self._temps = temps

    def record(self, results: Sequence[DeliveryResult], wall: float) -> tuple[list[Delivered], list[str]]:
        """Record jobs as delivered, in one commit; each with its receipt, and the snapshots not needed any more. ``wall``: seconds
        since the epoch. A job that is not being sent any more is skipped."""
        receipts: list[Delivered] = []
        garbage: list[str] = []
        files, temps = [], []
        # One commit: a job that is gone has a receipt, and one that is there still may be delivered again.
        with self._commit():
            seq, at = self.last_seq(), utc(wall)
            rows = self._rows([result.id for result in results])
            for result in results:
                row = rows.pop(result.id, None)
                if row is None:
                    continue
                name, path, snapshot, live, *_, digest, temp = row
                files.append((name, path, digest, result.remote))
                if result.signature is not None:
                    self._remote_files.sign(name, result.signature)
                # The temporary file was renamed to the final name, or never created.
                temps += [temp, *map(encoded, result.gone)]
                seq += 1
                receipts.append((result, self._receipt(seq, at, row, result)))
                if not live:
                    garbage.append(decoded(snapshot))
            self._remote_files.store(files)
            self._db.executemany("DELETE FROM job WHERE id = ?", [(result.id,) for result, _ in receipts])
            # The snapshot of a growing file is continued for the next job, which has the same name.
            names = [name for name, *_ in files]
            waiting = self._db.execute(f"SELECT snapshot FROM job WHERE name IN ({placeholders(names)})", names)
            needed = {decoded(snapshot) for (snapshot,) in waiting}
            self._temps.remove(temps)
            self._db.executemany("INSERT INTO receipt VALUES (?, ?)", [(each.seq, to_line(each)) for _, each in receipts])
        return receipts, [snapshot for snapshot in garbage if snapshot not in needed]

    def last_seq(self) -> int:
        """The number of the last receipt, 0 where there was none. That of a removed one is kept with the small values."""
        (kept,) = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM receipt").fetchone()
        return max(int(kept), int(self._meta.get("receipt", 0)))

    def _rows(self, ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """Name, path, snapshot, live, size, time, digest and temporary name of those of these jobs that are being sent."""
        rows: Iterable[tuple[Any, ...]] = self._db.execute(
            "SELECT id, name, path, snapshot, live, size, mtime_ns, digest, temp FROM job WHERE state = 'sending'"
            f" AND id IN ({placeholders(ids)})",
            ids,
        )
        return {row[0]: row[1:] for row in rows}

    def _receipt(self, seq: int, at: str, row: tuple[Any, ...], result: DeliveryResult) -> Receipt:
        name, path, _, _, size, mtime_ns, digest, _ = row
        return Receipt(
            seq,
            at,
            decoded(path),
            decoded(name),
            self._destination,
            size,
            mtime_ns,
            digest,
            result.bytes_sent,
            result.verified,
            result.bytes_new,
            result.bytes_on_wire,
        )

    def receipts_after(self, seq: int) -> list[Receipt]:
        """The receipts kept here that come after ``seq``, the last one in the receipts file."""
        rows = self._db.execute("SELECT line FROM receipt WHERE seq > ? ORDER BY seq", (seq,))
        return [receipt for receipt in (parse(line) for (line,) in rows) if receipt is not None]

    def receipts_safe(self, seq: int) -> None:
        """The receipts file holds everything up to ``seq``, synced: remove the copies here."""
        with self._commit():
            # The numbers go on behind the last one, whatever is removed.
            self._meta.set("receipt", self.last_seq())
            self._db.execute("DELETE FROM receipt WHERE seq <= ?", (seq,))
