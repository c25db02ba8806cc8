"""What our last deliveries left on the server, by remote name."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Sequence
from typing import Any

from ...common.paths import decoded, encoded
from ...delivery_rules.remote_content import Known
from ...transports.base import RemoteStat
from .database import Commit, placeholders
from .signatures import Signatures

RemoteKey = tuple[str, bytes]
"""The destination and the name (as it is stored) of a file on a server."""


class RemoteFiles:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it. ``former``: the same place over the protocol before
    ('' where there is none)."""

    def __init__(self, db: sqlite3.Connection, commit: Commit, destination: str, former: str) -> None:
        self._db = db
        self._commit = commit
        self._destination = destination
        self._former = former
        self._signatures = Signatures(db, destination)

    def known(self, name: str) -> Known | None:
        """What our last delivery left under a remote name."""
        row = self._db.execute(
            "SELECT digest, reach_size, reach_digest, size, mtime, rev, hash FROM remote WHERE destination = ? AND name = ?",
            (self._destination, encoded(name)),
        ).fetchone()
        return None if row is None else known_of(row)

    def left_before(self, names: Sequence[bytes]) -> dict[bytes, Known]:
        """The last deliveries under these names (as they are stored) over the protocol before."""
        if not self._former or not names:
            return {}
        rows = self._db.execute(
            "SELECT name, digest, reach_size, reach_digest, size, mtime, rev, hash FROM remote"
            f" WHERE destination = ? AND name IN ({placeholders(names)})",
            (self._former, *names),
        )
        return {row[0]: known_of(row[1:]) for row in rows}

    def known_sizes(self, names: Sequence[str]) -> dict[str, tuple[int, set[int]]]:
        """For each of these names the size delivered last (0: nothing), and all sizes of contents that the server has, or may
        have soon: the next content may have them as beginnings."""
        raw = [encoded(name) for name in names]
        rows = self._db.execute(
            f"SELECT name, size, reach_size FROM remote WHERE destination = ? AND name IN ({placeholders(raw)})"
            f" UNION ALL SELECT name, NULL, size FROM job WHERE name IN ({placeholders(raw)})",
            (self._destination, *raw, *raw),
        ).fetchall()
        found: dict[str, tuple[int, set[int]]] = {name: (0, set()) for name in names}
        for key, delivered, other in rows:
            name = decoded(key)
            found[name] = max(found[name][0], delivered or 0), found[name][1] | {size for size in (delivered, other) if size}
        return found

    def owners(self) -> dict[str, str]:
        """The data file of each remote name, of those that are in their folders or in the queue."""
        rows = self._db.execute(
            "SELECT name, path FROM remote WHERE destination = ? AND path IN (SELECT path FROM source)"
            " UNION SELECT name, path FROM job",
            (self._destination,),
        )
        return {decoded(name): decoded(path) for name, path in rows}

    def signature(self, name: str) -> bytes:
        """The signature of what our last delivery left under a remote name, or of its beginning; empty where there is none."""
        return self._signatures.get(encoded(name))

    def sign(self, name: bytes, signature: bytes) -> None:
        """Inside a transaction: the signature of what is under a name (as it is stored) from now on; an empty one removes it."""
        self._signatures.replace(name, signature)

    def not_as_left(self, name: str) -> None:
        """Forget what was delivered under a name: the server has another file there."""
        # One commit, so that no signature of a forgotten content is left.
        with self._commit():
            self._db.execute(
                "DELETE FROM remote WHERE destination IN (?, ?) AND name = ?", (self._destination, self._former, encoded(name))
            )
            self._signatures.replace(encoded(name), b"")

    def reach(self, appends: Sequence[tuple[int, str, bytes]]) -> None:
        """Inside a transaction: record appends that are about to begin (size and digest of the whole content, name as it is
        stored)."""
        self._db.executemany(
            "UPDATE remote SET reach_size = ?, reach_digest = ? WHERE destination = ? AND name = ?",
            [(size, digest, self._destination, name) for size, digest, name in appends],
        )

    def store(self, files: Sequence[tuple[bytes, bytes, str, RemoteStat]]) -> None:
        """Inside a transaction: record what deliveries have left (name and data file as they are stored, digest, what the server
        shows)."""
        self._db.executemany(
            "INSERT INTO remote (destination, name, path, digest, size, mtime, rev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (destination, name) DO UPDATE SET path = excluded.path, digest = excluded.digest,"
            " size = excluded.size, mtime = excluded.mtime, rev = excluded.rev, hash = excluded.hash,"
            " reach_size = NULL, reach_digest = NULL",
            [(self._destination, name, path, digest, *remote) for name, path, digest, remote in files],
        )

    def drop_gone(self, after: RemoteKey, keep: Container[RemoteKey], most: int) -> RemoteKey | None:
        """Of the next ``most`` rows behind ``after`` remove those whose data file is gone, that no job needs and that ``keep`` does
        not hold; the last of these rows, None where there are no more. ``after``: ('', b'') begins."""
        rows = self._db.execute(
            "SELECT destination, name, NOT EXISTS (SELECT 1 FROM source WHERE source.path = remote.path)"
            " AND NOT EXISTS (SELECT 1 FROM job WHERE job.name = remote.name AND state = 'sending')"
            " AND NOT EXISTS (SELECT 1 FROM job WHERE job.name = remote.name AND state <> 'sending')"
            " FROM remote WHERE (destination, name) > (?, ?) ORDER BY destination, name LIMIT ?",
            (*after, most),
        ).fetchall()
        gone = [(destination, name) for destination, name, is_gone in rows if is_gone and (destination, name) not in keep]
        if gone:
            # One commit, so that no signature of a forgotten content is left.
            with self._commit():
                self._db.executemany("DELETE FROM remote WHERE destination = ? AND name = ?", gone)
                self._signatures.drop(gone)
        return (rows[-1][0], rows[-1][1]) if len(rows) == most else None


def known_of(row: Sequence[Any]) -> Known:
    """The columns digest, reach_size, reach_digest, size, mtime, rev and hash of the table ``remote``, as a value."""
    return Known(RemoteStat(*row[3:]), row[0], None if row[1] is None else (row[1], row[2]))
