"""The stamps of data, notify and hold files whose content is in the queue or was delivered: by them the watch knows what is due."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from ...common.notify import Stamp, hold_name, notify_name
from ...common.paths import decoded, encoded
from .database import Commit
from .jobs import QueuedSnapshot


class Stamps:
    """``db`` is the spool's connection, ``commit`` opens a transaction on it.

    ``signals``: the stamps of notify and hold files by their paths. ``sources``: of each data file its stamp and its digest. Both
    follow the commits; the watch reads them on another thread.
    """

    def __init__(self, db: sqlite3.Connection, commit: Commit) -> None:
        self._db = db
        self._commit = commit
        self.signals = {decoded(row[0]): Stamp(*row[1:]) for row in db.execute("SELECT path, mtime_ns, size, inode FROM stamp")}
        self.sources = {
            decoded(row[0]): (Stamp(*row[1:4]), str(row[4]))
            for row in db.execute("SELECT path, mtime_ns, size, inode, digest FROM source")
        }

    def record(self, snapshots: Sequence[QueuedSnapshot]) -> None:
        """Record the stamps without queueing anything: the content has not changed."""
        with self._commit():
            self.store(snapshots)
        self.remember(snapshots)

    def store(self, snapshots: Sequence[QueuedSnapshot]) -> None:
        """Inside a transaction: write the stamps. :meth:`remember` follows the commit."""
        self._db.executemany(
            "INSERT INTO source VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET mtime_ns = excluded.mtime_ns,"
            " size = excluded.size, inode = excluded.inode, digest = excluded.digest",
            [(encoded(one.path), *one.source, one.digest) for one in snapshots],
        )
        self._db.executemany(
            "INSERT INTO stamp VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET mtime_ns = excluded.mtime_ns,"
            " size = excluded.size, inode = excluded.inode",
            [(encoded(path), *stamp) for one in snapshots for path, stamp in one.signals().items()],
        )

    def remember(self, snapshots: Sequence[QueuedSnapshot]) -> None:
        """After the commit, so that the watch never takes for handled what a rollback has undone."""
        for one in snapshots:
            self.sources[one.path] = (one.source, one.digest)
            self.signals.update(one.signals())

    def forget_unchanged(self, seen: Mapping[str, tuple[Stamp, str] | None]) -> None:
        """Forget the stamps of data files that were found missing, except those that were recorded anew since: ``seen`` is what
        ``sources`` had of each then."""
        self.forget(path for path, before in seen.items() if self.sources.get(path) == before)

    def forget(self, paths: Iterable[str]) -> None:
        """Forget the stamps of data files that left a watched folder, and of their notify and hold files."""
        gone = list(paths)
        signals = [name(path) for path in gone for name in (notify_name, hold_name)]
        # One commit: a data file without its notify file's stamp would be due by one rule and handled by the other.
        with self._commit():
            self._db.executemany("DELETE FROM source WHERE path = ?", [(encoded(path),) for path in gone])
            self._db.executemany("DELETE FROM stamp WHERE path = ?", [(encoded(path),) for path in signals])
        for path in gone:
            self.sources.pop(path, None)
        for path in signals:
            self.signals.pop(path, None)
