"""A watcher over a real folder, on a made-up clock."""

from __future__ import annotations

import os
import time

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.notify import Stamp, notify_name, read_stamp
from pysubtask.subtask.platform import creation_time
from pysubtask.subtask.watch.watcher import Due, Watcher

SECOND = 1_000_000_000


class Memory:
    """What was snapshotted, as the queue would know it."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.sources: dict[str, Stamp] = {}

    def handled(self, notify_path: str) -> Stamp | None:
        return self.stamps.get(notify_path)

    def source(self, path: str) -> Stamp | None:
        return self.sources.get(path)


class World:
    """Files in a folder, a clock that only moves on demand, and a child that snapshots what is due."""

    def __init__(self, folder: str, watched: list[dict[str, object]], *, tick: int = 1, skip: tuple[str, ...] = ()) -> None:
        self.folder = str(folder)
        self.entries = read_entries(watched, cwd=self.folder)
        self.tick = tick
        self.skip = skip
        # Near the real time, which is that of the notify files the watch makes itself.
        self.ns = (time.time_ns() // SECOND + 1) * SECOND + 1
        self.memory = Memory()
        self.sent: dict[str, list[bytes]] = {}
        self.restart()

    def restart(self) -> None:
        self.watch = Watcher(
            self.entries, self.memory, self.skip, lambda: None, False, stat=self.stat, wall=lambda: self.ns, timer=lambda: 0.0
        )

    def stat(self, path: str) -> Stamp | None:
        """Times as a file system with a clock of low resolution reports them."""
        found = read_stamp(path)
        return found and found._replace(mtime_ns=found.mtime_ns // self.tick * self.tick)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, data: bytes = b"", mode: str = "wb") -> None:
        with open(self.path(name), mode) as file:
            file.write(data)
        os.utime(self.path(name), ns=(self.ns, self.ns))

    def touch(self, name: str) -> None:
        self.write(name + ".notify", b"", "ab")

    def wait(self, secs: float) -> None:
        self.ns += int(secs * SECOND)

    def scan(self, **how: bool) -> list[Due]:
        return self.watch.scan(self.ns / SECOND, **how)

    def copy(self, due: Due) -> tuple[Due, Stamp | None, bytes]:
        try:
            with open(due.path, "rb") as file:
                return due, self.stat(due.path), file.read()
        except FileNotFoundError:
            return due, None, b""

    def commit(self, copied: tuple[Due, Stamp | None, bytes]) -> None:
        due, source, data = copied
        if source is not None:
            self.memory.sources[due.path] = source
            sent = self.sent.setdefault(due.path, [])
            if due.cause != "recheck" or sent[-1:] != [data]:
                sent.append(data)
        if due.stamp is not None:
            self.memory.stamps[notify_name(due.path)] = due.stamp
        self.watch.done(due)

    def memory_forget(self, gone: list[str]) -> None:
        """What the queue does with files that went."""
        for path in gone:
            self.memory.sources.pop(path, None)
            self.memory.stamps.pop(notify_name(path), None)

    def round(self, **how: bool) -> list[tuple[str, str]]:
        """One tick; what was due: name and cause."""
        dues = self.scan(**how)
        for due in dues:
            self.commit(self.copy(due))
        return [(os.path.relpath(due.path, self.folder), due.cause) for due in dues]

    def quiet(self, *, rechecks: bool = False, limit: int = 12) -> list[tuple[str, str]]:
        """Ticks until nothing more comes; second checks because of the clock are left out unless asked for."""
        found: list[tuple[str, str]] = []
        for _ in range(limit):
            found += self.round()
            at = self.watch.next_at(self.ns / SECOND)
            if at is None:
                return [each for each in found if rechecks or each[1] != "recheck"]
            self.wait(max(0.0, at - self.ns / SECOND) + 0.001)
        raise AssertionError(f"it never comes to rest: {found}")


@pytest.fixture(autouse=True)
def born_long_ago(monkeypatch) -> None:
    """Files are created in real time, not in that of the tests' clock."""
    monkeypatch.setattr(creation_time, "creation_ns", lambda path: 0)
