"""The state that an incomplete push leaves for the next run of the same command. There is no queue: the state only lets an
upload resume."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence

from ...common import own_files, own_folders, registry
from ...common.errors import AlreadyRunning
from ...common.lock import Holder, StateLock, process_start
from ...common.state_files import LOCK
from ..exit_status import LOCKED, CommandError
from .file_state import FileState

_FILE = "push.json"
_OLD_SECS = 30 * 86400


class Record:
    """The folder of one command (a destination and names), locked against a second process. Raises CommandError (LOCKED) where
    another process has the lock."""

    def __init__(self, destination: str, names: Sequence[str]) -> None:
        key = hashlib.sha256("\0".join([destination, *sorted(names)]).encode("utf-8", "surrogateescape")).hexdigest()[:20]
        top = os.path.join(registry.folder(), "push")
        _sweep(top, time.time())
        self.folder = os.path.join(top, key)
        self._lock = StateLock(os.path.join(self.folder, LOCK))
        try:
            registry.make_folder("push")
            self._lock.acquire(Holder(os.getpid(), process_start(os.getpid()) or "", None, None), patience=1.0)
        except AlreadyRunning as exc:
            holder = self._lock.holder()
            who = f"process {holder.pid}" if holder else "another process"
            raise CommandError(f"The same push goes on already, in {who}. Wait for it, or end that one.", LOCKED) from exc
        self.states: dict[str, FileState] = {name: FileState() for name in names}
        self._read()

    def save(self) -> None:
        """Write the states to the disk. Raises OSError on a full disk."""
        states = {name: state.to_json() for name, state in self.states.items()}
        own_files.replace(self.folder, _FILE, json.dumps(states).encode("ascii"))

    def close(self, *, keep: bool) -> None:
        """Release the folder, and remove it unless ``keep``: then the next run resumes from it."""
        if not keep:
            _remove(self.folder)
        self._lock.release()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            found = json.loads(own_files.read(self.folder, _FILE))
            self.states |= {name: FileState.of_json(found[name]) for name in self.states if name in found}


def _sweep(top: str, now: float) -> None:
    """Remove the states that no run has used for a month."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(top):
            if now - entry.stat().st_mtime > _OLD_SECS:
                _remove(entry.path)


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        own_folders.remove_folder(folder)
