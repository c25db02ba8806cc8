"""Runs a child through all its crash points, and all pairs of them, and checks what is left."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import itertools
import json
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from pysubtask.common.receipts import read_receipts
from pysubtask.common.state_files import SWAP_RECORD

from .child import KINDS, STUCK, VISIBLE_WRONG, Kind, Station, live
from .saved_states import SavedState, StateSaver, copy_tree, restore, saved_in
from .steps import CRASHED, Steps

_OLD = b"".join(b"%06d,an old line of data\n" % number for number in range(400))
_LIBRARIES = ("dropbox", "dropbox.files", "dropbox.exceptions", "requests", "pysubtask.transports.dropbox.answers")
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
    if change == "growing":
        grown = list(itertools.accumulate([b"a new line\n" * 40, b"and another\n" * 30, b"one more\n" * 50], initial=_OLD))
        again = list(itertools.accumulate([b"a short new file\n" * 90, b"that grows\n" * 20, b"and grows\n" * 30]))
        middle = again[-1][:500] + b"changed here" + again[-1][512:] + b"and longer\n" * 20
        return [*grown, *again, middle, middle + b"and on\n" * 40]
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
    "growing file": ("growing",),
    "growing swap": ("growing",),
    "growing append": ("growing",),
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
        # Once here, not in each of some ten thousand forks.
        for name in _LIBRARIES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
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

    def states_of(self, trial: Trial, place: str) -> tuple[str, list[SavedState]]:
        """Let a child live from a fresh station to its end, and save each state that it had in ``place``: (problem, states)."""
        station, versions = self._fresh(trial)
        return self._saved_life(station, versions, trial, place)

    def states_after(self, trial: Trial, state: SavedState, place: str) -> tuple[str, list[SavedState]]:
        """The same of the life that follows a kill in ``state``, which a life of ``trial`` had."""
        station = Station(os.path.join(self.folder, "run"))
        restore(state, station.root)
        return self._saved_life(station, contents(trial.change), trial, place)

    def end_after(self, trial: Trial, state: SavedState) -> Outcome:
        """The outcome of ``trial``, whose last kill is in ``state``."""
        station = Station(os.path.join(self.folder, "run"))
        restore(state, station.root)
        return self._last(station, trial, contents(trial.change), len(trial.crashes))

    def _saved_life(self, station: Station, versions: list[bytes], trial: Trial, place: str) -> tuple[str, list[SavedState]]:
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place)
        status, _ = self._life(station, KINDS[trial.kind], versions, 0, trial, place=place)
        return _words(status), saved_in(place)

    def _fresh(self, trial: Trial) -> tuple[Station, list[bytes]]:
        station, versions = Station(os.path.join(self.folder, "run")), contents(trial.change)
        copy_tree(self._template(KINDS[trial.kind], trial.change), station.root)
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
        place: str | None = None,
    ) -> tuple[int, int]:
        """A child from its start to its end; (exit status, how many steps it took). ``inside``: its state is in the data folder;
        ``only_queue``: as for :func:`live`; ``place``: the folder that each of its states is saved in."""
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
                _child(here, kind, versions, crash_at, trial, tell, inside, only_queue, place)
            os.close(tell)
            with os.fdopen(read_end, "rb") as file:
                steps = file.read()
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status), int(steps or 0)
        finally:
            os.rename(home, station.root)


def _child(
    station: Station,
    kind: Kind,
    versions: list[bytes],
    crash_at: int,
    trial: Trial,
    tell: int,
    inside: bool,
    only_queue: bool,
    place: str | None,
) -> None:
    """The forked process; never returns."""
    status = 70
    try:
        steps = Steps(crash_at)
        if place is not None:
            steps.before = StateSaver(station.root, place).before
        last = [_seen(station, kind, versions, 0)]
        write = os.write

        def on_change() -> None:
            found = _seen(station, kind, versions, last[0])
            if found < last[0]:
                os._exit(VISIBLE_WRONG)
            last[0] = found

        manner: Any = {"slow": trial.slow, "late_at": trial.late_at, "inside": inside, "only_queue": only_queue}
        status = live(station, kind, steps, on_change, functools.partial(write_on, station, versions), **manner)
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
    grows = number > 1 and os.path.exists(station.data) and content.startswith(read(station.data))
    with open(station.data, "ab" if grows else "wb") as file:
        file.write(content[file.tell() :])
    with open(station.data + ".notify", "wb"):
        pass
    stamp(station, number)


def stamp(station: Station, number: int) -> None:
    """Give the data file and its notify file the times of a version."""
    when = 1_700_000_000 + number * 1000
    for path in (station.data, station.data + ".notify"):
        os.utime(path, (when, when))


def write_on(station: Station, versions: Sequence[bytes]) -> bool:
    """Write the version that follows the present one; whether there was one. A file that was taken away stays away."""
    if not os.path.exists(station.data):
        return False
    number = versions.index(read(station.data)) + 1
    if number < len(versions):
        _write(station, versions[number], number + 1)
    return number < len(versions)


def read(path: str) -> bytes:
    """The bytes of a file."""
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
    if read(station.remote) != goal:
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
            recorded.update(json.loads(read(os.path.join(folder, SWAP_RECORD)))["asides"])
    return bool(recorded.intersection(os.listdir(station.server)))


def _sent_again(station: Station, kind: Kind, goal: bytes) -> bool:
    """Whether the content was delivered more than once."""
    digest = hashlib.sha256(goal).hexdigest()
    found = [receipt for receipt in read_receipts(station.state(kind)) if receipt.digest == digest and receipt.bytes_sent]
    return len(found) > 1
