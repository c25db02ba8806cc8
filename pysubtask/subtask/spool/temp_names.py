"""The temporary names on the server: each is on record before a file is opened under it, and until the file is surely gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from ...common.clock import EARLIEST, is_plausible
from ...common.paths import decoded, encoded
from ...delivery_rules.temporary_names import temp_name
from .database import Commit, placeholders

TEMP_MEMORY_SECS = 600.0


class TempNames:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it."""

    def __init__(self, db: sqlite3.Connection, commit: Commit, destination: str) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination

    def names(self) -> list[str]:
        """The recorded temporary names of attempts that are over and will not be resumed: each file may still exist on the
        server."""
        rows = self._db.execute(
            "SELECT temp FROM temp WHERE destination = ? AND temp NOT IN (SELECT temp FROM job"
            " WHERE temp IS NOT NULL AND (state = 'sending' OR resume <> ''))",
            (self._destination,),
        )
        return [decoded(row[0]) for row in rows]

    def note(self, name: str, wall: float) -> str:
        """A new temporary name for an upload that is not in the queue (a heartbeat), committed before it is used."""
        temp = temp_name(name)
        # Before the file is opened: one that no record names would stay on the server for ever.
        with self._commit():
            self._db.execute("INSERT INTO temp VALUES (?, ?, ?, ?)", (self._destination, encoded(temp), encoded(name), wall))
        return temp

    def swept(self, asked: Iterable[str], removed: Iterable[str], wall: float) -> None:
        """Remove temporary names from the record after the server was asked to remove the files. A file that did not exist yet may
        still appear, from a server that was frozen with requests in its queue, so its name stays on record for a while."""
        first = EARLIEST if is_plausible(wall) else 0  # a name noted before the clock was set does not count as old
        with self._commit():
            self.remove([encoded(temp) for temp in removed])
            self._db.executemany(
                "DELETE FROM temp WHERE destination = ? AND temp = ? AND at < ? AND at >= ?",
                [(self._destination, encoded(temp), wall - TEMP_MEMORY_SECS, first) for temp in asked],
            )

    def of(self, names: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        """The recorded temporary names of each of these remote names, oldest first; all as they are stored."""
        found: dict[bytes, list[bytes]] = {}
        for name, temp in self._db.execute(
            f"SELECT name, temp FROM temp WHERE destination = ? AND name IN ({placeholders(names)}) ORDER BY at",
            (self._destination, *names),
        ):
            found.setdefault(name, []).append(temp)
        return found

    def store(self, temps: Sequence[tuple[bytes, bytes]], wall: float) -> None:
        """Inside a transaction: record temporary names (and the remote name of each) of attempts that are about to begin."""
        self._db.executemany(
            "INSERT OR IGNORE INTO temp VALUES (?, ?, ?, ?)", [(self._destination, temp, name, wall) for temp, name in temps]
        )

    def remove(self, temps: Sequence[bytes | None]) -> None:
        """Inside a transaction: remove these names from the record; None is skipped."""
        self._db.executemany(
            "DELETE FROM temp WHERE destination = ? AND temp = ?", [(self._destination, temp) for temp in temps if temp is not None]
        )
