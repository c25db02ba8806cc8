"""Small values in the queue's file that are kept over restarts, and the profile of the server."""

from __future__ import annotations

import sqlite3
from typing import Any

from .database import Commit, storable


class Meta:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it."""

    def __init__(self, db: sqlite3.Connection, commit: Commit, destination: str) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination

    def get(self, key: str, default: Any = None) -> Any:
        """A small value kept over restarts."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else row[0]

    def set(self, key: str, value: Any) -> None:
        """Keep a small value (durable at once, unless inside a transaction)."""
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, storable(value) if isinstance(value, str) else value),
        )

    def profile(self) -> str:
        """The stored profile of the server of this destination; empty where there is none."""
        row = self._db.execute("SELECT data FROM profile WHERE destination = ?", (self._destination,)).fetchone()
        return "" if row is None else str(row[0])

    def keep_profile(self, text: str) -> None:
        """Store the profile of the server. It is removed when the destination changes."""
        with self._commit():
            self._db.execute(
                "INSERT INTO profile VALUES (?, ?) ON CONFLICT (destination) DO UPDATE SET data = excluded.data",
                (self._destination, text),
            )
