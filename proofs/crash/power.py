"""The power goes: a life of the child is recorded, cut anywhere, and another life begins with what the disk then holds."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from .child import KINDS, Kind, Station
from .disk import CALLS, Disk, Op, Recording
from .explore import Explorer, Trial, read, stamp

STRACE = ("strace", "-f", "-qq", "-y", "-xx", "-s", "4000000")


class Cut(NamedTuple):
    """One cut of the power in a life that delivers a ``change`` to a ``kind`` of server: after so many changes (``after``) of a
    recorded life; ``seed`` None: nothing unsafe is left, else chance decides."""

    kind: str
    change: str
    after: int
    seed: int | None

    def __str__(self) -> str:
        left = "nothing unsafe is left" if self.seed is None else f"chance {self.seed} leaves some of the unsafe"
        return f"{self.kind}, {self.change}, power cut after change {self.after}, {left}"


class Found(NamedTuple):
    """``problem`` is empty where all is well. ``safe``: the notify counted as handled, so the data file was taken away before
    the next life: the snapshot was all there was."""

    cut: Cut
    problem: str
    safe: bool


class PowerCuts:
    """Works in the folder of an Explorer. Needs strace(1)."""

    def __init__(self, explorer: Explorer) -> None:
        self._folder = explorer.folder
        self._explorer = explorer

    def cuts(self, kind: str, change: str, seeds: int, sample: int | None = None, seed: int = 1) -> Iterator[Found]:
        """Every cut of one life, without anything unsafe and ``seeds`` times with some of it; or a ``sample`` of these."""
        trial = Trial(kind, change, ())
        before, versions = self._explorer._fresh(trial)
        start = os.path.join(self._folder, "start")
        shutil.rmtree(start, ignore_errors=True)
        os.rename(before.root, start)
        ops = self.record(start, KINDS[kind], change)
        cuts = [Cut(kind, change, after, left) for after in range(len(ops) + 1) for left in (None, *range(seeds))]
        if sample is not None:
            cuts = random.Random(seed).sample(cuts, min(sample, len(cuts)))
        for cut in cuts:
            found = self._cut(cut, start, ops, versions)
            if found is not None:
                yield found

    def record(self, start: str, kind: Kind, change: str) -> list[Op]:
        """A life that begins with ``start``: what it changes. RuntimeError where that life fails."""
        home = os.path.join(self._folder, "here")
        shutil.copytree(start, home, copy_function=shutil.copy2)
        log = os.path.join(self._folder, "strace")
        words = [*STRACE, "-o", log, "-e", f"trace={CALLS}", sys.executable, "-m", f"{__package__}.one", home, kind.name, change]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        shutil.rmtree(home)
        if done.returncode:
            raise RuntimeError(f"the recorded life failed ({done.returncode}): {done.stderr[-2000:]}")
        disk = self._disk(start)
        ops = []
        with open(log, encoding="ascii") as file:
            for op in Recording(disk, home).ops(file):
                disk.do(op)
                ops.append(op)
        return ops

    def _disk(self, start: str) -> Disk:
        """The disk as it was when the recorded life began, under the name that it had then."""
        home = os.path.join(self._folder, "here")
        os.rename(start, home)
        station = Station(home)
        app = (station.data, station.data + ".notify")
        try:
            return Disk(home, station.server, station.account, synced=app)
        finally:
            os.rename(home, start)

    def _cut(self, cut: Cut, start: str, ops: list[Op], versions: list[bytes]) -> Found | None:
        """None where the app is in the midst of a write: what it writes is its own affair."""
        disk = self._disk(start)
        for op in ops[: cut.after]:
            disk.do(op)
        station = Station(os.path.join(self._folder, "run"))
        shutil.rmtree(station.root, ignore_errors=True)
        chance = None if cut.seed is None else random.Random(f"{cut.after} {cut.seed}")
        disk.found(station.root, chance)
        _same_times(start, station.root)
        kind, number = KINDS[cut.kind], len(versions)
        if kind.writes_on:
            content = read(station.data)
            if content not in versions:
                return None
            number = versions.index(content) + 1
            stamp(station, number)
        try:
            # Where the state is moved, the data file is gone from the beginning.
            safe = not kind.moves and _is_handled(station, kind)
        except sqlite3.DatabaseError as exc:
            return Found(cut, f"the queue does not open: {exc}", False)
        goal = versions[-1]
        if safe:
            os.unlink(station.data)
            goal = versions[number - 1]
        outcome = self._explorer.last(station, Trial(cut.kind, cut.change, ()), goal)
        return Found(cut, outcome, safe)


def _same_times(start: str, root: str) -> None:
    """Give each file that existed before the cut its times."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            old = os.path.join(start, os.path.relpath(path, root))
            if os.path.exists(old):
                found = os.stat(old)
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _is_handled(station: Station, kind: Kind) -> bool:
    """Whether the notify is done with by the queue. It reads a copy: SQLite would repair the queue's file as it opens it."""
    state = station.state(kind)
    copy = os.path.join(station.root, "look")
    os.makedirs(copy)
    try:
        for name in ("spool.db", "spool.db-wal"):
            if os.path.exists(os.path.join(state, name)):
                shutil.copy(os.path.join(state, name), copy)
        path = os.path.join(copy, "spool.db")
        if not os.path.exists(path) or not os.path.getsize(path):
            return False
        notified = os.stat(station.data + ".notify")
        with contextlib.closing(sqlite3.connect(path)) as db:
            if not db.execute("SELECT name FROM sqlite_master WHERE name = 'stamp'").fetchone():
                return False
            rows = db.execute("SELECT mtime_ns FROM stamp WHERE CAST(path AS TEXT) LIKE '%.notify'").fetchall()
        return (notified.st_mtime_ns,) in rows
    finally:
        shutil.rmtree(copy)
