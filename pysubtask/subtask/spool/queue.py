"""The jobs of the queue: put in, claimed, given back after a failed attempt, and withdrawn.

A remote name has at most two jobs: one ``sending`` and one ``waiting``. A newer snapshot replaces the waiting one, never the
running one; a delivery ends only its own. ``parked`` is a waiting job that the server refused.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from ...common.paths import decoded, encoded
from ...delivery_rules.remote_content import Known
from ...delivery_rules.temporary_names import AttemptNames, names_of_attempt
from ..delta.transfer_plan import TransferPlan, plan_transfer
from .database import Commit, placeholders, storable
from .jobs import ClaimedJob, QueuedSnapshot
from .queue_admin import EVERYTHING
from .remote_files import RemoteFiles, known_of
from .stamps import Stamps
from .standing_claim import StandingClaim
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


class Queue:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it. ``paused``: the names that are paused, as
    QueueAdmin has them."""

    def __init__(
        self,
        db: sqlite3.Connection,
        commit: Commit,
        destination: str,
        paused: Container[str],
        stamps: Stamps,
        remote_files: RemoteFiles,
        temps: TempNames,
    ) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination
        self._paused = paused
        self._stamps = stamps
        self._remote_files = remote_files
        self._temps = temps
        self.standing = StandingClaim()
        self.replaced: set[str] = set()
        """Names of the last ``enqueue`` that had a waiting job in the queue already."""

    def enqueue(self, snapshots: Sequence[QueuedSnapshot]) -> list[str]:
        """Put snapshots into the queue, in one commit; the snapshots that are not needed any more because of that.

        A waiting job with the same content stays, and its new snapshot is the one not needed. Where a claim was left with the queue
        (``standing``), jobs are claimed in the same commit.
        """
        self.replaced = set()
        terms, claimed = self.standing.take(), list[ClaimedJob]()
        try:
            # Jobs and stamps are one commit: a notify counts as handled from the moment that its content is durably queued.
            with self._commit():
                garbage = self._enqueue(snapshots)
                self._stamps.store(snapshots)
                if terms is not None:
                    claimed = self._begin(
                        self._choose(terms.limit, terms.now, terms.big), snapshots[-1].at, terms.appends, terms.copies
                    )
        except BaseException:
            self.standing.settle(terms, ())  # the transaction was rolled back
            raise
        self._stamps.remember(snapshots)
        self.standing.commits += 1
        # The last step: from here on the dispatcher may send what was claimed.
        self.standing.settle(terms, claimed)
        return garbage

    def _enqueue(self, snapshots: Sequence[QueuedSnapshot]) -> list[str]:
        """Inside a transaction: the rows of these snapshots; the snapshots that are not needed any more."""
        garbage: list[str] = []
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
            return [] if self._needs(name, encoded(one.snapshot)) else [one.snapshot]
        at, is_needed = one.at, False
        if old is not None:
            # The age of a job counts from the first notify that is not delivered yet.
            at = min(at, old[5])
            self._db.execute("DELETE FROM job WHERE id = ?", (old[0],))
            is_needed = decoded(old[1]) == one.snapshot or self._needs(name, old[1])
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
        return [decoded(old[1])] if old is not None and not old[2] and not is_needed else []

    def _insert(self, new_rows: Mapping[bytes, tuple[Any, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO job (name, state, path, snapshot, live, size, mtime_ns, digest, at, prefixes, records, base, compare)"
            " VALUES (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, EXISTS (SELECT 1 FROM remote WHERE destination = ? AND name = ?"
            " AND digest = ? UNION SELECT 1 FROM job WHERE name = ? AND state = 'sending' AND digest = ?))",
            new_rows.values(),
        )

    # -- claims ----------------------------------------------------------------------------------------------

    def claim(
        self, limit: int, now: float, wall: float, *, big: int | None = None, appends: bool = False, copies: bool = False
    ) -> list[ClaimedJob]:
        """Claim up to ``limit`` due jobs, newest first but every fourth the oldest; they are ``sending`` now.

        At most ``big`` of them (None: no limit) are above BIG_BYTES, so that some place is left for small ones. ``now`` is
        monotonic, ``wall`` is in seconds since the epoch. The temporary name of each attempt is committed before it is used, and
        so is the target of an append, so that the state of the server is known after a crash. ``appends``, ``copies``: whether the
        server can append, or copy.
        """
        chosen = self._choose(limit, now, limit if big is None else big)
        if not chosen:
            return []
        # One commit, before the first byte is sent: after a crash it is known which jobs were in flight, and under which names.
        with self._commit():
            return self._begin(chosen, wall, appends, copies)

    def _choose(self, limit: int, now: float, big: int) -> list[int]:
        """Ids of up to ``limit`` due jobs, at most ``big`` of them big ones: the newest, but every fourth the oldest."""
        newest = self._due(limit, now, big, newest=True)
        if len(newest) < limit:
            return newest
        oldest = self._due(limit // _OLDEST_OF, now, limit if big >= limit else big // _OLDEST_OF, newest=False)
        fresh = [found for found in newest if found not in oldest]
        return fresh[: limit - len(oldest)] + oldest

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

    # -- after an attempt -------------------------------------------------------------------------------------

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
                return [] if row[2] or self._needs(row[0], row[1]) else [decoded(row[1])]
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

    def needs(self, name: str, snapshot: str) -> bool:
        """Whether a job under this remote name has this snapshot."""
        return self._needs(encoded(name), encoded(snapshot))

    def _needs(self, name: bytes, snapshot: bytes) -> bool:
        # The snapshot of a growing file is continued for the next job, which has the same name.
        found = self._db.execute("SELECT 1 FROM job WHERE name = ? AND snapshot = ? AND NOT live", (name, snapshot))
        return found.fetchone() is not None

    def snapshots(self) -> set[str]:
        """Every snapshot the queue still needs."""
        return {decoded(row[0]) for row in self._db.execute("SELECT snapshot FROM job WHERE NOT live")}


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
