"""The queue as people see and change it: rows, pauses, retries, drops. Same file and thread as the spool."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...common.events import utc
from .database import Commit, storable

EVERYTHING = ""
"""The name in the table of pauses that means the whole task."""


class Row(NamedTuple):
    """One job in the queue. ``name``: the remote name; ``path``: the data file; ``state`` is waiting, sending, parked or
    paused; ``size`` in bytes; ``at``: when it was notified first (UTC); ``attempts``: failed ones in a row; ``due``: monotonic
    second of the next try, 0 for at once; ``reason``: what went wrong the last time, or who paused it."""

    name: str
    path: str
    state: str
    size: int
    at: str
    attempts: int
    due: float
    reason: str


class Counts(NamedTuple):
    """The queue in numbers: jobs ``waiting``, ``sending`` and ``parked``, the sum of their ``bytes``, and the wall-clock
    time of the ``oldest`` (seconds since the epoch, None for an empty queue)."""

    waiting: int
    sending: int
    parked: int
    bytes: int
    oldest: float | None


class ParkedJob(NamedTuple):
    """A job the server refused: its remote ``name``, the ``path`` of its data file, and the ``reason``."""

    name: str
    path: str
    reason: str


class QueueAdmin:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it."""

    def __init__(self, db: sqlite3.Connection, commit: Commit) -> None:
        self._db = db
        self._commit = commit
        self.paused: dict[str, str] = {os.fsdecode(name): who for name, who in db.execute("SELECT name, who FROM pause")}

    def tag(self) -> str | None:
        """The beginning of all snapshot names; None where no snapshot was made yet."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'tag'").fetchone()
        return None if row is None else str(row[0])

    def rows(self, limit: int = 1000) -> list[Row]:
        """The rows of the queue, oldest first, at most ``limit`` of them (-1: all)."""
        found = []
        everything = self.paused.get(EVERYTHING)
        for name, path, state, size, at, attempts, due, reason in self._db.execute(
            "SELECT name, path, state, size, at, attempts, due, reason FROM job ORDER BY at, id LIMIT ?", (limit,)
        ):
            by = self.paused.get(os.fsdecode(name), everything)
            state, reason = ("paused", f"paused by {by}") if by and state != "sending" else (state, reason or "")
            found.append(Row(os.fsdecode(name), os.fsdecode(path), state, size, utc(at), attempts, due or 0.0, reason))
        return found

    def counts(self) -> Counts:
        """The queue in numbers."""
        found = dict.fromkeys(("waiting", "sending", "parked"), 0)
        size, oldest = 0, None
        for state, number, total, first in self._db.execute("SELECT state, COUNT(*), SUM(size), MIN(at) FROM job GROUP BY state"):
            found[state] = number
            size += total
            oldest = first if oldest is None else min(oldest, first)
        return Counts(found["waiting"], found["sending"], found["parked"], size, oldest)

    def parked(self, limit: int = 20) -> list[ParkedJob]:
        """The first jobs the server refused, with its reason."""
        rows = self._db.execute("SELECT name, path, reason FROM job WHERE state = 'parked' ORDER BY id LIMIT ?", (limit,))
        return [ParkedJob(os.fsdecode(name), os.fsdecode(path), reason or "") for name, path, reason in rows]

    def names_of(self, asked: Iterable[str], cwd: str = "") -> list[str]:
        """The remote names that are meant: each of ``asked`` is one, or the path of a data file (relative to ``cwd``). Raises
        KeyError for one that is neither in the queue nor paused."""
        queued = {os.fsdecode(name): os.fsdecode(path) for name, path in self._db.execute("SELECT name, path FROM job")}
        by_path = {path: name for name, path in queued.items()}
        names = []
        for word in asked:
            if word in queued or (word in self.paused and word != EVERYTHING):
                names.append(word)
            elif (path := os.path.abspath(os.path.join(cwd, word))) in by_path:
                names.append(by_path[path])
            else:
                raise KeyError(word)
        return names

    def pause(self, names: Iterable[str], who: str, at: str) -> None:
        """Stop sending these names until they are resumed; EVERYTHING is the whole task. Kept over restarts."""
        with self._commit():
            for name in names:
                self._db.execute("INSERT OR REPLACE INTO pause VALUES (?, ?, ?)", (os.fsencode(name), storable(who), at))
                self.paused[name] = who

    def resume(self, names: Iterable[str]) -> list[str]:
        """End these pauses; the names that were paused."""
        ended = [name for name in names if name in self.paused]
        with self._commit():
            for name in ended:
                self._db.execute("DELETE FROM pause WHERE name = ?", (os.fsencode(name),))
        for name in ended:
            del self.paused[name]
        return ended

    def retry(self, names: Iterable[str] | None) -> int:
        """Make these jobs (None: all) due at once, parked ones too; the number of them."""
        with self._commit():
            change = "UPDATE job SET state = 'waiting', due = 0, attempts = 0, reason = NULL WHERE state <> 'sending'"
            if names is None:
                return self._db.execute(change).rowcount
            return sum(self._db.execute(change + " AND name = ?", (os.fsencode(name),)).rowcount for name in names)

    def drop(self, names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
        """Take jobs out of the queue: (names dropped, names that are being sent and stay, snapshots not needed any more).
        The data files are left alone, and count as notified until they change."""
        dropped, moving, garbage = [], [], []
        with self._commit():
            for name in names:
                raw = os.fsencode(name)
                if self._db.execute("SELECT 1 FROM job WHERE name = ? AND state = 'sending'", (raw,)).fetchone():
                    moving.append(name)
                    continue
                for snapshot, live in self._db.execute("SELECT snapshot, live FROM job WHERE name = ?", (raw,)).fetchall():
                    dropped.append(name)
                    if not live:
                        garbage.append(os.fsdecode(snapshot))
                self._db.execute("DELETE FROM job WHERE name = ?", (raw,))
                self._db.execute("DELETE FROM pause WHERE name = ?", (raw,))
                self.paused.pop(name, None)
        return dropped, moving, garbage

    def pauses(self) -> list[dict[str, Any]]:
        """The pauses, for the status page: ``name`` (None: the whole task) and ``who``."""
        return [{"name": name or None, "who": who} for name, who in sorted(self.paused.items())]
