"""One lock per state folder, held by the child for life, with a record of its holder.

The lock is one of the system (flock(2); on Windows a locked byte far behind the record), so it ends with its
holder, however that ends. The record only names the holder; it is read where the lock is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from . import effective_user, own_files, own_folders
from .errors import AlreadyRunning
from .process import is_alive as is_alive
from .process import process_start as process_start

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_RECORD_SIZE = 512  # fixed: writing over it needs no disk space, so a full disk does not keep a child from starting
_POLL_SECS = 0.02  # between two tries to take a lock, or two checks whether a process has ended
_RECORD_READS, _RECORD_SECS = 3, 0.003  # a new holder writes its record within a millisecond
_ELSEWHERE_PROBES = 10  # times _POLL_SECS: a command holds the lock for less than that
_KEPT = "PYSUBTASK_KEPT_LOCK"
"""In the environment of a program that replaces another by exec: the descriptor of the lock that is kept."""
_WINDOWS_LOCKED_BYTE = 1 << 30  # far behind the record: a locked byte cannot be read by others on Windows


class Holder(NamedTuple):
    """A child (``pid``, ``start``) and its master (``master_pid``, ``master_start``), each as process id and start (see
    ``process_start``): a process id alone may be used again.

    ``master_pid`` None is a child started by hand: it counts as having a living master.
    """

    pid: int
    start: str
    master_pid: int | None
    master_start: str | None

    def has_living_master(self) -> bool:
        """Whether the master lives, or the child needs none: such a holder is never ended."""
        return self.master_pid is None or is_alive(self.master_pid, self.master_start or "")


class StateLock:
    """The lock file ``path``. Making the object opens nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._folder, self._name = os.path.split(os.path.abspath(path))
        self._fd: int | None = None
        self._owner = 0

    def acquire(self, me: Holder, *, patience: float = 5.0) -> None:
        """Take the lock and write ``me`` into it; the folder is made where missing (0700), and must be ours, as the file must.

        A holder whose master is dead is ended first: SIGTERM, after ``patience`` seconds SIGKILL.
        AlreadyRunning, naming holder and master, where the holder's master lives or the holder
        cannot be ended or identified. OSError where the file cannot be opened.
        """
        if self._fd is not None:
            raise AlreadyRunning(f"{self.path} is already locked by this process")
        kept = self._take_up()
        if kept is not None:
            _write(kept, me)
            self._fd, self._owner = kept, os.getpid()
            return
        own_folders.make_folder(self._folder)
        unknown_until = time.monotonic() + patience
        while True:
            fd = own_files.open_update(self._folder, self._name)
            try:
                if _lock(fd, exclusive=True) and self._is_mine(fd):
                    if self._is_alone(fd):
                        _write(fd, me)
                        self._fd, self._owner, fd = fd, os.getpid(), -1
                        return
                    continue
                holder = _read(fd)
            finally:
                if fd >= 0:
                    os.close(fd)
            if holder is not None and is_alive(holder.pid, holder.start):
                if holder.pid == os.getpid() or holder.has_living_master():
                    raise AlreadyRunning(self._refusal(holder))
                if not _end(holder, patience):
                    raise AlreadyRunning(f"{self._refusal(holder)} That master is dead, but the child could not be ended.")
                unknown_until = time.monotonic() + patience
                continue
            # The holder only reads the queue, or has just taken the lock, or cannot be seen from here (another container or host).
            if time.monotonic() >= unknown_until:
                raise AlreadyRunning(f"{self.path} is locked by a process that cannot be identified from here.")
            time.sleep(_POLL_SECS)

    def keep_over_exec(self) -> None:
        """Have the program that replaces this one hold the lock from its first moment: it takes it up with ``acquire``, as the
        same process. Harmless where it is not held; does nothing on Windows, where another process would come."""
        if self._fd is not None and sys.platform != "win32":
            os.set_inheritable(self._fd, True)
            os.environ[_KEPT] = str(self._fd)

    def _take_up(self) -> int | None:
        """The descriptor, if this program had the lock from the one that it replaced."""
        fd = int(kept) if (kept := os.environ.pop(_KEPT, "")).isdigit() else -1
        try:
            if fd < 0 or not self._is_mine(fd):
                return None
            os.set_inheritable(fd, False)
            return fd if _lock(fd, exclusive=True) else None
        except OSError:
            return None

    def _is_mine(self, fd: int) -> bool:
        """Whether the locked file is still the one under that name (the folder may have been removed and made again)."""
        return own_files.is_named(fd, self._folder, self._name)

    def _is_alone(self, fd: int) -> bool:
        """Whether the locked file has one name. Of one that has a second (in a backup made of links) nothing is written: a new file
        takes the name, and that has to be locked."""
        if os.fstat(fd).st_nlink <= 1:
            return True
        own_files.replace(self._folder, self._name, b"")
        return False

    def release(self) -> None:
        """Give the lock back; harmless where it is not held, and in a forked copy of the holder."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if os.getpid() == self._owner:
            _write(fd, None)
            _unlock(fd)
        os.close(fd)

    @contextlib.contextmanager
    def briefly_held(self) -> Iterator[bool]:
        """Hold the lock for the time of the ``with``, so that no child starts; gives whether that was possible (never while a child
        lives). No record of a holder is written, so a child that starts meanwhile waits for the release."""
        fd: int | None = None
        try:
            with contextlib.suppress(OSError):
                fd = self._open_existing()
            yield fd is not None and _lock(fd, exclusive=True) and self._is_mine(fd)
        finally:
            if fd is not None:
                os.close(fd)  # and with it the lock

    def _open_existing(self) -> int:
        try:
            return own_files.open_update(self._folder, self._name, make=False)
        except own_folders.NotOurs:
            return own_files.open_read(self._folder, self._name, any_owner=True)  # root reads the state of another user

    def holder(self) -> Holder | None:
        """Who holds the lock at this moment; None where nobody does or the holder cannot be identified."""
        try:
            fd = own_files.open_read(self._folder, self._name, any_owner=True)
        except OSError:
            return None
        try:
            for _ in range(_RECORD_READS):
                if _lock(fd, exclusive=False):
                    _unlock(fd)
                    return None
                holder = _read(fd)
                if holder is not None and is_alive(holder.pid, holder.start):
                    return holder
                time.sleep(_RECORD_SECS)  # who has just taken it is about to write the record
            return None
        finally:
            os.close(fd)

    def is_held_elsewhere(self) -> bool:
        """Whether somebody holds the lock who cannot be identified from here: in another container, or on another host, that has
        the same folder. A command that reads the queue holds the lock for a moment only."""
        for _ in range(_ELSEWHERE_PROBES):
            try:
                fd = own_files.open_read(self._folder, self._name, any_owner=True)
            except OSError:
                return False
            try:
                if _lock(fd, exclusive=False):
                    _unlock(fd)
                    return False
                holder = _read(fd)
                if holder is None or is_alive(holder.pid, holder.start):
                    return False  # no child, or one that has just begun here
            finally:
                os.close(fd)
            time.sleep(_POLL_SECS)
        return True

    def _refusal(self, holder: Holder) -> str:
        master = f"of master {holder.master_pid}" if holder.master_pid is not None else "started by hand"
        return f"{self.path} is locked by the child {holder.pid} {master}. Stop that one first, or give this task another TaskName."


def _end(holder: Holder, patience: float) -> bool:
    """End the process of the record; False where it is not a child of this package, may not be signalled or outlives SIGKILL by
    ``patience`` seconds."""
    if not is_child_of_ours(holder.pid):
        return False
    if sys.platform == "win32":
        try:
            os.kill(holder.pid, signal.SIGTERM)
        except OSError:
            return False
        return _gone_by_polling(holder, patience)
    fd: int | None = None
    try:
        if hasattr(os, "pidfd_open"):
            try:
                fd = os.pidfd_open(holder.pid)
            except ProcessLookupError:
                return True
            except OSError:
                fd = None  # an old kernel, or a sandbox that forbids it
        # Checked once more: from here on the descriptor means that process, even if the pid is used again.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not is_alive(holder.pid, holder.start):
                return True
            if sys.platform == "linux" and fd is not None:
                signal.pidfd_send_signal(fd, number)
            else:
                os.kill(holder.pid, number)
            if _gone(fd, holder, patience):
                return True
        return False
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        if fd is not None:
            os.close(fd)


def is_child_of_ours(pid: int) -> bool:
    """Whether a process belongs to this user and its command line is one of a child, as far as the system tells: another process
    must never be ended for a record in a lock file."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(65536)
            owner = os.fstat(file.fileno()).st_uid
    except OSError:
        return True
    return owner == effective_user.now() and (b"pysubtask" in words or b"--handoff" in words)


def _gone(fd: int | None, holder: Holder, patience: float) -> bool:
    if sys.platform == "win32" or fd is None:
        return _gone_by_polling(holder, patience)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(1, int(patience * 1000))))


def _gone_by_polling(holder: Holder, patience: float) -> bool:
    until = time.monotonic() + patience
    while is_alive(holder.pid, holder.start):
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECS)
    return True


def _write(fd: int, holder: Holder | None) -> None:
    text = json.dumps(holder._asdict()) if holder is not None else ""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, text.encode("ascii").ljust(_RECORD_SIZE - 1) + b"\n")
    except OSError:
        pass  # a full disk: the lock itself holds, only its holder cannot be named


def _read(fd: int) -> Holder | None:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        found = json.loads(os.read(fd, _RECORD_SIZE))
        holder = Holder(found["pid"], found["start"], found["master_pid"], found["master_start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if type(holder.pid) is not int or type(holder.start) is not str:
        return None
    if holder.master_pid is not None and (type(holder.master_pid) is not int or not isinstance(holder.master_start, str)):
        return None
    return holder


if sys.platform == "win32":

    def _lock(fd: int, *, exclusive: bool) -> bool:
        os.lseek(fd, _WINDOWS_LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, _WINDOWS_LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _lock(fd: int, *, exclusive: bool) -> bool:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
