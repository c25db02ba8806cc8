"""Rounds of a task whose child is killed while the app makes no call."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pysubtask import TaskMaster
from pysubtask.common.process import is_alive
from pysubtask.common.status import read_status
from pysubtask.testing import sftp_server

SLEEP_SECS = 1800.0
"""How long the app sleeps, by its own clock."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_POLL_SECS = 0.02
_GIVE_UP_SECS = 60.0


class Round(NamedTuple):
    """One kill. ``secs``: from the kill until the file that was notified right after it was on the server, None where it did not
    arrive. ``pss``: kilobytes of the guard's own memory."""

    secs: float | None
    pss: int
    problem: str = ""


class _Task:
    """A master in this process, and what it is seen by without a call of the master's."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.data, self.folder = folder / "a.csv", folder
        self.data.write_text("begin\n")
        base = {"TimerIntervalSecs": 1, "Master_Log_FileName": None, "Subtask_Log_FileName": str(folder / "child.log")}
        self.master = TaskMaster([{"file": str(self.data)}], {"ftp": settings, "base": base}, LogToConsole=False, LogFileName=None)

    def child(self) -> int:
        """The child by its own status page; 0 where none lives."""
        page = read_status(str(self.folder / ".pysubtask" / "main" / "ftp")) or {}
        pid = int(page.get("pid", 0))
        return pid if page.get("state") not in ("starting", "stopped", None) and is_alive(pid, "") else 0

    def notify(self, text: str) -> None:
        """Append, and touch the notify file as another program does."""
        with open(self.data, "a", encoding="ascii") as file:
            file.write(text)
        Path(f"{self.data}.notify").touch()


def pss_of(pid: int) -> int:
    """The kilobytes of a process's own memory, what it shares counted by its share (proc(5), smaps_rollup)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def parent_of(pid: int) -> int:
    """The parent of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def until(there: Callable[[], object], secs: float = _GIVE_UP_SECS) -> bool:
    """Wait until something is so; whether it is within ``secs`` seconds."""
    end = time.monotonic() + secs
    while not there():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECS)
    return True


def one_round(folder: Path, settings: dict[str, object], remote: Path) -> Round:
    """Start a task, let a file arrive, kill the child, notify: all calls of the master are made before the kill, and after the
    file has arrived, which for the app's clock is half an hour later."""
    task = _Task(folder, settings)
    task.master.start()
    try:
        task.notify("first\n")
        if not until(lambda: remote.exists() and remote.read_bytes() == task.data.read_bytes() and task.child()):
            return Round(None, 0, "the first file did not arrive")
        first = task.child()
        pss = pss_of(parent_of(first))
        os.kill(first, KILL)
        killed = time.monotonic()
        task.notify("second\n")
        if not until(lambda: remote.read_bytes() == task.data.read_bytes()):
            return Round(None, pss, "the second file did not arrive")
        secs = time.monotonic() - killed
        return Round(secs, pss, _awake(task, first))
    finally:
        task.master.stop(forcekill=True)


def _awake(task: _Task, first: int) -> str:
    """What is wrong when the app wakes: it must find the child that its guard has started, and start none."""
    until(lambda: task.child() not in (0, first))
    second, clock = task.child(), time.monotonic
    time.monotonic = lambda: clock() + SLEEP_SECS
    try:
        task.master.check_pending_notifications()
        status = task.master.status().children[0]
    finally:
        time.monotonic = clock
    found = {"pid": status.pid, "restarts": status.restarts, "last_exit": status.last_exit}
    expected = {"pid": second, "restarts": 1, "last_exit": "signal SIGKILL"}
    return "" if found == expected else f"the app woke and found {json.dumps(found)}, not {json.dumps(expected)}"


def run(folder: Path, rounds: int, say: Callable[[str], None]) -> list[Round]:
    """So many rounds, each of a new task; all of one SFTP server."""
    done: list[Round] = []
    with sftp_server(folder / "server") as server:
        for number in range(rounds):
            place = folder / f"task{number}"
            place.mkdir()
            settings = server.settings(HostPath=place.name)
            done.append(one_round(place, settings, folder / "server" / place.name / "a.csv"))
            if done[-1].problem or number % 10 == 9:
                say(f"{number + 1} of {rounds}: {done[-1]}")
    return done
