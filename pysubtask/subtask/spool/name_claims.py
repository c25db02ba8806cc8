"""Which task owns a remote name, over all tasks of this user: one small database for each server, in the folder of the registry.

A task claims a name when its first file for it is due. Of several living tasks the one that claimed first owns it. A dead task
does not own its names, but is first again when it is back.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ...common.destination import server_of
from ...common.paths import encoded
from .claims_file import ClaimsFile
from .database import storable
from .living_tasks import LivingTasks

_POLL_SECS = 1.0


class Other(NamedTuple):
    """Who has a name: the ``task`` as people know it (``roof/ftp``), and the ``path`` of its data file."""

    task: str
    path: str


class NameClaims:
    """The claims of the task whose state folder is ``owner``. ``clock`` is monotonic. ``expects``: whether a dead task (by its
    state folder) will be back soon; ``lives``: whether a task is alive. For one thread.

    Without a folder for the file, or with a damaged file that cannot be replaced, nothing is claimed and ``problem`` gives the
    reason: a file is rather sent than kept back.
    """

    def __init__(
        self,
        destination: str,
        owner: str,
        task: str,
        clock: Callable[[], float],
        *,
        case_sensitive: bool = True,
        lives: Callable[[str], bool] | None = None,
        expects: Callable[[str], bool] | None = None,
        read_only: bool = False,
    ) -> None:
        self._server = server_of(destination)
        self._owner = os.fsencode(os.path.realpath(owner))
        self._task = storable(task)
        self._clock = clock
        self._exact = case_sensitive
        self._living = LivingTasks(clock, lives, expects)
        # Names that this task owns. While it lives only a task that is back and was first can take them, and that changes the
        # file.
        self._sure: dict[bytes, str] = {}
        self._sure_at = -1
        self._asked = float("-inf")
        self._version = -1
        self._file = ClaimsFile(self._server.key, read_only=read_only)

    @property
    def path(self) -> str:
        """The file with the claims."""
        return self._file.path

    @property
    def problem(self) -> str:
        """Why clashes of names may not be noticed; '' where they are."""
        return self._file.problem

    def close(self) -> None:
        """Close the file; the claims stay."""
        self._file.close()

    def moved(self, old: str) -> None:
        """The state of this task was in the folder ``old`` before: the claims made from there become claims of the present
        folder, with their old age."""
        before = os.fsencode(os.path.realpath(old))

        def change(db: sqlite3.Connection) -> None:
            db.execute("UPDATE OR REPLACE claim SET owner = ? WHERE owner = ?", (self._owner, before))
            db.execute("UPDATE last SET owner = ? WHERE owner = ?", (self._owner, before))

        self._file.change(change, None)

    def begin(self, names: Mapping[str, str]) -> list[str]:
        """Claim these names (name -> data file) at a start, and release all others. The names to which another task has sent in
        the meantime and that belong to this one again: the file on the server is not the one that this task left."""

        def change(db: sqlite3.Connection) -> list[str]:
            self._drop_gone(db)
            requested = {self._key(name): (name, encoded(path)) for name, path in names.items()}
            old = [row[0] for row in db.execute("SELECT name FROM claim WHERE owner = ?", (self._owner,))]
            db.executemany(
                "DELETE FROM claim WHERE name = ? AND owner = ?", [(key, self._owner) for key in old if key not in requested]
            )
            self._insert(db, ((key, path) for key, (_, path) in requested.items()))
            others = db.execute(
                "SELECT mine.name, mine.path FROM claim AS mine JOIN last ON last.name = mine.name"
                " WHERE mine.owner = ? AND last.owner <> ? AND last.path <> mine.path",
                (self._owner, self._owner),
            ).fetchall()
            regained = [key for key, path in others if self._first(db, key, os.fsdecode(path)) is None]
            db.executemany(
                "UPDATE last SET owner = ?, path = ? WHERE name = ?", [(self._owner, requested[key][1], key) for key in regained]
            )
            # The other tasks must notice that this one is back, also where nothing else changes in the file.
            (seen,) = db.execute("PRAGMA user_version").fetchone()
            db.execute(f"PRAGMA user_version = {(seen + 1) % 2**31}")
            return [requested[key][0] for key in regained]

        return self._file.change(change, [])

    def take(self, name: str, path: str) -> tuple[Other | None, bool]:
        """Claim a name for a data file: the owner (None: this task), and whether another task sent to it last."""
        return self.take_all([(name, path)])[0]

    def take_all(self, requested: Sequence[tuple[str, str]]) -> list[tuple[Other | None, bool]]:
        """Run :meth:`take` for many names (name, data file), in one transaction; names that this task is known to own cost
        none."""
        version = self._file.data_version()
        if version != self._sure_at:
            self._sure.clear()
            self._sure_at = version
        keys = [(self._key(name), path) for name, path in requested]
        open_ones = [(key, path) for key, path in keys if self._sure.get(key) != path]

        def change(db: sqlite3.Connection) -> dict[tuple[bytes, str], tuple[Other | None, bool]]:
            self._insert(db, [(key, encoded(path)) for key, path in open_ones])
            return {(key, path): self._taken(db, key, path) for key, path in open_ones}

        found: dict[tuple[bytes, str], tuple[Other | None, bool]] = self._file.change(change, {}) if open_ones else {}
        for (key, path), (other, _) in found.items():
            if other is None and version >= 0:
                self._sure[key] = path
        return [found.get(one, (None, False)) for one in keys]

    def _taken(self, db: sqlite3.Connection, key: bytes, path: str) -> tuple[Other | None, bool]:
        other = self._first(db, key, path)
        if other is not None:
            return other, False
        row, mine = db.execute("SELECT owner, path FROM last WHERE name = ?", (key,)).fetchone(), encoded(path)
        if row is None or row[0] != self._owner:
            db.execute("INSERT OR REPLACE INTO last VALUES (?, ?, ?)", (key, self._owner, mine))
        return None, row is not None and row[0] != self._owner and row[1] != mine

    def owner_of(self, name: str, path: str) -> Other | None:
        """The other task that owns a name, or would own it before this task; nothing is claimed."""
        return self._file.change(lambda db: self._first(db, self._key(name), path), None)

    def changed(self) -> bool:
        """Whether other tasks may have claimed anything since the last True of this method; called often, and cheap."""
        now = self._clock()
        if now - self._asked < _POLL_SECS or not self._file.is_open:
            return False
        self._asked = now
        before, version = self._version, self._file.data_version()
        if version < 0:
            return False
        self._version = version
        return version != before

    def release(self, names: Iterable[str]) -> None:
        """Release these names: their files are gone."""
        rows = [(self._key(name), self._owner) for name in names]
        for key, _ in rows:
            self._sure.pop(key, None)

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM claim WHERE name = ? AND owner = ?", rows)
            # As at a start: a child that runs for years must not keep a row for each name.
            unclaimed = "DELETE FROM last WHERE name = ? AND NOT EXISTS (SELECT 1 FROM claim WHERE claim.name = last.name)"
            db.executemany(unclaimed, [(key,) for key, _ in rows])

        if rows:
            self._file.change(change, None)

    # -- inside a transaction -----------------------------------------------------------------------------

    def _insert(self, db: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes]]) -> None:
        db.executemany(
            "INSERT INTO claim (name, owner, task, path) VALUES (?, ?, ?, ?) ON CONFLICT (name, owner)"
            " DO UPDATE SET task = excluded.task, path = excluded.path WHERE task <> excluded.task OR path <> excluded.path",
            [(key, self._owner, self._task, path) for key, path in rows],
        )

    def _first(self, db: sqlite3.Connection, key: bytes, path: str) -> Other | None:
        """The first of the other tasks whose claim counts and is older than that of this task."""
        rows = db.execute("SELECT owner, task, path FROM claim WHERE name = ? ORDER BY seq", (key,)).fetchall()
        for owner, task, theirs in rows:
            if owner == self._owner:
                return None
            other = os.fsdecode(theirs)
            if os.path.realpath(other) == os.path.realpath(path):
                continue  # two tasks that send the same file destroy nothing
            if os.path.lexists(other) and self._living.counts(os.fsdecode(owner)):
                return Other(task, other)
        return None

    def _drop_gone(self, db: sqlite3.Connection) -> None:
        """Remove the claims of tasks whose state folder is gone; one on a disk that is not mounted now may come back."""
        for (owner,) in db.execute("SELECT DISTINCT owner FROM claim").fetchall():
            state_dir = os.fsdecode(owner)
            if not os.path.isdir(state_dir) and os.path.isdir(os.path.dirname(os.path.dirname(state_dir))):
                db.execute("DELETE FROM claim WHERE owner = ?", (owner,))
        db.execute("DELETE FROM last WHERE name NOT IN (SELECT name FROM claim)")

    def _key(self, name: str) -> bytes:
        full = self._server.full(name)
        return encoded(full if self._exact else full.casefold())
