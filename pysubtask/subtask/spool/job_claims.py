"""The claim of jobs: which are due, and what is on record before the first byte of one is sent."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from ...common.paths import decoded, encoded
from ...delivery_rules.remote_content import Known
from ...delivery_rules.temporary_names import AttemptNames, names_of_attempt
from ..delta.transfer_plan import TransferPlan, plan_transfer
from .database import Commit, placeholders
from .jobs import ClaimedJob
from .queue_admin import EVERYTHING
from .remote_files import RemoteFiles, known_of
from .temp_names import TempNames

BIG_BYTES = 1024 * 1024
"""Bytes. A larger job takes long to send, and must leave a place for others."""
_OLDEST_OF = 4
"""Of so many jobs that are claimed, one is the oldest: the newest alone would keep it back for ever."""
_MAY_BE_SENT = "NOT EXISTS (SELECT 1 FROM job WHERE name = j.name AND state = 'sending') AND name NOT IN (SELECT name FROM pause)"


class _Row(NamedTuple):
    """The columns of a job as they are stored."""

    id: int
    name: bytes
    path: bytes
    snapshot: bytes
    live: int
    size: int
    mtime_ns: int
    digest: str
    at: float
    attempts: int
    compare: int
    resume: str
    records: int | None
    base: int
    prefixes: str
    temp: bytes | None


_COLUMNS = ", ".join(f"j.{name}" for name in _Row._fields)


class JobClaims:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it. ``paused``: the names that are paused, as
    QueueAdmin has them."""

    def __init__(
        self,
        db: sqlite3.Connection,
        commit: Commit,
        destination: str,
        paused: Container[str],
        remote_files: RemoteFiles,
        temps: TempNames,
    ) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination
        self._paused = paused
        self._remote_files = remote_files
        self._temps = temps

    def claim(
        self, limit: int, now: float, wall: float, *, big: int | None = None, appends: bool = False, copies: bool = False
    ) -> list[ClaimedJob]:
        """Claim up to ``limit`` due jobs, newest first but every fourth the oldest; they are ``sending`` now.

        At most ``big`` of them (None: no limit) are above BIG_BYTES, so that some place is left for small ones. ``now`` is
        monotonic, ``wall`` is in seconds since the epoch. The temporary name of each attempt is committed before it is used, and
        so is the target of an append, so that the state of the server is known after a crash. ``appends``, ``copies``: whether the
        server can append, or copy.
        """
        newest = self._due(limit, now, limit if big is None else big, newest=True)
        if not newest:
            return []
        if len(newest) == limit:
            oldest = self._due(limit // _OLDEST_OF, now, limit if big is None else big // _OLDEST_OF, newest=False)
            fresh = [found for found in newest if found not in oldest]
            newest = fresh[: limit - len(oldest)] + oldest
        # One commit, before the first byte is sent: after a crash it is known which jobs were in flight, and under which names.
        with self._commit():
            return self._begin(newest, wall, appends, copies)

    def _due(self, limit: int, now: float, big: int, *, newest: bool) -> list[int]:
        """Ids of up to ``limit`` due jobs, at most ``big`` of them big ones, from one end of the queue."""
        if EVERYTHING in self._paused:
            return []
        order = "DESC" if newest else "ASC"
        due = (
            f"SELECT id FROM job AS j WHERE state <> 'sending' AND due <= ? AND {{}} AND {_MAY_BE_SENT} ORDER BY id {order} LIMIT ?"
        )
        if big >= limit:
            return [row[0] for row in self._db.execute(due.format("size >= ?"), (now, 0, limit))]
        found = self._db.execute(due.format("size - base > ?"), (now, BIG_BYTES, big)).fetchall() if big > 0 else []
        found += self._db.execute(due.format("size - base <= ?"), (now, BIG_BYTES, limit)).fetchall()
        return sorted((row[0] for row in found), reverse=newest)[:limit]

    def _begin(self, ids: Sequence[int], wall: float, appends: bool, copies: bool) -> list[ClaimedJob]:
        """Inside a transaction: put on record what the attempts at these jobs may leave on the server."""
        rows, left = self._rows(ids)
        earlier = self._temps.of([row.name for row in rows])
        former = self._remote_files.left_before([row.name for row in rows if row.id not in left])
        claimed, temps, reaches = [], [], []
        for row in rows:
            known = left.get(row.id)
            # The plan is made here, not by the uploads: how far an append reaches has to be in the same commit as the claim. After
            # a crash the next claim then knows every length that the server's file may have.
            plan = _plan(row, known, appends, copies)
            if plan.append is not None:
                reaches.append((row.size, row.digest, row.name))
            recorded = map(decoded, earlier.get(row.name, ()))
            attempt = names_of_attempt(decoded(row.name), recorded, decoded(row.temp or b""), row.resume)
            temps.append((encoded(attempt.temp), row.name))
            claimed.append(_claimed(row, attempt, known, plan, former.get(row.name)))
        self._remote_files.reach(reaches)
        self._db.executemany(
            "UPDATE job SET state = 'sending', temp = ? WHERE id = ?",
            [(temp, row.id) for row, (temp, _) in zip(rows, temps, strict=True)],
        )
        self._temps.store(temps, wall)
        return claimed

    def _rows(self, ids: Sequence[int]) -> tuple[list[_Row], dict[int, Known]]:
        """The rows of these jobs in this order, and what our last delivery left under the names of some of them, by job."""
        rows: dict[int, _Row] = {}
        left: dict[int, Known] = {}
        columns = len(_Row._fields)
        found: tuple[Any, ...]
        for found in self._db.execute(
            f"SELECT {_COLUMNS}, r.name, r.digest, r.reach_size, r.reach_digest, r.size, r.mtime, r.rev, r.hash"
            " FROM job AS j LEFT JOIN remote AS r ON r.destination = ? AND r.name = j.name"
            f" WHERE j.id IN ({placeholders(ids)})",
            (self._destination, *ids),
        ):
            row = rows[found[0]] = _Row(*found[:columns])
            if found[columns] is not None:
                left[row.id] = known_of(found[columns + 1 :])
        return [rows[each] for each in ids], left

    def next_due(self) -> float | None:
        """When the next job may be sent (monotonic seconds); None where nothing waits that is not paused."""
        if EVERYTHING in self._paused:
            return None
        (due,) = self._db.execute(f"SELECT MIN(due) FROM job AS j WHERE state <> 'sending' AND {_MAY_BE_SENT}").fetchone()
        return None if due is None else float(due)

    def due_behind(self, names: Sequence[str]) -> float | None:
        """When the first of the jobs that wait under these names may be sent (monotonic seconds)."""
        raw = [encoded(name) for name in names]
        (due,) = self._db.execute(
            f"SELECT MIN(due) FROM job WHERE state <> 'sending' AND name IN ({placeholders(raw)})", raw
        ).fetchone()
        return None if due is None else float(due)


def _plan(row: _Row, known: Known | None, appends: bool, copies: bool) -> TransferPlan:
    """How a job is to be sent."""
    beginnings = {int(upto): digest for upto, digest in json.loads(row.prefixes).items()} if row.prefixes else {}
    still = not row.live  # a live file may have changed by the time it is read
    return plan_transfer(known, row.size, beginnings | {row.size: row.digest}, appends=appends and still, copies=copies and still)


def _claimed(row: _Row, names: AttemptNames, known: Known | None, plan: TransferPlan, former: Known | None) -> ClaimedJob:
    return ClaimedJob(
        row.id,
        decoded(row.name),
        decoded(row.path),
        decoded(row.snapshot),
        bool(row.live),
        row.size,
        row.mtime_ns,
        row.digest,
        row.at,
        row.attempts,
        bool(row.compare),
        names.temp,
        names.stale,
        known,
        row.resume,
        None if row.records is None else bool(row.records),
        row.base,
        plan,
        former,
    )
