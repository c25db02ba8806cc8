"""The durable queue: one SQLite file, one connection, one thread. All SQL of the queue is here, in ``queue_admin``
and in ``database``.

A job is one remote name at the destination. It has at most two versions: one ``sending`` and one
``waiting``. A newer snapshot replaces the waiting one, never the running one; finishing marks only its own.
``parked`` is a waiting version that the server refused. What is delivered leaves the queue and stays as the
known state of the remote name plus a receipt.

Paths are stored as bytes, so that any name the file system allows survives.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...common.clock import EARLIEST, is_plausible
from ...common.destination import is_same_place
from ...common.events import utc
from ...common.notify import Stamp, hold_name, notify_name
from ...common.paths import decoded, encoded
from ...common.receipts import Receipt, parse, to_line
from ...delivery_rules.remote_content import Known
from ...delivery_rules.temporary_names import names_of_attempt, temp_name
from ...transports.base import RemoteStat
from ..delta.transfer_plan import TransferPlan, plan_transfer
from . import database
from .queue_admin import EVERYTHING, Counts, QueueAdmin

TEMP_MEMORY_SECS = 600.0
BIG_BYTES = 1024 * 1024
"""Bytes. A larger version takes long to send, and must leave a place for others."""
SIGNATURES_BYTES = 16 * 1024 * 1024
"""Bytes of all signatures together; the oldest are removed first."""
_CHECK_EVERY = 64


class Entry(NamedTuple):
    """A durable snapshot to put in the queue, with the stamps by which the watch knows that it was taken.

    ``name``: the remote name; ``path``: the data file; ``snapshot``: the file to send, the data file itself where ``live``.
    ``size`` in bytes, ``mtime_ns`` and ``digest`` (SHA-256, hexadecimal) are those of the content. ``at``: when it was notified
    (seconds since the epoch). ``stamp`` of the notify file (at ``notify_path``; None without one), ``hold`` (stamp of the hold
    file) and ``source`` (stamp of the data file) are recorded in the same commit. ``prefixes`` are the digests of some beginnings
    of the content, by their sizes; ``records``: its lines are to appear whole; ``base``: the snapshot begins with this byte.
    """

    name: str
    path: str
    snapshot: str
    live: bool
    size: int
    mtime_ns: int
    digest: str
    at: float
    source: Stamp
    notify_path: str | None = None
    stamp: Stamp | None = None
    hold: Stamp | None = None
    prefixes: Mapping[int, str] = {}
    records: bool | None = False
    base: int = 0

    def signals(self) -> dict[str, Stamp]:
        """The notify and hold files that are handled together with this snapshot, with their stamps."""
        found = {} if self.hold is None else {hold_name(self.path): self.hold}
        if self.notify_path is not None and self.stamp is not None:
            found[self.notify_path] = self.stamp
        return found


class Version(NamedTuple):
    """One row of the queue, taken to be sent: ``id`` is the key of the row; ``name``, ``path``, ``snapshot``, ``live``, ``size``,
    ``mtime_ns``, ``digest``, ``at``, ``records`` and ``base`` are those of its :class:`Entry`.

    ``attempts``: failed ones so far. ``temp``: the temp name to upload to; ``stale``: the temp names of earlier attempts at this
    remote name. ``compare``: the server may have this content already, so it is compared before it is sent. ``known``: what our
    last delivery left under the name; ``former``: the same over another protocol, where none was made over the present one.
    ``resume``: what the last attempt noted to go on from. ``plan``: how it is to be sent; an append is on record before it is
    begun.
    """

    id: int
    name: str
    path: str
    snapshot: str
    live: bool
    size: int
    mtime_ns: int
    digest: str
    at: float
    attempts: int
    compare: bool
    temp: str
    stale: tuple[str, ...]
    known: Known | None
    resume: str
    records: bool | None
    base: int
    plan: TransferPlan
    former: Known | None = None


class Done(NamedTuple):
    """A version (by its ``id``) that is on the server. ``remote``: what the server shows of it; ``verified``: how it was verified
    (see VERIFIED in transports.base; 'hook' where ``process_notify`` took it); ``bytes_sent``: file bytes that this upload sent;
    ``gone``: stale temp names that are surely removed;
    ``unchanged``: it was there already, nothing was sent; ``bytes_new``: how many of its bytes were not there before;
    ``bytes_on_wire``: what the link has carried for it, None where that is not known;
    ``signature``: of it, empty where it has none; None where the one of the version before still is that of its beginning."""

    id: int
    remote: RemoteStat
    bytes_sent: int
    verified: str
    gone: tuple[str, ...] = ()
    unchanged: bool = False
    bytes_new: int = 0
    signature: bytes | None = b""
    bytes_on_wire: int | None = None


class Parked(NamedTuple):
    """A version the server refused: its remote ``name``, the ``path`` of its data file, and the ``reason``."""

    name: str
    path: str
    reason: str


class Spool:
    """Opened with the path of the file and the identity of the destination. Not thread-safe: one thread calls it.

    After a change of destination the queue goes to the new one, and what was known of the files on the old server is forgotten.
    Where only the protocol is another (``former``: the destination by the protocol before), each file is compared with the server
    before it is sent. Raises SpoolDamaged on opening a file that is no queue, SpoolTooNew on one of a later format, and DiskLow
    where the disk is full.
    """

    def __init__(self, path: str, destination: str, wall: float) -> None:
        self.replaced: set[str] = set()
        """Names of the last ``enqueue`` that had a version in the queue already."""
        self.path = path
        self.destination = destination = database.storable(destination)
        with database.opening(path) as self._db:
            self._commit = functools.partial(database.commit, self._db, path)
            self.queue_admin = QueueAdmin(self._db, self._commit)
            self.epoch = self._begin(wall)
            self.stamps = {
                decoded(row[0]): Stamp(*row[1:]) for row in self._db.execute("SELECT path, mtime_ns, size, inode FROM stamp")
            }
            self.sources = {
                decoded(row[0]): (Stamp(*row[1:4]), str(row[4]))
                for row in self._db.execute("SELECT path, mtime_ns, size, inode, digest FROM source")
            }
            # Names that may have a signature; all other names have none.
            self._signed = {
                bytes(row[0]) for row in self._db.execute("SELECT name FROM signature WHERE destination = ?", (destination,))
            }

    def _begin(self, wall: float) -> int:
        """Start a new epoch: nothing is in flight, everything is due, and the queue belongs to the present destination."""
        with self._commit():
            epoch = int(self.meta("epoch", 0)) + 1
            self.set_meta("epoch", epoch)
            before = str(self.meta("destination", self.destination))
            moved = before != self.destination
            self.set_meta("destination", self.destination)
            if moved:
                self._come_from(before)
            self.former = str(self.meta("former", ""))
            # Where a newer version waits, the one that was in flight is dropped.
            self._db.execute("DELETE FROM job WHERE state = 'sending' AND name IN (SELECT name FROM job WHERE state <> 'sending')")
            self._db.execute("UPDATE job SET state = 'waiting', compare = 1 WHERE state = 'sending'")
            self._db.execute("UPDATE job SET state = 'waiting', due = 0, attempts = 0, reason = NULL")
            if moved:
                self._db.execute("UPDATE job SET compare = 0, resume = ''")
                self._db.execute("DELETE FROM source")
            self._db.execute("DELETE FROM profile WHERE destination <> ?", (self.destination,))
            if is_plausible(wall):  # temp names noted before the clock was set count as new
                self._db.execute("UPDATE temp SET at = ? WHERE at < ? OR at > ?", (wall, EARLIEST, wall + 86400))
            self._db.execute("DELETE FROM temp WHERE at < ?", (wall - 30 * 86400,))
        self.moved = moved
        return epoch

    def _come_from(self, before: str) -> None:
        """The destination was changed: the knowledge about the one ``before`` is kept where it is the same place over another
        protocol."""
        same = is_same_place(before, self.destination)
        self.set_meta("former", before if same else "")
        if same:
            # What is known from an earlier time over this protocol is older, so it is removed.
            for table in ("remote", "signature"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE destination = ? AND name IN (SELECT name FROM remote WHERE destination = ?)",
                    (self.destination, before),
                )

    def close(self) -> None:
        """Close the file; SQLite merges the WAL into it."""
        self._db.close()

    # -- small values -------------------------------------------------------------------------------------

    def meta(self, key: str, default: Any = None) -> Any:
        """A small value kept over restarts."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else row[0]

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a small value (durable at once, unless inside a transaction)."""
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, database.storable(value) if isinstance(value, str) else value),
        )

    def profile(self) -> str:
        """The stored profile of the server of this destination; empty where there is none."""
        row = self._db.execute("SELECT data FROM profile WHERE destination = ?", (self.destination,)).fetchone()
        return "" if row is None else str(row[0])

    def keep_profile(self, text: str) -> None:
        """Store the profile of the server. It is removed when the destination changes."""
        with self._commit():
            self._db.execute(
                "INSERT INTO profile VALUES (?, ?) ON CONFLICT (destination) DO UPDATE SET data = excluded.data",
                (self.destination, text),
            )

    # -- the watch's side ---------------------------------------------------------------------------------

    def enqueue(self, entries: Sequence[Entry]) -> list[str]:
        """Put snapshots into the queue, in one commit; the snapshots that are not needed any more because of that.

        A waiting version with the same content stays, and its new snapshot is the one not needed.
        """
        garbage: list[str] = []
        self.replaced = set()
        with self._commit():
            old = self._waiting([encoded(entry.name) for entry in entries])
            new_rows: dict[bytes, tuple[Any, ...]] = {}
            for entry in entries:
                if (name := encoded(entry.name)) in new_rows:
                    # A name twice in one call: the first version has to be in the queue before the second.
                    self._insert(new_rows)
                    old = self._waiting([name])
                    new_rows = {}
                if name in old:
                    self.replaced.add(entry.name)
                garbage += self._put(entry, name, old.get(name), new_rows)
            self._insert(new_rows)
            self._store_stamps(entries)
        self._remember(entries)
        return garbage

    def _waiting(self, names: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """The versions in the queue under these names that are not being sent."""
        rows = self._db.execute(
            "SELECT name, id, snapshot, live, digest, path, at FROM job WHERE state <> 'sending'"
            f" AND name IN ({_placeholders(names)})",
            names,
        )
        return {row[0]: row[1:] for row in rows}

    def _put(self, entry: Entry, name: bytes, old: tuple[Any, ...] | None, new_rows: dict[bytes, tuple[Any, ...]]) -> list[str]:
        """Put the row of an entry into ``new_rows``; the snapshots not needed any more."""
        if old is not None and old[3] == entry.digest and not entry.live and not old[2] and decoded(old[4]) == entry.path:
            # A refused file that is notified again is offered again.
            self._db.execute(
                "UPDATE job SET mtime_ns = ?, state = 'waiting', due = 0, attempts = 0, reason = NULL WHERE id = ?",
                (entry.mtime_ns, old[0]),
            )
            return [entry.snapshot]
        at = entry.at
        if old is not None:
            # The age of a version counts from the first notify that is not delivered yet.
            at = min(at, old[5])
            self._db.execute("DELETE FROM job WHERE id = ?", (old[0],))
        new_rows[name] = (
            name,
            encoded(entry.path),
            encoded(entry.snapshot),
            entry.live,
            entry.size,
            entry.mtime_ns,
            entry.digest,
            at,
            json.dumps(entry.prefixes) if entry.prefixes else "",
            entry.records,
            entry.base,
            self.destination,
            name,
            entry.digest,
            name,
            entry.digest,
        )
        return [decoded(old[1])] if old is not None and not old[2] else []

    def _insert(self, new_rows: Mapping[bytes, tuple[Any, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO job (name, state, path, snapshot, live, size, mtime_ns, digest, at, prefixes, records, base, compare)"
            " VALUES (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, EXISTS (SELECT 1 FROM remote WHERE destination = ? AND name = ?"
            " AND digest = ? UNION SELECT 1 FROM job WHERE name = ? AND state = 'sending' AND digest = ?))",
            new_rows.values(),
        )

    def _store_stamps(self, entries: Sequence[Entry]) -> None:
        self._db.executemany(
            "INSERT INTO source VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET mtime_ns = excluded.mtime_ns,"
            " size = excluded.size, inode = excluded.inode, digest = excluded.digest",
            [(encoded(entry.path), *entry.source, entry.digest) for entry in entries],
        )
        self._db.executemany(
            "INSERT INTO stamp VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET mtime_ns = excluded.mtime_ns,"
            " size = excluded.size, inode = excluded.inode",
            [(encoded(path), *stamp) for entry in entries for path, stamp in entry.signals().items()],
        )

    def seen(self, entries: Sequence[Entry]) -> None:
        """Record the stamps without queueing anything: the content has not changed."""
        with self._commit():
            self._store_stamps(entries)
        self._remember(entries)

    def _remember(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.sources[entry.path] = (entry.source, entry.digest)
            self.stamps.update(entry.signals())

    def forget(self, paths: Iterable[str]) -> None:
        """Forget the stamps of data files that left a watched folder, and of their notify and hold files."""
        gone = list(paths)
        signals = [name(path) for path in gone for name in (notify_name, hold_name)]
        with self._commit():
            self._db.executemany("DELETE FROM source WHERE path = ?", [(encoded(path),) for path in gone])
            self._db.executemany("DELETE FROM stamp WHERE path = ?", [(encoded(path),) for path in signals])
        for path in gone:
            self.sources.pop(path, None)
        for path in signals:
            self.stamps.pop(path, None)

    def known(self, name: str) -> Known | None:
        """What our last delivery left under a remote name."""
        row = self._db.execute(
            "SELECT digest, reach_size, reach_digest, size, mtime, rev, hash FROM remote WHERE destination = ? AND name = ?",
            (self.destination, encoded(name)),
        ).fetchone()
        return None if row is None else _known(row)

    def signature(self, name: str) -> bytes:
        """The signature of what our last delivery left under a remote name, or of its beginning; empty where there is none."""
        row = self._db.execute(
            "SELECT data FROM signature WHERE destination = ? AND name = ?", (self.destination, encoded(name))
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def _sign(self, name: bytes, signature: bytes) -> None:
        if name in self._signed:
            self._db.execute("DELETE FROM signature WHERE destination = ? AND name = ?", (self.destination, name))
        if not signature:
            return
        self._signed.add(name)
        row_id = self._db.execute(
            "INSERT INTO signature (destination, name, bytes, data) VALUES (?, ?, ?, ?)",
            (self.destination, name, len(signature), signature),
        ).lastrowid
        if row_id is not None and row_id % _CHECK_EVERY == 0:
            self._db.execute(
                "DELETE FROM signature WHERE id IN (SELECT id FROM"
                " (SELECT id, SUM(bytes) OVER (ORDER BY id DESC) AS total FROM signature) WHERE total > ?)",
                (SIGNATURES_BYTES,),
            )

    def known_sizes(self, names: Sequence[str]) -> dict[str, tuple[int, set[int]]]:
        """For each of these names the size delivered last (0: nothing), and all sizes of versions that the server has, or may
        have soon: the next version may have them as beginnings."""
        raw = [encoded(name) for name in names]
        rows = self._db.execute(
            f"SELECT name, size, reach_size FROM remote WHERE destination = ? AND name IN ({_placeholders(raw)})"
            f" UNION ALL SELECT name, NULL, size FROM job WHERE name IN ({_placeholders(raw)})",
            (self.destination, *raw, *raw),
        ).fetchall()
        found: dict[str, tuple[int, set[int]]] = {name: (0, set()) for name in names}
        for key, delivered, other in rows:
            name = decoded(key)
            found[name] = max(found[name][0], delivered or 0), found[name][1] | {size for size in (delivered, other) if size}
        return found

    def not_as_left(self, name: str) -> None:
        """Forget what was delivered under a name: the server has another file there."""
        with self._commit():
            self._db.execute(
                "DELETE FROM remote WHERE destination IN (?, ?) AND name = ?", (self.destination, self.former, encoded(name))
            )
            self._sign(encoded(name), b"")

    def owners(self) -> dict[str, str]:
        """The data file of each remote name, of those that are in their folders or in the queue."""
        rows = self._db.execute(
            "SELECT name, path FROM remote WHERE destination = ? AND path IN (SELECT path FROM source)"
            " UNION SELECT name, path FROM job",
            (self.destination,),
        )
        return {decoded(name): decoded(path) for name, path in rows}

    # -- the dispatcher's side -------------------------------------------------------------------------------

    def take(
        self, limit: int, now: float, wall: float, *, big: int | None = None, appends: bool = False, copies: bool = False
    ) -> list[Version]:
        """Take up to ``limit`` due versions, newest first but every fourth the oldest; they are ``sending`` now.

        At most ``big`` of them (None: no limit) are above BIG_BYTES, so that some place is left for small ones. ``now`` is
        monotonic. The temp name of each attempt is committed before it is used, and so is the target of an append, so that the
        state of the server is known after a crash. ``appends``, ``copies``: whether the server can append, or copy.
        """
        newest = self._due(limit, now, limit if big is None else big, newest=True)
        if not newest:
            return []
        if len(newest) == limit:
            oldest = self._due(limit // 4, now, limit if big is None else big // 4, newest=False)
            fresh = [found for found in newest if found not in oldest]
            newest = fresh[: limit - len(oldest)] + oldest
        with self._commit():
            return self._send(newest, wall, appends, copies)

    def _due(self, limit: int, now: float, big: int, *, newest: bool) -> list[int]:
        """Ids of up to ``limit`` due versions, at most ``big`` of them big ones, from one end of the queue."""
        if EVERYTHING in self.queue_admin.paused:
            return []
        order = "DESC" if newest else "ASC"
        due = (
            "SELECT id FROM job AS j WHERE state <> 'sending' AND due <= ? AND {} AND NOT EXISTS"
            " (SELECT 1 FROM job WHERE name = j.name AND state = 'sending') AND name NOT IN (SELECT name FROM pause)"
            " ORDER BY id " + order + " LIMIT ?"
        )
        if big >= limit:
            return [row[0] for row in self._db.execute(due.format("size >= ?"), (now, 0, limit))]
        found = self._db.execute(due.format("size - base > ?"), (now, BIG_BYTES, big)).fetchall() if big > 0 else []
        found += self._db.execute(due.format("size - base <= ?"), (now, BIG_BYTES, limit)).fetchall()
        return sorted((row[0] for row in found), reverse=newest)[:limit]

    def _send(self, jobs: Sequence[int], wall: float, appends: bool, copies: bool) -> list[Version]:
        rows = {
            row[0]: row
            for row in self._db.execute(
                "SELECT j.id, j.name, j.path, j.snapshot, j.live, j.size, j.mtime_ns, j.digest, j.at, j.attempts, j.compare,"
                " j.resume, j.records, j.base, j.prefixes, j.temp, r.name, r.digest, r.reach_size, r.reach_digest, r.size,"
                " r.mtime, r.rev, r.hash FROM job AS j LEFT JOIN remote AS r ON r.destination = ? AND r.name = j.name"
                f" WHERE j.id IN ({_placeholders(jobs)})",
                (self.destination, *jobs),
            )
        }
        earlier: dict[bytes, list[bytes]] = {}
        names = [row[1] for row in rows.values()]
        for name, temp in self._db.execute(
            f"SELECT name, temp FROM temp WHERE destination = ? AND name IN ({_placeholders(names)}) ORDER BY at",
            (self.destination, *names),
        ):
            earlier.setdefault(name, []).append(temp)
        former = self._left_before([row[1] for row in rows.values() if row[16] is None])
        taken, temps, reaches = [], [], []
        for job in jobs:
            (
                _,
                raw,
                path,
                snapshot,
                live,
                size,
                mtime_ns,
                digest,
                at,
                attempts,
                compare,
                resume,
                records,
                base,
                prefixes,
                old,
                there,
                *remote,
            ) = rows[job]
            name, known = decoded(raw), None if there is None else _known(remote)
            begins = {int(upto): digest for upto, digest in json.loads(prefixes).items()} if prefixes else {}
            # A live file may have changed by the time it is read.
            plan = plan_transfer(known, size, begins | {size: digest}, appends=appends and not live, copies=copies and not live)
            if plan.append is not None:
                reaches.append((size, digest, self.destination, raw))
            attempt = names_of_attempt(name, map(decoded, earlier.get(raw, ())), decoded(old or b""), resume)
            temps.append((encoded(attempt.temp), raw, job))
            taken.append(
                Version(
                    job,
                    name,
                    decoded(path),
                    decoded(snapshot),
                    bool(live),
                    size,
                    mtime_ns,
                    digest,
                    at,
                    attempts,
                    bool(compare),
                    attempt.temp,
                    attempt.stale,
                    known,
                    resume,
                    None if records is None else bool(records),
                    base,
                    plan,
                    former.get(raw),
                )
            )
        self._db.executemany("UPDATE remote SET reach_size = ?, reach_digest = ? WHERE destination = ? AND name = ?", reaches)
        self._db.executemany("UPDATE job SET state = 'sending', temp = ? WHERE id = ?", [(temp, job) for temp, _, job in temps])
        self._db.executemany(
            "INSERT OR IGNORE INTO temp VALUES (?, ?, ?, ?)", [(self.destination, temp, raw, wall) for temp, raw, _ in temps]
        )
        return taken

    def _left_before(self, names: Sequence[bytes]) -> dict[bytes, Known]:
        """The last deliveries under these names over the protocol before."""
        if not self.former or not names:
            return {}
        rows = self._db.execute(
            "SELECT name, digest, reach_size, reach_digest, size, mtime, rev, hash FROM remote"
            f" WHERE destination = ? AND name IN ({_placeholders(names)})",
            (self.former, *names),
        )
        return {row[0]: _known(row[1:]) for row in rows}

    def delivered(self, dones: Sequence[Done], wall: float) -> tuple[list[tuple[Done, Receipt]], list[str]]:
        """Record versions as delivered, in one commit; each with its receipt, and the snapshots not needed any more."""
        receipts: list[tuple[Done, Receipt]] = []
        garbage: list[str] = []
        with self._commit():
            seq = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM receipt").fetchone()[0]
            seq = max(seq, int(self.meta("receipt", 0)))
            rows = {
                row[0]: row[1:]
                for row in self._db.execute(
                    "SELECT id, name, path, snapshot, live, size, mtime_ns, digest, temp FROM job WHERE state = 'sending'"
                    f" AND id IN ({_placeholders(dones)})",
                    [done.id for done in dones],
                )
            }
            at, there, temps = utc(wall), [], []
            for done in dones:
                row = rows.pop(done.id, None)
                if row is None:
                    continue
                there.append((self.destination, row[0], row[1], row[6], *done.remote))
                if done.signature is not None:
                    self._sign(row[0], done.signature)
                # The temp file was renamed to the final name, or never created.
                temps += [row[7], *map(encoded, done.gone)]
                seq += 1
                receipt = Receipt(
                    seq,
                    at,
                    decoded(row[1]),
                    decoded(row[0]),
                    self.destination,
                    row[4],
                    row[5],
                    row[6],
                    done.bytes_sent,
                    done.verified,
                    done.bytes_new,
                    done.bytes_on_wire,
                )
                receipts.append((done, receipt))
                if not row[3]:
                    garbage.append(decoded(row[2]))
            self._db.executemany(
                "INSERT INTO remote (destination, name, path, digest, size, mtime, rev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (destination, name) DO UPDATE SET path = excluded.path, digest = excluded.digest,"
                " size = excluded.size, mtime = excluded.mtime, rev = excluded.rev, hash = excluded.hash,"
                " reach_size = NULL, reach_digest = NULL",
                there,
            )
            self._db.executemany("DELETE FROM job WHERE id = ?", [(done.id,) for done, _ in receipts])
            self._drop_temps(temps)
            self._db.executemany("INSERT INTO receipt VALUES (?, ?)", [(each.seq, to_line(each)) for _, each in receipts])
            self.set_meta("receipt", seq)
        return receipts, garbage

    def failed(self, job: int, reason: str, due: float, *, park: bool = False, compare: bool = False) -> list[str]:
        """Give a version back: it waits until ``due`` (monotonic), or is parked. Dropped where a newer one waits; the snapshots
        not needed any more. ``compare``: the server may have the content after all, so the next attempt compares first."""
        with self._commit():
            row = self._db.execute("SELECT name, snapshot, live FROM job WHERE id = ? AND state = 'sending'", (job,)).fetchone()
            if row is None:
                return []
            if self._db.execute("SELECT 1 FROM job WHERE name = ? AND state <> 'sending'", (row[0],)).fetchone():
                self._db.execute("DELETE FROM job WHERE id = ?", (job,))
                return [] if row[2] else [decoded(row[1])]
            self._db.execute(
                "UPDATE job SET state = ?, reason = ?, due = ?, attempts = attempts + 1, compare = MAX(compare, ?) WHERE id = ?",
                ("parked" if park else "waiting", database.storable(reason), due, compare, job),
            )
        return []

    def note(self, job: int, resume: str) -> None:
        """Keep the text from which an attempt can be resumed, should it be cut."""
        self._db.execute("UPDATE job SET resume = ? WHERE id = ? AND state = 'sending'", (database.storable(resume), job))

    def withdraw(self, job: int) -> str | None:
        """Drop a version whose snapshot cannot be read, so that its data file counts as never snapshotted; the path of the data
        file."""
        with self._commit():
            row = self._db.execute("SELECT path FROM job WHERE id = ?", (job,)).fetchone()
            if row is None:
                return None
            self._db.execute("DELETE FROM job WHERE id = ?", (job,))
            self._db.execute("DELETE FROM source WHERE path = ?", (row[0],))
        path = decoded(row[0])
        self.sources.pop(path, None)
        return path

    def note_temp(self, name: str, wall: float) -> str:
        """A new temp name for an upload that is not in the queue (a heartbeat), committed before it is used."""
        temp = temp_name(name)
        with self._commit():
            self._db.execute("INSERT INTO temp VALUES (?, ?, ?, ?)", (self.destination, encoded(temp), encoded(name), wall))
        return temp

    def temps(self) -> list[str]:
        """The recorded temp names of attempts that are over and will not be resumed: each file may still exist on the server."""
        rows = self._db.execute(
            "SELECT temp FROM temp WHERE destination = ? AND temp NOT IN (SELECT temp FROM job"
            " WHERE temp IS NOT NULL AND (state = 'sending' OR resume <> ''))",
            (self.destination,),
        )
        return [decoded(row[0]) for row in rows]

    def temps_swept(self, asked: Iterable[str], removed: Iterable[str], wall: float) -> None:
        """Remove temp names from the record after the server was asked to remove the files. A file that did not exist yet may
        still appear, from a server that was frozen with requests in its queue, so its name stays on record for a while."""
        first = EARLIEST if is_plausible(wall) else 0  # a name noted before the clock was set does not count as old
        with self._commit():
            self._drop_temps([encoded(temp) for temp in removed])
            self._db.executemany(
                "DELETE FROM temp WHERE destination = ? AND temp = ? AND at < ? AND at >= ?",
                [(self.destination, encoded(temp), wall - TEMP_MEMORY_SECS, first) for temp in asked],
            )

    def _drop_temps(self, temps: Sequence[bytes | None]) -> None:
        self._db.executemany(
            "DELETE FROM temp WHERE destination = ? AND temp = ?", [(self.destination, temp) for temp in temps if temp is not None]
        )

    # -- reading ------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """The queue in numbers."""
        return self.queue_admin.counts()

    def parked(self, limit: int = 20) -> list[Parked]:
        """The first versions the server refused, with its reason."""
        rows = self._db.execute("SELECT name, path, reason FROM job WHERE state = 'parked' ORDER BY id LIMIT ?", (limit,))
        return [Parked(decoded(name), decoded(path), reason or "") for name, path, reason in rows]

    def next_due(self) -> float | None:
        """When the next version may be sent (monotonic seconds); None where nothing waits that is not paused."""
        if EVERYTHING in self.queue_admin.paused:
            return None
        (due,) = self._db.execute(
            "SELECT MIN(due) FROM job AS j WHERE state <> 'sending'"
            " AND NOT EXISTS (SELECT 1 FROM job WHERE name = j.name AND state = 'sending')"
            " AND name NOT IN (SELECT name FROM pause)"
        ).fetchone()
        return None if due is None else float(due)

    def due_behind(self, names: Sequence[str]) -> float | None:
        """When the first of the versions that wait under these names may be sent (monotonic seconds)."""
        raw = [encoded(name) for name in names]
        (due,) = self._db.execute(
            f"SELECT MIN(due) FROM job WHERE state <> 'sending' AND name IN ({_placeholders(raw)})", raw
        ).fetchone()
        return None if due is None else float(due)

    def snapshots(self) -> set[str]:
        """Every snapshot the queue still needs."""
        return {decoded(row[0]) for row in self._db.execute("SELECT snapshot FROM job WHERE NOT live")}

    # -- receipts -----------------------------------------------------------------------------------------

    def receipts_after(self, seq: int) -> list[Receipt]:
        """The receipts kept here that come after ``seq``, the last one in the receipts file."""
        rows = self._db.execute("SELECT line FROM receipt WHERE seq > ? ORDER BY seq", (seq,))
        return [receipt for receipt in (parse(line) for (line,) in rows) if receipt is not None]

    def receipts_safe(self, seq: int) -> None:
        """The receipts file holds everything up to ``seq``, synced: remove the copies here."""
        with self._commit():
            self._db.execute("DELETE FROM receipt WHERE seq <= ?", (seq,))


def _placeholders(values: Sequence[Any]) -> str:
    """The placeholders for these values in a statement."""
    return ",".join("?" * len(values))


def _known(row: Sequence[Any]) -> Known:
    return Known(RemoteStat(*row[3:]), row[0], None if row[1] is None else (row[1], row[2]))
