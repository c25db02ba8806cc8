"""File events of Linux: inotify(7), for any number of folders with one thread.

A library with one thread for each folder is too much for a tree of thousands.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import sys
import threading
import time
from typing import Any, Protocol

from ...common.paths import decoded, encoded

_ATTRIB = 0x4
_CLOSE_WRITE = 0x8
_MOVED_FROM = 0x40
_MOVED_TO = 0x80
_CREATE = 0x100
_Q_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLYDIR = 0x01000000
_ISDIR = 0x40000000

# Reads and writes are not requested, so a program that keeps a file open and writes a thousand times a second costs nothing.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)  # IN_CLOEXEC and IN_NONBLOCK
# IN_ATTRIB reports the change of times by a bare utime(2), which is how some programs touch a file.
_MASK = _ATTRIB | _CREATE | _MOVED_TO | _MOVED_FROM | _CLOSE_WRITE | _ONLYDIR
_CREATED = _CREATE | _MOVED_TO
_OF_FILES = _CREATED | _CLOSE_WRITE | _ATTRIB
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 16

# Seconds. Many events of no interest, as of a program that opens and closes a file a thousand times a second, are read in batches:
# the kernel queues 16,384 events, and merges an event with an equal one at the end of its queue.
_BURST_GAP_SECS = 0.05
_FIRST_PAUSE_SECS, MOST_PAUSE_SECS = 0.002, 0.25
# Seconds. An event of interest wakes a scan; the events that come until the next scan are read together.
TOGETHER_SECS = 0.005
_MUCH = 1 << 15


class EventReceiver(Protocol):
    """The receiver of the events, called on the thread of the events."""

    def file(self, folder: str, name: str, created: bool) -> bool:
        """A file was created in this folder or moved into it (``created``), or closed after writing; whether that is of
        interest."""

    def folder(self, path: str) -> bool:
        """A folder was created or removed, or its events ended; whether that is of interest."""

    def lose(self) -> None:
        """Events were dropped."""


def _find_inotify() -> Any:
    try:
        found = ctypes.CDLL(None, use_errno=True)
        _ = found.inotify_init1, found.inotify_add_watch, found.inotify_rm_watch
    except (OSError, AttributeError, TypeError):
        # Another system.
        return None
    return found


_libc = _find_inotify()


def available() -> bool:
    """Whether this system has inotify."""
    return _libc is not None


class Inotify:
    """The events of folders, without those inside their subfolders. The constructor raises OSError or RuntimeError.

    ``tells_of_touches``: whether a file that is touched, in any way, has an event.
    """

    tells_of_touches = True

    def __init__(self, receiver: EventReceiver) -> None:
        self._receiver = receiver
        self._handle = _checked(_libc.inotify_init1(_FLAGS))
        self._lock = threading.Lock()
        # One folder may go by several paths: behind a link, or while it is being moved.
        self._paths: dict[int, dict[str, None]] = {}
        self._watches: dict[str, int] = {}
        self._end, self._ending = os.pipe()
        self._thread = threading.Thread(target=self._run, name="inotify", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            for handle in (self._handle, self._end, self._ending):
                os.close(handle)
            raise

    def add(self, path: str) -> None:
        """Watch this folder from now on; a second call does nothing. Raises OSError."""
        with self._lock:
            watch = _checked(_libc.inotify_add_watch(self._handle, encoded(path), _MASK))
            old = self._watches.get(path, watch)
            if old != watch:
                self._forget(path, old)
            self._watches[path] = watch
            self._paths.setdefault(watch, {})[path] = None

    def remove(self, path: str) -> None:
        """Stop watching this folder; does nothing where it is not watched."""
        with self._lock:
            watch = self._watches.pop(path, None)
            if watch is not None:
                self._forget(path, watch)

    def _forget(self, path: str, watch: int) -> None:
        paths = self._paths[watch]
        del paths[path]
        if not paths:
            del self._paths[watch]
            # The folder may be gone, and its watch with it.
            _libc.inotify_rm_watch(self._handle, watch)

    def has(self, path: str) -> bool:
        """Whether this folder is watched."""
        return path in self._watches

    def alive(self) -> bool:
        """Whether any events come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread and close the descriptor; a second call does nothing."""
        if self._ending >= 0:
            os.close(self._ending)
            self._ending = -1
            self._thread.join(5)

    def _run(self) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            hearing, ending = select.poll(), select.poll()
            hearing.register(self._handle, select.POLLIN)
            hearing.register(self._end, select.POLLIN)
            ending.register(self._end, select.POLLIN)
            pause = 0.0
            while not (pause and ending.poll(1000 * pause)):
                begun = time.monotonic()
                if any(handle == self._end for handle, _ in hearing.poll()):
                    return
                waited = time.monotonic() - begun
                with contextlib.suppress(BlockingIOError):
                    events = os.read(self._handle, _BUFFER)
                    pause = next_pause(pause, waited, len(events), self._tell(events))
        finally:
            os.close(self._handle)
            os.close(self._end)

    def _tell(self, events: bytes) -> bool:
        """Pass these events on; whether any of them is of interest."""
        at, matters = 0, False
        seen: set[bytes] = set()
        paths_of: dict[int, list[str]] = {}
        while at < len(events):
            watch, mask, _, length = _HEAD.unpack_from(events, at)
            event = events[at : at + _HEAD.size + length]
            at += len(event)
            if event in seen:
                # The same event came in this batch already, and no scan was made in between.
                continue
            seen.add(event)
            if mask & _Q_OVERFLOW:
                self._receiver.lose()
                matters = True
                continue
            paths = paths_of.get(watch)
            if paths is None or mask & _IGNORED:
                paths = paths_of[watch] = self._paths_of(watch, ended=bool(mask & _IGNORED))
            name = decoded(event[_HEAD.size :].rstrip(b"\0"))
            if mask & _ATTRIB and (mask & _ISDIR or not name):
                continue
            for path in paths:
                if mask & _IGNORED:
                    matters |= self._receiver.folder(path)
                elif mask & _ISDIR:
                    matters |= self._receiver.folder(os.path.join(path, name))
                elif mask & _OF_FILES:
                    matters |= self._receiver.file(path, name, bool(mask & _CREATED))
        return matters

    def _paths_of(self, watch: int, *, ended: bool) -> list[str]:
        """The paths of a watched folder; with ``ended`` they are forgotten."""
        with self._lock:
            paths = list(self._paths.get(watch, ()))
            if ended:
                self._paths.pop(watch, None)
                for path in paths:
                    del self._watches[path]
        return paths


def next_pause(pause: float, waited: float, size: int, matters: bool) -> float:
    """How long to leave events alone after a read, in seconds. Pure.

    ``pause`` came before that read, then nothing for ``waited`` seconds; it gave ``size`` bytes of events and, or not, one
    that ``matters``. What comes after a quiet time is read at once, and so is what comes soon after what matters.
    """
    if waited > _BURST_GAP_SECS:
        return 0.0
    if matters:
        return TOGETHER_SECS
    if size > _MUCH:
        # The kernel's queue must not overflow.
        return pause / 2
    return min(max(2 * pause, _FIRST_PAUSE_SECS), MOST_PAUSE_SECS)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def explain(exc: Exception) -> str:
    """Why a folder has no events, in plain words."""
    if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
        return "the limit of watched folders is reached (sysctl fs.inotify.max_user_watches)"
    if isinstance(exc, OSError) and exc.errno == errno.EMFILE:
        return "the limit of file event queues is reached (sysctl fs.inotify.max_user_instances)"
    return f"file events cannot be had: {exc}"
