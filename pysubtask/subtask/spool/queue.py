"""The jobs of the queue: put in, given back after a failed attempt, and withdrawn.

A remote name has at most two jobs: one ``sending`` and one ``waiting``. A newer snapshot replaces the waiting one, never the
running one; a delivery ends only its own. ``parked`` is a waiting job that the server refused.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.paths import decoded, encoded
from .database import Commit, placeholders, storable
from .jobs import QueuedSnapshot
from .stamps import Stamps


class Queue:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it."""

    def __init__(self, db: sqlite3.Connection, commit: Commit, destination: str, stamps: Stamps) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination
        self._stamps = stamps
        self.replaced: set[str] = set()
        """Names of the last ``enqueue`` that had a waiting job in the queue already."""

    def enqueue(self, snapshots: Sequence[QueuedSnapshot]) -> list[str]:
        """Put snapshots into the queue, in one commit; the snapshots that are not needed any more because of that.

        A waiting job with the same content stays, and its new snapshot is the one not needed.
        """
        garbage: list[str] = []
        self.replaced = set()
        # Jobs and stamps are one commit: a notify counts as handled from the moment that its content is durably queued.
        with self._commit():
            old = self._waiting([encoded(one.name) for one in snapshots])
            new_rows: dict[bytes, tuple[Any, ...]] = {}
            for one in snapshots:
                if (name := encoded(one.name)) in new_rows:
                    # A name twice in one call: the first job has to be in the queue before the second.
                    self._insert(new_rows)
                    old = self._waiting([name])
                    new_rows = {}
                if name in old:
                    self.replaced.add(one.name)
                garbage += self._put(one, name, old.get(name), new_rows)
            self._insert(new_rows)
            self._stamps.store(snapshots)
        self._stamps.remember(snapshots)
        return garbage

    def _waiting(self, names: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """The jobs under these names that are not being sent."""
        rows = self._db.execute(
            "SELECT name, id, snapshot, live, digest, path, at FROM job WHERE state <> 'sending'"
            f" AND name IN ({placeholders(names)})",
            names,
        )
        return {row[0]: row[1:] for row in rows}

    def _put(
        self, one: QueuedSnapshot, name: bytes, old: tuple[Any, ...] | None, new_rows: dict[bytes, tuple[Any, ...]]
    ) -> list[str]:
        """Put the row of a snapshot into ``new_rows``; the snapshots not needed any more."""
        if old is not None and old[3] == one.digest and not one.live and not old[2] and decoded(old[4]) == one.path:
            # A refused file that is notified again is offered again.
            self._db.execute(
                "UPDATE job SET mtime_ns = ?, state = 'waiting', due = 0, attempts = 0, reason = NULL WHERE id = ?",
                (one.mtime_ns, old[0]),
            )
            return [one.snapshot]
        at = one.at
        if old is not None:
            # The age of a job counts from the first notify that is not delivered yet.
            at = min(at, old[5])
            self._db.execute("DELETE FROM job WHERE id = ?", (old[0],))
        new_rows[name] = (
            name,
            encoded(one.path),
            encoded(one.snapshot),
            one.live,
            one.size,
            one.mtime_ns,
            one.digest,
            at,
            json.dumps(one.prefixes) if one.prefixes else "",
            one.records,
            one.base,
            self._destination,
            name,
            one.digest,
            name,
            one.digest,
        )
        return [decoded(old[1])] if old is not None and not old[2] else []

    def _insert(self, new_rows: Mapping[bytes, tuple[Any, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO job (name, state, path, snapshot, live, size, mtime_ns, digest, at, prefixes, records, base, compare)"
            " VALUES (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, EXISTS (SELECT 1 FROM remote WHERE destination = ? AND name = ?"
            " AND digest = ? UNION SELECT 1 FROM job WHERE name = ? AND state = 'sending' AND digest = ?))",
            new_rows.values(),
        )

    def give_back(self, job: int, reason: str, due: float, *, park: bool = False, compare: bool = False) -> list[str]:
        """Give a job back: it waits until ``due`` (monotonic), or is parked. It is dropped where a newer one waits; the snapshots
        not needed any more. ``compare``: the server may have the content after all, so the next attempt compares first."""
        # One commit: between its steps a name would have two waiting jobs, or none.
        with self._commit():
            row = self._db.execute("SELECT name, snapshot, live FROM job WHERE id = ? AND state = 'sending'", (job,)).fetchone()
            if row is None:
                return []
            if self._db.execute("SELECT 1 FROM job WHERE name = ? AND state <> 'sending'", (row[0],)).fetchone():
                self._db.execute("DELETE FROM job WHERE id = ?", (job,))
                return [] if row[2] else [decoded(row[1])]
            self._db.execute(
                "UPDATE job SET state = ?, reason = ?, due = ?, attempts = attempts + 1, compare = MAX(compare, ?) WHERE id = ?",
                ("parked" if park else "waiting", storable(reason), due, compare, job),
            )
        return []

    def note(self, job: int, resume: str) -> None:
        """Keep the text from which an attempt can be resumed, should it be cut."""
        self._db.execute("UPDATE job SET resume = ? WHERE id = ? AND state = 'sending'", (storable(resume), job))

    def withdraw(self, job: int) -> str | None:
        """Drop a job whose snapshot cannot be read, so that its data file counts as never snapshotted; the path of the data
        file."""
        # One commit: a job that is gone while its data file counts as queued would never be sent.
        with self._commit():
            row = self._db.execute("SELECT path FROM job WHERE id = ?", (job,)).fetchone()
            if row is None:
                return None
            self._db.execute("DELETE FROM job WHERE id = ?", (job,))
            self._db.execute("DELETE FROM source WHERE path = ?", (row[0],))
        path = decoded(row[0])
        self._stamps.sources.pop(path, None)
        return path

    def snapshots(self) -> set[str]:
        """Every snapshot the queue still needs."""
        return {decoded(row[0]) for row in self._db.execute("SELECT snapshot FROM job WHERE NOT live")}
