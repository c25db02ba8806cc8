"""A child that waits for file events of the real system, on one thread of a test."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.notify import Stamp, notify_name
from pysubtask.subtask.watch import inotify
from pysubtask.subtask.watch.watcher import Due, Watcher
from tests.support.watched_world import Memory


@pytest.fixture(params=["inotify", "watchdog"])
def source(request, monkeypatch) -> str:
    """Where the events come from: watchdog is for other systems, and works on this one too."""
    if request.param == "watchdog":
        monkeypatch.setattr(inotify, "available", lambda: False)
    return request.param


both = pytest.mark.usefixtures("source")


class Child:
    """A watch with events and a clock of its own; ``until`` scans only when it is woken, as a child with a long timer does."""

    def __init__(self, folder, watched, **more) -> None:
        self.woken = threading.Event()
        self.memory = Memory()
        self.watch = Watcher(read_entries(watched, cwd=str(folder)), self.memory, (), self.woken.set, **more)
        self.found: list[tuple[str, str]] = []

    def __enter__(self) -> Child:
        self.watch.start()
        self.poll()
        return self

    def __exit__(self, *_) -> None:
        self.watch.stop()

    def poll(self) -> list[Due]:
        dues = self.watch.scan(time.monotonic())
        for due in dues:
            if os.path.exists(due.path):
                found = os.stat(due.path)
                self.memory.sources[due.path] = Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
            if due.stamp is not None:
                self.memory.stamps[notify_name(due.path)] = due.stamp
            self.watch.done(due)
            if due.cause != "recheck":
                self.found.append((os.path.basename(due.path), due.cause))
        return dues

    def until(self, *expected: tuple[str, str], secs: float = 20) -> None:
        """Wait until exactly this was due."""
        deadline = time.monotonic() + secs
        while sorted(self.found) != sorted(expected):
            left = deadline - time.monotonic()
            at = self.watch.next_at(time.monotonic())
            woken = self.woken.wait(left if at is None else max(0.0, min(left, at - time.monotonic())))
            # A scan that nothing asked for, at the very end, would find what had no event.
            asked = left > 0 and (woken or (at is not None and at <= time.monotonic()))
            assert asked, f"within {secs} s only {self.found} became due, not {expected}; {self.watch.mode}"
            self.woken.clear()
            self.poll()
        self.found.clear()

    def nothing(self, secs: float = 0.3) -> None:
        """Nothing becomes due in a while."""
        end = time.monotonic() + secs
        while time.monotonic() < end:
            self.woken.wait(0.02)
            self.woken.clear()
            self.poll()
        assert self.found == []
