"""Moves the state of a task from one state folder to another. A kill at any moment loses nothing and has nothing sent twice.

The order of the steps matters; a start after a crash continues with the steps that are not done:

1. The lock of the old folder is taken, then that of the new one; both are held.
2. Snapshots, files and the queue are copied and synced, the queue under another name. The paths of the snapshots are changed in
   that copy, in one commit.
3. A note in the new folder says which queue was copied; then the copy is renamed to the name of the queue. From here on the new
   folder is the one that counts.
4. The record of the task gets the new folder. Then the old one is emptied. In a watched folder there remain a note with the new
   place, and an empty queue of a later format, so that an older version of this program does not begin a second queue.
5. The note of step 3 is removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ..common import own_files, own_folders
from ..common.disk import space_of
from ..common.errors import DiskLow, PysubtaskError, SpoolDamaged
from ..common.lock import Holder, StateLock
from ..common.own_folders import NotOurs
from ..common.requests import REPLIES, REQUESTS
from ..common.state_files import HANDLED, LOCK, MOVED_FROM, READ_FROM, RESIDUAL
from ..common.state_place import MOVED_TO, PATH_FILE, SNAPSHOTS, SPOOL, has_queue, is_inside
from .other_state_folder import check, fingerprint_of, fits, may_hold_queue, not_ours, two_queues
from .snapshot.bak_folder import BakFolder, is_hidden
from .snapshot.file_copies import copy_again
from .spool import database

_COPY = "spool.db.moving"
_BESIDE = ("", "-wal", "-shm", "-journal")
_NOT_COPIED = frozenset((LOCK, MOVED_TO, MOVED_FROM, HANDLED, *(SPOOL + end for end in _BESIDE)))
_KEPT = frozenset((READ_FROM, RESIDUAL))
"""Files that the master has written for this very start."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOST_BYTES = 65536
_BLOCK = 1024 * 1024
_READ = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class StateOccupied(PysubtaskError):
    """Another state folder of this task keeps it from starting; the text says what a person has to do."""


class StateMigration:
    """The move of one task's state to its folder, as far as it is due.

    ``state_dir``: the folder for the state; ``others``: other folders that may have it. ``first``: the first watched folder.
    ``bak``: the setting BakToFolder, ``bak_dir`` the folder that the setting means now. ``min_free``: returns the number of bytes
    of disk space that must be left. ``stopped``: whether a stop was requested. ``announce``: writes the new folder into the
    record of the task."""

    def __init__(
        self,
        state_dir: str,
        others: tuple[str, ...],
        first: str,
        bak: str | None,
        bak_dir: str | None,
        log: logging.Logger,
        *,
        min_free: Callable[[], int],
        stopped: Callable[[], bool],
        announce: Callable[[], None],
    ) -> None:
        self._new = state_dir
        self._others = [other for other in others if may_hold_queue(other)]
        self._first = first
        self._bak = bak
        self._bak_dir = bak_dir
        self._log = log
        self._min_free = min_free
        self._stopped = stopped
        self._announce = announce
        self._locks: dict[str, StateLock] = {}
        self._problems: dict[str, str] = {}

    def lock(self, me: Holder) -> None:
        """Take the locks of the other folders, as far as they belong to this user. Raises AlreadyRunning where another process
        has one; OSError."""
        for other in self._others:
            try:
                check(other)
            except PermissionError as exc:
                self._problems[other] = exc.problem if isinstance(exc, NotOurs) else f"cannot be opened ({exc.strerror})"
                continue
            if self._is_undone(other):
                self._locks[other] = StateLock(os.path.join(other, LOCK))
                self._locks[other].acquire(me)

    def unlock(self) -> None:
        """Release the locks; does nothing where none is held."""
        for lock in self._locks.values():
            lock.release()

    @property
    def is_due(self) -> bool:
        """Whether there is a queue to be moved."""
        return not has_queue(self._new) and any(map(has_queue, self._locks))

    def _is_undone(self, other: str) -> bool:
        return has_queue(other) or self._note().get("from") == other

    def settle(self) -> list[str]:
        """Move the state, or continue a move; the folders that it was moved from. Both locks must be held. Raises StateOccupied,
        DiskLow, the errors of opening a queue, and OSError; a state that is not moved yet stays where it is."""
        queues = [other for other in self._locks if has_queue(other)]
        begun = has_queue(self._new)
        for other, problem in self._problems.items():
            if begun:
                self._log.warning("[%s] is left alone, it is not this task's: it %s", other, problem)
            else:
                raise StateOccupied(not_ours(other, problem))
        note = self._note()
        if begun:
            strange = [other for other in queues if not fits(other, note)]
            if strange:
                raise StateOccupied(two_queues(self._new, strange[0]))
            if not note:
                return []
            old = str(note.get("from"))
        elif len(queues) > 1:
            raise StateOccupied(two_queues(*queues[:2]))
        else:
            self._forget_moved()
            if not queues:
                return []
            (old,) = queues
            try:
                self._copy(old)
            except OSError as exc:
                kind = DiskLow if exc.errno in _FULL else PysubtaskError
                raise kind(f"the state of this task cannot be moved from {old} to {self._new}: {exc}") from exc
        self._announce()
        if old in self._locks:
            self._bury(old)
        own_files.remove(self._new, _COPY)  # a power cut may have left both names
        own_files.remove(self._new, MOVED_FROM)
        return [old]

    def _forget_moved(self) -> None:
        """Remove the note and the empty queue that an earlier move left in this folder: the state comes back to it, or starts
        again in it."""
        if os.path.lexists(os.path.join(self._new, MOVED_TO)):
            for name in (*(SPOOL + end for end in reversed(_BESIDE)), MOVED_TO):
                own_files.remove(self._new, name)

    def _note(self) -> dict[str, Any]:
        try:
            found = json.loads(own_files.read(self._new, MOVED_FROM, most=_MOST_BYTES))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    # -- step 2 and 3

    def _copy(self, old: str) -> None:
        for name in own_folders.names(self._new):
            # A temporary file of a move that was killed.
            if name.startswith(_COPY) or (name.startswith(".") and name.endswith(".part")):
                own_files.remove(self._new, name)
        self._check_room(old)
        note = {"from": old, **fingerprint_of(old)}
        for end in _BESIDE:
            if end != "-shm":
                with contextlib.suppress(FileNotFoundError):
                    _copy_file(old, SPOOL + end, self._new, _COPY + end)
        try:
            with database.opening(os.path.join(self._new, _COPY)) as db:
                self._change(db, old)
                db.execute("PRAGMA journal_mode=DELETE")
                db.close()
        except SpoolDamaged as exc:
            # The damaged queue is copied as it is: the start that follows renames and reports it, as it would have in the old
            # place.
            self._log.error("The queue in [%s] is damaged: %s", old, exc)
            own_files.remove(self._new, _COPY)
            _copy_file(old, SPOOL, self._new, _COPY)
        for end in _BESIDE[1:]:
            own_files.remove(self._new, _COPY + end)
        self._copy_files(old, self._new)
        _sync(self._new, _COPY)
        own_files.replace(self._new, MOVED_FROM, json.dumps(note).encode("ascii"), sync=True)
        own_files.rename(self._new, _COPY, SPOOL)
        _sync(self._new)

    def _change(self, db: sqlite3.Connection, old: str) -> None:
        """Copy the snapshots, and change their paths in the queue in one commit."""
        row = db.execute("SELECT value FROM meta WHERE key = 'tag'").fetchone()
        tag = str(row[0]) if row is not None else tag_of(old)
        rows = db.execute("SELECT id, snapshot FROM job WHERE NOT live").fetchall()
        found = {int(job): os.fsdecode(snapshot) for job, snapshot in rows}
        source = self._source(old)
        moved = {job: path for job, path in found.items() if source is not None and os.path.dirname(path) == source}
        lost = self._copy_snapshots(moved.values())
        if lost:
            self._log.error(
                "%d of the copies that waited in [%s] cannot be read, such as [%s]; their files are taken anew",
                len(lost),
                source,
                lost[0],
            )
        with database.commit(db, os.path.join(self._new, SPOOL)):
            db.executemany(
                "UPDATE job SET snapshot = ? WHERE id = ?", [(os.fsencode(self._target(path)), job) for job, path in moved.items()]
            )
            db.execute("INSERT INTO meta VALUES ('tag', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (tag,))

    def _source(self, old: str) -> str | None:
        """The folder of the snapshots of an old place, where they are to be moved; else None."""
        if self._bak_dir is None:
            return None
        found = os.path.normpath(os.path.join(self._first, self._bak or ".")) if is_inside(old) else os.path.join(old, SNAPSHOTS)
        if is_inside(old) and is_hidden(self._bak or "") and not os.path.isdir(found):
            # An earlier version kept them in a visible folder.
            found = os.path.normpath(os.path.join(self._first, str(self._bak)[1:]))
        return None if found == self._bak_dir else found

    def _target(self, snapshot: str) -> str:
        return os.path.join(str(self._bak_dir), os.path.basename(snapshot))

    def _copy_snapshots(self, paths: Iterable[str]) -> list[str]:
        lost = []
        for path in paths:
            if self._stopped():
                raise PysubtaskError("stopped while its state was moved; that goes on at the next start")
            try:
                handle = _open_snapshot(path)
            except OSError:
                lost.append(path)
                continue
            try:
                copy_again(handle, self._target(path))
            finally:
                os.close(handle)
        return lost

    def _copy_files(self, old: str, new: str) -> None:
        there = set(own_folders.names(new))
        for name in sorted(own_folders.names(old)):
            if name in _NOT_COPIED or (name in _KEPT and name in there) or name.endswith(".part"):
                continue
            found = os.lstat(os.path.join(old, name))
            if stat.S_ISDIR(found.st_mode) and name in (REQUESTS, REPLIES):
                own_folders.make_folder(os.path.join(new, name))
                self._copy_files(os.path.join(old, name), os.path.join(new, name))
            elif stat.S_ISREG(found.st_mode):
                _copy_file(old, name, new, name)

    def _check_room(self, old: str) -> None:
        source = self._source(old)
        sizes = [_sizes(old), _sizes(source) if source is not None else 0]
        free, keep = shutil.disk_usage(self._new).free, self._min_free()
        if free - sum(sizes) < keep:
            raise DiskLow(
                f"the state of this task is to be moved from {old} to {self._new}; its {sum(sizes)} bytes would leave less than "
                f"{keep} of {free} bytes free there (MinFreeBytes). Free some space, or name a larger disk's folder: StateFolder",
                free,
                keep,
            )

    # -- step 4

    def _bury(self, old: str) -> None:
        inside = is_inside(old)
        if inside:
            own_files.replace(old, MOVED_TO, os.fsencode(self._new) + b"\n", sync=True)
            for end in _BESIDE[1:]:
                own_files.remove(old, SPOOL + end)
            own_files.replace(old, SPOOL, database.of_a_later_format(), sync=True)
        self._remove_snapshots(old)
        kept = (SPOOL, MOVED_TO, LOCK)
        for folder in (os.path.join(old, REQUESTS), os.path.join(old, REPLIES), old):
            with contextlib.suppress(FileNotFoundError):
                for name in own_folders.names(folder):
                    if name not in kept and not os.path.isdir(os.path.join(folder, name)):
                        own_files.remove(folder, name)
            if folder != old:
                own_folders.remove_empty(folder)
        if not inside:
            for name in (SPOOL, PATH_FILE):
                own_files.remove(old, name)
        own_files.remove(old, LOCK)
        # Synced before the note of step 3 is removed: after a power cut the note must exist as long as anything is left here.
        _sync(old)
        if not inside:
            task = os.path.dirname(old)
            top = os.path.dirname(task)
            for folder in (os.path.join(old, SNAPSHOTS), old):
                own_folders.remove_empty(folder)
            if own_folders.remove_empty(task) and own_folders.names(top) == [PATH_FILE]:
                own_files.remove(top, PATH_FILE)
                own_folders.remove_empty(top)

    def _remove_snapshots(self, old: str) -> None:
        source = self._source(old)
        if source is None:
            return
        tag = self._tag_here()
        bak = BakFolder(source)
        with contextlib.suppress(OSError):
            for name in bak.names():
                if name.startswith((f"{tag}-", f".{tag}-")):
                    bak.remove(os.path.join(source, name))
            bak.publish([])
            bak.remove_empty()
            if os.path.dirname(source).startswith(os.path.join(self._first, "")):
                BakFolder(os.path.dirname(source)).remove_empty()

    def _tag_here(self) -> str:
        try:
            with database.opening(os.path.join(self._new, SPOOL)) as db:
                row = db.execute("SELECT value FROM meta WHERE key = 'tag'").fetchone()
                db.close()
        except SpoolDamaged:
            row = None
        return str(row[0]) if row is not None else tag_of(str(self._note().get("from")))


def tag_of(state_dir: str) -> str:
    """The beginning of the names of the snapshots of a queue: several queues may share a folder for them."""
    return hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:10]


def _open_snapshot(path: str) -> int:
    handle = BakFolder(os.path.dirname(path)).open(path, _READ)
    if not own_files.is_regular_and_ours(os.fstat(handle)):
        os.close(handle)
        raise NotOurs(path, "is not the copy that was made")
    return handle


def _sizes(folder: str) -> int:
    """The bytes on the disk that the files in a folder take."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as items:
        for item in items:
            with contextlib.suppress(OSError):
                found = item.stat(follow_symlinks=False)
                total += min(found.st_size, space_of(found)) if stat.S_ISREG(found.st_mode) else 0
    return total


def _copy_file(folder: str, name: str, to: str, new: str) -> None:
    """Copy a file between two folders of this program, over an existing one with the name ``new``; the copy outlasts a power
    cut."""
    with os.fdopen(own_files.open_read(folder, name), "rb") as file:
        own_files.replace(to, new, iter(lambda: file.read(_BLOCK), b""), sync=True)


def _sync(folder: str, name: str = "") -> None:
    """Sync a file of this program, or without ``name`` the folder itself, so that it outlasts a power cut."""
    if name:
        # Windows syncs only what was opened to be written.
        opened = own_files.open_update(folder, name, make=False) if sys.platform == "win32" else own_files.open_read(folder, name)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
        return
    with own_folders.opened_folder(folder) as at:
        if at >= 0:
            os.fsync(at)
