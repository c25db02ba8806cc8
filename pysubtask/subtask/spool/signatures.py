"""The signatures of what the last deliveries left on the server."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

SIGNATURES_BYTES = 16 * 1024 * 1024
"""Bytes of all signatures together; the oldest are removed first."""
_CHECK_EVERY = 64


class Signatures:
    """``db`` is the spool's connection; names are as they are stored, in bytes."""

    def __init__(self, db: sqlite3.Connection, destination: str) -> None:
        self._db = db
        self._destination = destination
        # Names that may have a signature; all other names have none, so no statement is run for them.
        self._signed = {bytes(row[0]) for row in db.execute("SELECT name FROM signature WHERE destination = ?", (destination,))}

    def get(self, name: bytes) -> bytes:
        """The signature under a name; empty where there is none."""
        row = self._db.execute(
            "SELECT data FROM signature WHERE destination = ? AND name = ?", (self._destination, name)
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def replace(self, name: bytes, signature: bytes) -> None:
        """Inside a transaction: the signature under a name is this one from now on; an empty one removes it."""
        if name in self._signed:
            self._db.execute("DELETE FROM signature WHERE destination = ? AND name = ?", (self._destination, name))
        if not signature:
            return
        self._signed.add(name)
        row_id = self._db.execute(
            "INSERT INTO signature (destination, name, bytes, data) VALUES (?, ?, ?, ?)",
            (self._destination, name, len(signature), signature),
        ).lastrowid
        if row_id is not None and row_id % _CHECK_EVERY == 0:
            self._db.execute(
                "DELETE FROM signature WHERE id IN (SELECT id FROM"
                " (SELECT id, SUM(bytes) OVER (ORDER BY id DESC) AS total FROM signature) WHERE total > ?)",
                (SIGNATURES_BYTES,),
            )

    def drop(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """Inside a transaction: remove the signatures of these files (destination and name)."""
        self._db.executemany("DELETE FROM signature WHERE destination = ? AND name = ?", rows)
        self._signed.difference_update(name for destination, name in rows if destination == self._destination)
