"""The file of the queue: opened, upgraded to the present format, and changed one transaction at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ...common import own_files, own_folders
from ...common.disk import IS_FULL, NO_INODES, fault_of
from ...common.errors import DiskLow, SpoolBusy, SpoolDamaged, SpoolTooNew
from ...common.state_files import QUEUE
from ..platform.mounts import on_network

Commit = Callable[[], AbstractContextManager[None]]
"""Opens a transaction: see :func:`commit`."""
FILE = QUEUE
FORMAT = 4
_LATER_FORMAT = 1_000_000
_OTHERS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
BUSY_SECS = 5.0
"""Seconds that another program may have the file locked before that is an error."""
_PAGE_BYTES = 1024
"""Of a new file. A commit writes each page it changes: smaller ones wear a flash card less, and cost more time in a long queue."""
_SHRINK_BYTES = 32 * 1024 * 1024
"""The file is made smaller where it holds more free room than this, and less content: the copying takes below a second."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE stamp (path BLOB PRIMARY KEY, mtime_ns INTEGER, size INTEGER, inode INTEGER) WITHOUT ROWID;
CREATE TABLE source (path BLOB PRIMARY KEY, mtime_ns INTEGER, size INTEGER, inode INTEGER, digest TEXT) WITHOUT ROWID;
CREATE TABLE remote (
    destination TEXT, name BLOB, path BLOB, size INTEGER, mtime INTEGER, digest TEXT,
    rev TEXT DEFAULT '', hash TEXT DEFAULT '', reach_size INTEGER, reach_digest TEXT,
    PRIMARY KEY (destination, name)) WITHOUT ROWID;
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB, state TEXT CHECK (state IN ('waiting', 'sending', 'parked')),
    path BLOB, snapshot BLOB, live INTEGER, size INTEGER, mtime_ns INTEGER, digest TEXT, at REAL,
    attempts INTEGER DEFAULT 0, due REAL DEFAULT 0, compare INTEGER, reason TEXT, temp BLOB,
    resume TEXT DEFAULT '', prefixes TEXT DEFAULT '', records INTEGER DEFAULT 0, base INTEGER DEFAULT 0);
CREATE UNIQUE INDEX job_sending ON job (name) WHERE state = 'sending';
CREATE UNIQUE INDEX job_waiting ON job (name) WHERE state <> 'sending';
CREATE INDEX job_state ON job (state, id);
CREATE TABLE temp (destination TEXT, temp BLOB, name BLOB, at REAL, PRIMARY KEY (destination, temp)) WITHOUT ROWID;
CREATE TABLE signature (
    id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT, name BLOB, bytes INTEGER, data BLOB, UNIQUE (destination, name));
CREATE TABLE receipt (seq INTEGER PRIMARY KEY, line BLOB);
CREATE TABLE pause (name BLOB PRIMARY KEY, who TEXT, at TEXT) WITHOUT ROWID;
CREATE TABLE profile (destination TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID;
"""

# Each entry turns format n into n + 1.
_MIGRATIONS: dict[int, str] = {
    1: "ALTER TABLE remote ADD COLUMN rev TEXT DEFAULT ''; ALTER TABLE remote ADD COLUMN hash TEXT DEFAULT '';"
    "ALTER TABLE remote ADD COLUMN reach_size INTEGER; ALTER TABLE remote ADD COLUMN reach_digest TEXT;"
    "ALTER TABLE job ADD COLUMN resume TEXT DEFAULT ''; ALTER TABLE job ADD COLUMN prefixes TEXT DEFAULT '';"
    "ALTER TABLE job ADD COLUMN records INTEGER DEFAULT 0; ALTER TABLE job ADD COLUMN base INTEGER DEFAULT 0;"
    "CREATE TABLE signature (id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT, name BLOB, bytes INTEGER, data BLOB,"
    " UNIQUE (destination, name))",
    2: "CREATE TABLE pause (name BLOB PRIMARY KEY, who TEXT, at TEXT) WITHOUT ROWID",
    3: "CREATE TABLE profile (destination TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID",
}


def storable(text: str) -> str:
    """A text as SQLite takes it. A file's name in it may hold bytes that are no UTF-8, which are written as ``\\udce9``."""
    return text.encode("utf-8", "backslashreplace").decode()


def placeholders(values: Sequence[Any]) -> str:
    """The placeholders for these values in a statement."""
    return ",".join("?" * len(values))


@contextlib.contextmanager
def opening(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to the file; closed again where opening fails.

    Raises SpoolDamaged for a file that is no queue, SpoolTooNew for one of a later format, SpoolBusy where another program has it
    open, DiskLow where the disk is full, read-only or fails.
    """
    db: sqlite3.Connection | None = None
    try:
        db = _connect(path)
        _upgrade(db, path)
        yield db
    except BaseException as exc:
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        if isinstance(exc, sqlite3.OperationalError) and _is_of_the_disk(exc):
            raise _of_the_disk(f"the queue {path} cannot be opened", exc, path) from exc
        if isinstance(exc, sqlite3.OperationalError) and exc.sqlite_errorcode & 0xFF in _OTHERS:
            # The file is not damaged: replacing it with a new one would lose the queue.
            raise SpoolBusy(f"the queue {path} is open in another program ({exc}): close that one") from exc
        if isinstance(exc, sqlite3.DatabaseError):
            raise SpoolDamaged(f"{path}: {exc}") from exc
        raise


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A read-only connection, for a caller that keeps every other process out. The last commit is in the file or in its WAL, and
    both stay as they are. Raises sqlite3.Error, OSError."""
    from urllib.parse import quote

    os.close(own_files.open_read(*os.path.split(os.path.abspath(path)), any_owner=True))
    logged = os.path.exists(path + "-wal")
    db = sqlite3.connect(f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode=ro", uri=True, isolation_level=None)
    try:
        yield db
    finally:
        db.close()
        # Reading creates the index of the WAL, and the WAL where there was none.
        for suffix in ("-shm",) if logged else ("-shm", "-wal"):
            with contextlib.suppress(OSError):
                own_files.remove(os.path.dirname(os.path.abspath(path)), os.path.basename(path) + suffix, any_owner=True)


def of_a_later_format() -> bytes:
    """The bytes of an empty queue file that every version with SpoolTooNew refuses, and leaves as it is."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE moved (path)")
        db.execute(f"PRAGMA user_version={_LATER_FORMAT}")
        return db.serialize()


@contextlib.contextmanager
def commit(db: sqlite3.Connection, path: str) -> Iterator[None]:
    """One transaction. A full or failing disk becomes DiskLow, after a rollback."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as exc:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        if isinstance(exc, sqlite3.OperationalError) and _is_of_the_disk(exc):
            raise _of_the_disk(f"the queue {path} cannot be written", exc, path) from exc
        raise


def shrink(db: sqlite3.Connection) -> bool:
    """Give the room of removed rows back to the disk, where most of the file is such room and the rest is soon copied; whether that
    was done. Raises sqlite3.Error."""
    pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    if free * size < _SHRINK_BYTES or (pages - free) * size > _SHRINK_BYTES:
        return False
    db.execute("VACUUM")
    return True


def _connect(path: str) -> sqlite3.Connection:
    folder, name = os.path.split(path)
    # Created here, so that the file is private before anything is in it, and because SQLite itself would follow a link.
    own_files.ensure(folder, name)
    before = own_files.identity(folder, name)
    for suffix in ("-wal", "-shm", "-journal"):
        own_files.ensure(folder, name + suffix, make=False)
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECS, check_same_thread=False)
    try:
        # The lock of SQLite guards the file itself: the child's lock keeps out other children, this one any other program.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        _check_format(db, path)
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        db.execute(f"PRAGMA journal_mode={'DELETE' if on_network(path) else 'WAL'}")
        db.execute("PRAGMA synchronous=FULL")
        if own_files.identity(folder, name) != before or not _has_open(before):
            raise own_folders.NotOurs(path, "was replaced while it was opened")
    except (sqlite3.DatabaseError, SpoolTooNew, OSError):
        db.close()
        raise
    return db


def _has_open(identity: tuple[int, int]) -> bool:
    """Whether this process has that very file open; True where the system cannot say. No file is opened for the check: closing
    one would release the locks of SQLite (close(2), fcntl(2))."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except (OSError, ValueError):
        return True
    for number in numbers:
        with contextlib.suppress(OSError):
            found = os.fstat(number)
            if (found.st_dev, found.st_ino) == identity:
                return True
    return False


def _check_format(db: sqlite3.Connection, path: str) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise SpoolTooNew(
            f"the queue {path} was made by a later version of pysubtask (format {version}, this one knows {FORMAT}). Install that "
            "version again: the queue stays as it is"
        )
    return int(version)


def _upgrade(db: sqlite3.Connection, path: str) -> None:
    version = _check_format(db, path)
    with commit(db, path):
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        for old in range(version or FORMAT, FORMAT):
            for statement in _MIGRATIONS[old].split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version={FORMAT}")


def _is_of_the_disk(exc: sqlite3.OperationalError) -> bool:
    return exc.sqlite_errorcode & 0xFF in _DISK


def _of_the_disk(what: str, exc: sqlite3.OperationalError, path: str) -> DiskLow:
    """The DiskLow for an error of SQLite: an I/O error, or a file that cannot be opened, may mean a disk without room or inodes,
    a read-only one, or one that was removed."""
    found = fault_of(os.path.dirname(path))
    if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL or found == IS_FULL:
        return DiskLow(f"{what}: {exc}", problem=found if found == NO_INODES else "")
    problem = found or f"it fails ({exc})"
    return DiskLow(f"{what}: {exc}", problem=problem)
