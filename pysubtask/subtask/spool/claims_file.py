"""The file with the claims of all tasks of this user for one server, in the folder of the registry.

Claims that are lost with the file are made again, so nothing in it is synced. A fault of the file means that clashes are not
noticed: a file is rather sent than kept back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from ...common import own_files, registry
from ..platform.mounts import on_network

_BUSY_SECS = 5.0
_FOLDER = "names"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS claim (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB, owner BLOB, task TEXT, path BLOB, UNIQUE (name, owner));
CREATE TABLE IF NOT EXISTS last (name BLOB PRIMARY KEY, owner BLOB, path BLOB) WITHOUT ROWID;
"""

T = TypeVar("T")


class ClaimsFile:
    """The file for the server with this ``key``. For one thread; other processes have it open, too.

    Without a folder for the file, or with a damaged file that cannot be replaced, nothing is read or written and ``problem`` gives
    the reason. ``read_only``: the file is not created, repaired or changed.
    """

    def __init__(self, key: str, *, read_only: bool = False) -> None:
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:20]
        self.path = os.path.join(registry.folder(), _FOLDER, f"{name}.db")
        self.problem = ""
        self._read_only = read_only
        self._db: sqlite3.Connection | None = None
        if not read_only:
            self._open()
        elif os.path.exists(self.path):
            # A file that cannot be read now counts as empty, as it does for a task.
            with contextlib.suppress(sqlite3.Error):
                self._db = sqlite3.connect(f"file:{quote(os.fsencode(self.path))}?mode=ro", uri=True, isolation_level=None)

    def _open(self) -> None:
        for last_try in (False, True):
            try:
                own_files.ensure(registry.make_folder(_FOLDER), os.path.basename(self.path))
                self._db = _connect(self.path)
                return
            except (OSError, sqlite3.OperationalError) as exc:
                self.problem = f"{self.path}: {exc}"
                return
            except sqlite3.DatabaseError as exc:
                self.problem = f"{self.path}: {exc}"
                if last_try:
                    return
                _remove(self.path)

    @property
    def is_open(self) -> bool:
        """Whether there is a file to ask."""
        return self._db is not None

    def close(self) -> None:
        """Close the file; the claims stay."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def data_version(self) -> int:
        """A number that changes when any other task has changed the file; -1 where it cannot be read."""
        if self._db is None:
            return -1
        try:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as exc:
            self.problem = f"{self.path}: {exc}"
            return -1

    def change(self, change: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run ``change`` in one transaction; ``otherwise`` where the file is closed or fails. A damaged file is replaced."""
        if self._db is None:
            return otherwise
        db = self._db
        try:
            # The lock of SQLite guards the order of the claims: nobody may claim a name after it was asked whose it is.
            db.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
            try:
                found = change(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return found
        except sqlite3.OperationalError as exc:
            # The file is busy, or the disk is full: a file is rather sent than kept back.
            self.problem = f"{self.path}: {exc}"
        except sqlite3.DatabaseError as exc:
            self.problem = f"{self.path}: {exc}"
            self.close()
            if not self._read_only:
                _remove(self.path)
                self._open()
        return otherwise


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECS)
    try:
        db.execute(f"PRAGMA journal_mode={'DELETE' if on_network(path) else 'WAL'}")
        db.execute("PRAGMA synchronous=OFF")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _remove(path: str) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            own_files.remove(os.path.dirname(path), os.path.basename(path) + suffix)
