"""The record of each ``pysubtask run``: its process and its tasks, also tasks whose folder (with their locks in it) is missing.

Each run has a folder of its own beside the files of the registry. The folder holds its lock, the list of its tasks, and the
requests to it while all of its tasks wait for their folders.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterable
from typing import NamedTuple

from ...common import own_files, own_folders, registry
from ...common.errors import PysubtaskError
from ...common.lock import Holder, StateLock, process_start
from .running_task import RUN_LOCK

_RUNS = "runs"
_TASKS = "tasks.json"
_LEFT_SECS = 60.0
"""A run creates its folder and then takes the lock in it: a folder without a holder is removed only when it is older than this."""


class Run(NamedTuple):
    """A living ``pysubtask run``. ``holder``: its process; ``folder``: where it takes requests; ``tasks``: the folders of its
    tasks, of waiting ones too."""

    holder: Holder
    folder: str
    tasks: tuple[str, ...]


class RunRecord:
    """The record of this process. An error to write it is logged only, because tasks that run are found by their own locks as well.
    ``is_kept``: whether others can read it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._pid = os.getpid()
        self.folder = os.path.join(os.path.realpath(registry.folder()), _RUNS, f"{self._pid}-{os.urandom(4).hex()}")
        self._lock = StateLock(os.path.join(self.folder, RUN_LOCK))
        self._recorded: tuple[str, ...] | None = None
        self.is_kept = False

    def begin(self) -> None:
        """Create the folder and take its lock: from here on other processes find this run."""
        try:
            _tidy(os.path.dirname(self.folder), time.time())
            registry.make_folder(_RUNS)
            self._lock.acquire(Holder(self._pid, process_start(self._pid) or "", None, None))
        except (OSError, PysubtaskError) as exc:
            self._log.info("'pysubtask reload' will not find this process while all its tasks wait: %s", exc)
            return
        self.is_kept = True

    def write(self, tasks: Iterable[str]) -> None:
        """Write down the folders of the tasks that this run has now, waiting ones too; an unchanged list is not written again."""
        folders = tuple(tasks)
        if not self.is_kept or folders == self._recorded:
            return
        self._recorded = folders
        try:
            own_files.replace(self.folder, _TASKS, json.dumps(list(folders)).encode("ascii"))
        except OSError as exc:
            self._log.info("'pysubtask reload' may not find all tasks of this process: %s", exc)

    def end(self) -> None:
        """Remove the folder and release the lock. In this order, so that no other process removes the folder at the same time."""
        if self.is_kept:
            self.is_kept = False
            with contextlib.suppress(OSError):
                own_folders.remove_folder(self.folder)
            self._lock.release()


def runs() -> list[Run]:
    """Every living run of this user on this machine."""
    found = []
    for folder in _folders(os.path.join(os.path.realpath(registry.folder()), _RUNS)):
        holder = StateLock(os.path.join(folder, RUN_LOCK)).holder()
        if holder is not None:
            found.append(Run(holder, folder, _tasks(folder)))
    return found


def _tidy(top: str, now: float) -> None:
    """Remove the folders of runs that were killed. ``now``: seconds since the epoch."""
    for folder in _folders(top):
        with contextlib.suppress(OSError):
            if now - os.stat(folder).st_mtime > _LEFT_SECS and StateLock(os.path.join(folder, RUN_LOCK)).holder() is None:
                own_folders.remove_folder(folder)


def _folders(top: str) -> list[str]:
    try:
        return sorted(os.path.join(top, name) for name in os.listdir(top))
    except OSError:
        return []


def _tasks(folder: str) -> tuple[str, ...]:
    try:
        found = json.loads(own_files.read(folder, _TASKS))
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(path for path in found if isinstance(path, str)) if isinstance(found, list) else ()
