"""Runs a child through all its crash points, and all pairs of them, and checks what is left."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pysubtask.common.receipts import read_receipts
from pysubtask.common.state_files import SWAP_RECORD

from .child import KINDS, STUCK, VISIBLE_WRONG, Kind, Station, live
from .steps import CRASHED, Steps

_OLD = b"".join(b"%06d,an old line of data\n" % number for number in range(400))
_MOST_STEPS = 10_000
LATE = ("connect", "rename", "end")


class Trial(NamedTuple):
    """One run of a ``kind`` of server. ``change``: what the file becomes (see ``contents``); ``crashes``: the step, counted
    from 1, before which each life is killed; ``slow``: the server is frozen at the kill, and carries out what it had received
    ``late_at``: at the next connect, before the next rename, or at the end; ``rewritten``: the file is written once more
    between the kill and the next life."""

    kind: str
    change: str
    crashes: tuple[int, ...]
    slow: bool = False
    late_at: str = "connect"
    rewritten: bool = False

    def __str__(self) -> str:
        words = [self.kind, self.change, "killed before " + (" and ".join(map(str, self.crashes)) or "no step")]
        if self.slow:
            words.append(f"server frozen, goes on at {self.late_at}")
        if self.rewritten:
            words.append("written again meanwhile")
        return ", ".join(words)


class Outcome(NamedTuple):
    """What a ``trial`` came to. ``problem`` is empty where all is well; ``steps``: how many the last life had; ``crashed``: how
    many kills took place; ``sent_again``: a content was delivered more than once."""

    trial: Trial
    problem: str
    steps: int
    crashed: int
    sent_again: bool


def contents(change: str) -> list[bytes]:
    """The file's contents one after the other: what is there first (None where it is new), and what it becomes. ValueError for
    another change."""
    if change == "first":
        return [_OLD]
    if change == "grown":
        return [_OLD, _OLD + b"a new line\n" * 40]
    if change == "rewritten":
        return [_OLD, b"all new\n" * 700]
    big = bytes(random.Random(5).randbytes(600_000))
    if change == "big":
        return [big]
    if change == "middle":
        return [big, big[:200_000] + b"x" * 30_000 + big[230_000:]]
    raise ValueError(change)


CHANGES = {
    "atomic replace": ("first", "grown", "rewritten"),
    "swap": ("first", "rewritten"),
    "append": ("grown", "rewritten"),
    "copy and patch": ("middle",),
    "Dropbox session": ("first", "middle"),
    "moved state": ("first", "rewritten"),
    "no rename over": ("first", "grown", "rewritten"),
    "object store": ("first", "grown", "rewritten"),
    "delete refused": ("first", "grown", "rewritten", "middle"),
    "ftp whole": ("first", "grown", "rewritten"),
    "ftp swap": ("first", "rewritten"),
    "ftp append": ("grown", "rewritten"),
    "ftp no append": ("grown",),
    "ftp short transfer": ("first", "rewritten"),
    "ftp resume": ("big", "middle"),
}


class Explorer:
    """Works in ``folder`` (best on a memory file system); forks, so the process must have one thread only."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._templates: dict[tuple[str, str], str] = {}

    def run(self, trial: Trial) -> Outcome:
        """Carry one trial out, from a fresh copy of the station."""
        kind = KINDS[trial.kind]
        station, versions = self._fresh(trial)
        crashed = 0
        status = 0
        for life, crash_at in enumerate(trial.crashes):
            if life == 1:
                self._write_again(station, trial, versions)
            status, _ = self._life(station, kind, versions, crash_at, trial)
            crashed += status == CRASHED
            if status not in (0, CRASHED):
                return Outcome(trial, _words(status), 0, crashed, False)
        if len(trial.crashes) < 2:
            self._write_again(station, trial, versions)
        return self._last(station, trial, versions, crashed)

    def after(self, trial: Trial) -> Iterator[Outcome]:
        """All pairs with the one kill of ``trial`` as the first: the second one is before each step, from the state that the
        first has left."""
        kind = KINDS[trial.kind]
        station, versions = self._fresh(trial)
        status, _ = self._life(station, kind, versions, trial.crashes[0], trial)
        if status != CRASHED:
            return
        middle = os.path.join(self.folder, "middle")
        shutil.rmtree(middle, ignore_errors=True)
        os.rename(station.root, middle)
        for second in range(1, _MOST_STEPS):
            _copy(middle, station.root)
            pair = trial._replace(crashes=(trial.crashes[0], second))
            status, _ = self._life(station, kind, versions, second, pair)
            if status == 0:
                return  # this life has no such step
            if status != CRASHED:
                yield Outcome(pair, _words(status), 0, 1, False)
                continue
            yield self._last(station, pair, versions, 2)

    def _fresh(self, trial: Trial) -> tuple[Station, list[bytes]]:
        station, versions = Station(os.path.join(self.folder, "run")), contents(trial.change)
        _copy(self._template(KINDS[trial.kind], trial.change), station.root)
        if len(versions) > 1:
            _write(station, versions[1], 2)
        if KINDS[trial.kind].moves:
            self._put_in_queue(station, trial, versions)
        return station, versions

    def _put_in_queue(self, station: Station, trial: Trial, versions: list[bytes]) -> None:
        """Queue the notified version at the old place, and remove the data file: the queue has the only copy."""
        status, _ = self._life(station, KINDS[trial.kind], versions, 0, trial, inside=True, only_queue=True)
        if status or not os.listdir(os.path.join(os.path.dirname(station.data), "upload", "ftp")):
            raise RuntimeError(f"{trial.kind}, {trial.change}: nothing is in the queue: {_words(status)}")
        os.unlink(station.data)
        os.unlink(station.data + ".notify")

    def _write_again(self, station: Station, trial: Trial, versions: list[bytes]) -> None:
        if trial.rewritten:
            versions.append(versions[-1] + b"and more\n" * 30)
            _write(station, versions[-1], 3)

    def last(self, station: Station, trial: Trial, goal: bytes) -> str:
        """Run a life to its end from the present state of ``station``; the fault found then, or ''."""
        versions = contents(trial.change)
        status, _ = self._life(station, KINDS[trial.kind], versions, 0, trial)
        return _words(status) or _fault_at_end(station, KINDS[trial.kind], goal)

    def _last(self, station: Station, trial: Trial, versions: list[bytes], crashed: int) -> Outcome:
        """Run a life to its end, and check the result."""
        kind = KINDS[trial.kind]
        status, steps = self._life(station, kind, versions, 0, trial)
        again = _sent_again(station, kind, versions[-1])
        if status == 0 and _on_record(station, kind):
            # What a frozen server made afterwards is on record: the next connection removes it, so there must be one.
            versions.append(versions[-1] + b"the next day\n")
            _write(station, versions[-1], 4)
            status, _ = self._life(station, kind, versions, 0, trial)
        problem = _words(status) or _fault_at_end(station, kind, versions[-1])
        return Outcome(trial, problem, steps, crashed, again)

    def count(self, kind: str, change: str, *, slow: bool = False) -> int:
        """How many steps a life without a kill has."""
        return self.run(Trial(kind, change, (), slow)).steps

    def _template(self, kind: Kind, change: str) -> str:
        """A station that has delivered what is there first."""
        key = (kind.name, change)
        if key not in self._templates:
            root = os.path.join(self.folder, f"template{len(self._templates)}")
            station = Station(root)
            for folder in (os.path.dirname(station.data), station.server, *([station.home] if kind.moves else [])):
                os.makedirs(folder)
            versions = contents(change)
            _write(station, versions[0], 1)
            if len(versions) > 1:
                status, _ = self._life(station, kind, versions[:1], 0, Trial(kind.name, change, ()), inside=True)
                problem = _words(status) or _fault_at_end(station, kind, versions[0])
                if problem:
                    raise RuntimeError(f"{kind.name}, {change}: not even the beginning works: {problem}")
            self._templates[key] = root
        return self._templates[key]

    def _life(
        self,
        station: Station,
        kind: Kind,
        versions: list[bytes],
        crash_at: int,
        trial: Trial,
        *,
        inside: bool = False,
        only_queue: bool = False,
    ) -> tuple[int, int]:
        """A child from its start to its end; (exit status, how many steps it took). ``inside``: its state is in the data folder;
        ``only_queue``: as for :func:`live`."""
        if sys.platform == "win32":
            raise NotImplementedError
        # The state folder's own path is in the handoff and in receipts: every run has the same.
        home = os.path.join(self.folder, "here")
        os.rename(station.root, home)
        here = Station(home)
        try:
            read_end, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read_end)
                _child(here, kind, versions, crash_at, trial, tell, inside, only_queue)
            os.close(tell)
            with os.fdopen(read_end, "rb") as file:
                steps = file.read()
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status), int(steps or 0)
        finally:
            os.rename(home, station.root)


def _child(
    station: Station, kind: Kind, versions: list[bytes], crash_at: int, trial: Trial, tell: int, inside: bool, only_queue: bool
) -> None:
    """The forked process; never returns."""
    status = 70
    try:
        steps = Steps(crash_at)
        last = [_seen(station, kind, versions, 0)]
        write = os.write

        def on_change() -> None:
            found = _seen(station, kind, versions, last[0])
            if found < last[0]:
                os._exit(VISIBLE_WRONG)
            last[0] = found

        status = live(station, kind, steps, on_change, slow=trial.slow, late_at=trial.late_at, inside=inside, only_queue=only_queue)
        write(tell, str(len(steps.names)).encode())
    except BaseException:  # noqa: BLE001 - said by the exit status, the traceback by the interpreter's own means
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _seen(station: Station, kind: Kind, versions: list[bytes], last: int) -> int:
    """Which version a reader sees, from 1; 0 for no file before there was one. -1 for what must never be seen."""
    try:
        with open(station.remote, "rb") as file:
            found = file.read()
    except FileNotFoundError:
        return last if kind.gap or last == 0 else -1
    for number, version in enumerate(versions, 1):
        if found == version:
            return max(number, last) if number >= last else -1
    grows = not kind.atomic_append and any(
        new.startswith(found) and found.startswith(old) for old, new in itertools.pairwise(versions)
    )
    return last if grows else -1


def _write(station: Station, content: bytes, number: int) -> None:
    """What the app does: write the data, touch the notify file. Both long ago, so that no clock's grain is in the way."""
    when = 1_700_000_000 + number * 1000
    grows = number > 1 and os.path.exists(station.data) and content.startswith(_read(station.data))
    with open(station.data, "ab" if grows else "wb") as file:
        file.write(content[file.tell() :])
    os.utime(station.data, (when, when))
    with open(station.data + ".notify", "wb"):
        pass
    os.utime(station.data + ".notify", (when, when))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _words(status: int) -> str:
    if status in (0, CRASHED):
        return ""
    words = {STUCK: "the queue is not empty in the end", VISIBLE_WRONG: "a reader saw what must never be seen"}
    return words.get(status, f"the child ended with status {status}")


def _fault_at_end(station: Station, kind: Kind, goal: bytes) -> str:
    """The fault found at the end, or ''."""
    if not os.path.exists(station.remote):
        return "lost: the file is not on the server"
    if _read(station.remote) != goal:
        return "torn or old: the server has something else"
    left = [name for name in os.listdir(station.server) if name != "a.csv"]
    if kind.profile is not None and kind.profile.litter:
        recorded = _recorded_left(station, kind)
        unknown = [name for name in left if name not in recorded]
        if unknown:
            return f"left behind and not told: {', '.join(unknown)}"
        if len(left) > kind.profile.litter:
            return f"{len(left)} temporary files are left, more than {kind.profile.litter}: {', '.join(left)}"
        left = []
    state = station.state(kind)
    folders = [station.bak, os.path.join(os.path.dirname(station.data), "upload"), os.path.join(state, "snapshots")]
    left += [name for folder in folders for _, _, names in os.walk(folder) for name in names]
    if kind.moves and state != station.inside:
        left += [name for name in os.listdir(station.inside) if name not in ("moved_to", "spool.db")]
        left += [name for name in os.listdir(state) if "moving" in name or name == "moved_from"]
    if left:
        return f"left behind: {', '.join(left)}"
    receipts = list(read_receipts(station.state(kind)))
    if not receipts or receipts[-1].size != len(goal):
        return "the receipts do not say what the server has"
    seqs = [receipt.seq for receipt in receipts]
    if len(seqs) != len(set(seqs)):
        return "a receipt stands twice"
    with contextlib.closing(sqlite3.connect(os.path.join(station.state(kind), "spool.db"))) as db:
        if db.execute("SELECT COUNT(*) FROM job").fetchone() != (0,):
            return "the queue is not empty"
    return ""


def _recorded_left(station: Station, kind: Kind) -> list[str]:
    """The temporary files that could not be removed, as the status page and the spool have them."""
    with contextlib.closing(sqlite3.connect(os.path.join(station.state(kind), "spool.db"))) as db:
        rows = db.execute("SELECT data FROM profile").fetchall()
    return [name for (text,) in rows for name in json.loads(text)["left"]]


def _on_record(station: Station, kind: Kind) -> bool:
    """Whether a file on the server is recorded as temporary in the spool, or as the old file of a swap."""
    state = station.state(kind)
    with contextlib.closing(sqlite3.connect(os.path.join(state, "spool.db"))) as db:
        recorded = {os.fsdecode(temp) for (temp,) in db.execute("SELECT temp FROM temp")}
    for folder, _, names in os.walk(state):
        if SWAP_RECORD in names:
            recorded.update(json.loads(_read(os.path.join(folder, SWAP_RECORD)))["asides"])
    return bool(recorded.intersection(os.listdir(station.server)))


def _sent_again(station: Station, kind: Kind, goal: bytes) -> bool:
    """Whether the content was delivered more than once."""
    digest = hashlib.sha256(goal).hexdigest()
    found = [receipt for receipt in read_receipts(station.state(kind)) if receipt.digest == digest and receipt.bytes_sent]
    return len(found) > 1


def singles(explorer: Explorer, chosen: Mapping[str, Sequence[str]], part: Callable[[int], bool]) -> Iterator[Trial]:
    """Every crash point of these kinds and changes, with a quick server and with a frozen one. ``part``: which steps."""
    for kind, changes in chosen.items():
        for change in changes:
            for slow in (False,) if KINDS[kind].dropbox or KINDS[kind].moves else (False, True):
                for step in filter(part, range(1, explorer.count(kind, change, slow=slow) + 1)):
                    for late_at in LATE if slow else LATE[:1]:
                        yield Trial(kind, change, (step,), slow, late_at)
                    yield Trial(kind, change, (step,), slow, LATE[1], rewritten=True)


def pairs(explorer: Explorer, chosen: Mapping[str, Sequence[str]], part: Callable[[int], bool]) -> Iterator[Outcome]:
    """Every pair, carried out: killed before a step, and the next life before a step of its own."""
    for kind, changes in chosen.items():
        for change in changes:
            for first in filter(part, range(1, explorer.count(kind, change) + 1)):
                yield from explorer.after(Trial(kind, change, (first,)))


def some_pairs(explorer: Explorer, chosen: Mapping[str, Sequence[str]], sample: int, seed: int) -> Iterator[Outcome]:
    """So many pairs, evenly over the kinds and changes."""
    rows = [(kind, change, explorer.count(kind, change)) for kind, changes in chosen.items() for change in changes]
    chance = random.Random(seed)
    for number in range(sample):
        kind, change, steps = rows[number % len(rows)]
        yield explorer.run(Trial(kind, change, (chance.randint(1, steps), chance.randint(1, steps))))


def _copy(origin: str, target: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(origin, target, copy_function=shutil.copy2)
