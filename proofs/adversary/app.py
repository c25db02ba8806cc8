"""The app whose files are sent: ``python -m proofs.adversary.app`` as the task's user, until stdin ends.

Its orders (folder, server, settings) are one JSON line on stdin. For each file of its own it prints a line with path and
SHA-256, and at the end a line with what it saw of its child.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

from pysubtask import Section, TaskMaster
from pysubtask.common.entry_types import WatchEntry
from pysubtask.common.errors import ConfigError
from pysubtask.common.run_as import become, identity

from .world import OWN, QUIET

_TICK_SECS, _START_SECS = 0.1, 20.0
_OWN_SECS, _ARCHIVE_SECS = 0.25, 3.0


class App:
    """Writes files, notifies them, and polls its child."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._data = orders["data"]
        base: dict[str, Any] = {
            "TimerIntervalSecs": 0.3,
            "RetryWaitSecs": 0.2,
            "RetryLongWaitSecs": 1.0,
            "HeartbeatIntervalSecs": 1,
            "HeartbeatName": "st7",
            "HeartbeatStatus": True,
            "ArchiveAfterDaysOld": 1,
            "ParkedRetrySecs": 2,
            "LogMaxBytes": 20_000,
            "LogKeep": 2,
            **orders["base"],
        }
        logs: dict[str, Any] = {
            "Subtask_Log_FileName": os.path.join(self._data, "logs", "child.log"),
            "Master_Log_FileName": os.path.join(self._data, "logs", "master.log"),
        }
        config = type("config", (), {"base": Section("", **base, **logs), "ftp": Section("", **orders["ftp"])})
        entries: list[WatchEntry] = [
            {"file": os.path.join(self._data, "today.csv")},
            {"file": os.path.join(self._data, "later.csv"), "on_change": True},
            {"dir": self._data},
            {"dir": os.path.join(self._data, "deep"), "recursive": True},
            {"dir": os.path.join(self._data, QUIET), "on_change": True},
        ]
        for name in ("deep", "deep/sub"):
            with contextlib.suppress(OSError):
                os.mkdir(os.path.join(self._data, name), 0o2775)
        self._make: Callable[[], TaskMaster] = lambda: _started(entries, config)
        self.master = self._make()
        self._again = float(orders["again"])
        self._again_at = time.monotonic() + self._again if self._again else float("inf")
        self.masters = 1
        self.ended: list[str] = []
        self._number = 0
        self._next = 0.0
        self._archive_at = 0.0
        self.pids: list[int] = []

    def turn(self, now: float) -> None:
        """One call of the app's timer."""
        self.poll()
        if now >= self._again_at:
            self._again_at = now + self._again
            self._note_last_exit()
            self.master.stop()
            self.master = self._make()
            self.master.start()
            self.masters += 1
        if now >= self._archive_at:
            self._archive_at = now + _ARCHIVE_SECS
            self.master.archive_expired_files()
        if now < self._next:
            return
        self._write(now)

    def poll(self) -> None:
        """Poll the master, as an app does on a timer."""
        self.master.check_pending_notifications()
        pid = self.master.status().children[0].pid
        if pid and self.pids[-1:] != [pid]:
            self.pids.append(pid)

    def end(self) -> dict[str, Any]:
        """Stop; the report on the children, those that ended by themselves among them."""
        self._note_last_exit()
        page = self.master.status().children[0].page
        self.master.stop()
        return {"pids": self.pids, "masters": self.masters, "ended": self.ended, "page": page}

    def _note_last_exit(self) -> None:
        child = self.master.status().children[0]
        if child.last_exit is not None:
            self.ended.append(f"{child.pid}: {child.last_exit}")

    def _write(self, now: float) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        self._next = now + _OWN_SECS
        self._own()
        for name in ("today.csv", "later.csv", "deep/a.csv", "deep/sub/b.csv"):
            # The adversary may have put anything there: a careful app checks before it writes.
            path = os.path.join(self._data, name)
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
                with os.fdopen(handle, "w") as file:
                    if os.fstat(handle).st_nlink == 1 and os.path.realpath(path) == path:
                        file.write(f"{now}\n")
            self.master.notify_file(path)

    def _own(self) -> None:
        self._number += 1
        path = os.path.join(self._data, *((QUIET,) if self._number % 2 else ()), f"{OWN}{self._number}.csv")
        content = f"{self._number} {'x' * (self._number * 37 % 5000)}\n".encode()
        with open(path, "xb") as file:
            file.write(content)
        if self._number % 2 == 0:
            self.master.notify_file(path)
        print(json.dumps({"own": path, "sha256": hashlib.sha256(content).hexdigest()}), flush=True)  # noqa: T201


def _started(entries: list[WatchEntry], config: Any) -> TaskMaster:
    """As a supervisor does it: an entry of a file where a folder lies is an error in the config, and the adversary may have put one
    there."""
    until = time.monotonic() + _START_SECS
    while True:
        try:
            return TaskMaster(entries, config, LogToConsole=True)
        except ConfigError:
            if time.monotonic() >= until:
                raise
        time.sleep(_TICK_SECS)


def main() -> None:
    """Until stdin ends; a line there ends the making of files of its own."""
    orders = json.loads(sys.stdin.readline())
    if orders["run_as"]:
        become(identity(orders["run_as"]))  # as 'pysubtask run --run-as' does
    app = App(orders)
    app.master.start()
    making = True
    while True:
        if making:
            app.turn(time.monotonic())
        else:
            app.poll()
        if select.select([sys.stdin], [], [], _TICK_SECS)[0]:
            if not sys.stdin.readline():
                break
            making = False
    print(json.dumps(app.end()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
