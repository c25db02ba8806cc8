"""One run, and what is found.

While the programs write: the content of each name on the server is a version that was whole under it here, or a true
beginning of a file that grows, never an older one again, and no name that never was data. Each time they pause, and at the end:
every data file is there as it is here; what was deleted after it was queued is there as it was queued; nothing waits, is parked
or cannot be read. After the end there is no temporary file, no snapshot, and no traceback.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common import restarts
from pysubtask.common.temporary import is_temporary

from ..torture.compare import TEMP, Digests
from ..torture.content import number_of
from . import cameras, editors, loggers, notified
from .faults import Faults
from .model import Model
from .program import Link, Pace, Program
from .quick_run import FIRST_SECS, LONGEST_SECS
from .reader import Reader
from .station import QUICK, Station, station_of

_BEGIN_SECS, _CALM_SECS, _STILL_SECS, _ROUND_SECS = 40.0, 120.0, 60.0, 30.0
_HOPELESS_SECS = 5.0
"""Where something is found wrong already."""


class Result(NamedTuple):
    """What a run by ``seed`` in ``secs`` seconds came to. ``problems``: what must not be, in words; ``done``: acts by name;
    ``faults``: faults by name; ``contents_read``: contents read on the server; ``states``: versions and beginnings that there
    were, of so many ``names``; ``calm_secs``: the longest time from the last act of a round until all was there; ``folder``:
    where all of it is, if it was kept."""

    seed: int
    secs: float
    done: dict[str, int]
    faults: dict[str, int]
    states: int
    contents_read: int
    names: int
    calm_secs: float
    problems: list[str]
    folder: str = ""


def run(
    secs: float,
    seed: int,
    *,
    server: str = "sftp",
    link: str = "good",
    kills: bool = False,
    keep: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Let the programs work for so long. ``link``: 'good', or 'bad' with delay, a low rate, cuts, stalls and refused connections.
    ``kills``: children are killed, and both tasks stopped and started, now and then. ``keep``: leave the folder of a run in which
    something was found."""
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix="pysubtask-producers-")))
    kept = False
    try:
        with station_of(server, root) as station, _registry(root):
            result = _Run(station, secs, seed, link == "bad", kills, say).result()
        kept = keep and bool(result.problems)
        return result._replace(folder=str(root)) if kept else result
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def _registry(root: Path) -> Iterator[None]:
    """A registry of this run's own, so that the user's is left alone; and dead children are started again soon."""
    before, waits = os.environ.get("PYSUBTASK_REGISTRY"), (restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS)
    os.environ["PYSUBTASK_REGISTRY"] = str(root / "registry")
    restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = FIRST_SECS, LONGEST_SECS
    try:
        yield
    finally:
        restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = waits
        if before is None:
            del os.environ["PYSUBTASK_REGISTRY"]
        else:
            os.environ["PYSUBTASK_REGISTRY"] = before


class _Run:
    def __init__(self, station: Station, secs: float, seed: int, bad: bool, kills: bool, say: Callable[[str], None]) -> None:
        self._station, self._secs, self._seed, self._say = station, secs, seed, say
        self._pace = Pace()
        self._model = Model()
        evidence = station.root / "torn"
        evidence.mkdir()
        self._reader = Reader(str(station.server), self._model, str(evidence))
        self._faults = Faults(station, random.Random(f"{seed} faults"), bad=bad, kills=kills)
        self._late: list[str] = []
        self._calm_secs = 0.0
        self._programs = self._make()

    def _make(self) -> list[Program]:
        station, seed, pace = self._station, self._seed, self._pace
        link = Link(station.hold, station.free, station.queued)
        camera, logs = station.place("watched/camera", "camera/"), station.place("watched/logs", "logs/", QUICK)
        day, named = station.place("watched/day", "", QUICK), station.place("watched/named", "")
        app, box = station.place("app", ""), station.place("app/box", "box/")
        of_config = (
            (cameras.Transfers, camera),
            (cameras.Ring, camera),
            (cameras.Deleted, camera),
            (cameras.Webcam, named),
            (loggers.Renaming, logs),
            (loggers.Copying, logs),
            (loggers.CopyingAlike, logs),
            (loggers.DayFolders, logs),
            (loggers.Midnight, day),
            (editors.Editor, logs),
            (editors.Table, named._replace(settle=QUICK)),
        )
        of_app = (
            (notified.Growing, app),
            (notified.Truncated, app),
            (notified.TruncatedAlike, app),
            (notified.Saved, app),
            (notified.Burst, app),
            (notified.Box, box),
        )
        programs: list[Program] = [
            kind(number, place, self._model, seed, pace, link) for number, (kind, place) in enumerate(of_config, 1)
        ]
        for number, (notifying, place) in enumerate(of_app, len(programs) + 1):
            programs.append(notifying(number, place, self._model, seed, pace, link, station.notify))
        return programs

    def result(self) -> Result:
        station = self._station
        station.start_run()
        station.master.start()
        self._until(lambda: len(station.children()) == 2, _BEGIN_SECS)
        self._reader.start()
        begun = time.monotonic()
        for program in self._programs:
            program.thread.start()
        self._work()
        secs = time.monotonic() - begun
        self._pace.end()
        for program in self._programs:
            program.thread.join()
        self._stop()
        self._reader.stop()
        problems = self._late + self._left() + self._reader.wrong() + self._logged()
        problems += [program.failed for program in self._programs if program.failed]
        done: Counter[str] = Counter()
        for program in self._programs:
            done.update({f"{type(program).__name__}.{act}": count for act, count in program.done.items()})
        return Result(
            self._seed,
            secs,
            dict(done),
            dict(self._faults.done),
            self._model.states,
            self._reader.contents_read,
            len(self._model.names),
            self._calm_secs,
            list(dict.fromkeys(problems)),
        )

    def _work(self) -> None:
        """Write for a while, pause until all is there, and so on."""
        begun = time.monotonic()
        while (left := begun + self._secs - time.monotonic()) > 0 and not self._late and not self._reader.wrong():
            until = time.monotonic() + min(left, _ROUND_SECS)
            while (now := time.monotonic()) < until:
                self._station.poll()
                self._faults.turn(now)
                time.sleep(0.05)
            self._pause()

    def _pause(self) -> None:
        self._faults.heal()
        self._pace.pause()
        for program in self._programs:
            self._until(lambda program=program: program.is_still, _STILL_SECS)  # type: ignore[misc]
        at = time.monotonic()
        patience = _HOPELESS_SECS if self._reader.wrong() else _CALM_SECS
        self._until(lambda: not self._missing(), patience)
        calm = time.monotonic() - at
        self._calm_secs = max(calm, self._calm_secs)
        self._late += [f"not {patience:.0f} s after the last act: {one}" for one in self._missing()]
        self._say(
            f"{at - self._model.began:.0f} s: {self._model.states:,} states, {self._reader.contents_read:,} read, all there after "
            f"{calm:.1f} s; faults {sum(self._faults.done.values())}, {len(self._reader.torn)} to be explained, "
            f"{len(self._late)} missing"
        )
        if not self._late and not self._reader.wrong():
            self._faults.begin()
            self._pace.go_on()

    def _until(self, there: Callable[[], Any], secs: float) -> None:
        deadline = time.monotonic() + secs
        while not there() and time.monotonic() < deadline:
            self._station.poll()
            time.sleep(0.1)

    def _missing(self) -> list[str]:
        """The files that differ from what the server must have in the end, and the entries that wait."""
        station, digests = self._station, Digests()
        found = []
        data = station.data()
        for name, path in data.items():
            there = digests.of(str(station.server / name))
            if there != digests.of(str(path)):
                found.append(f"{name}: {'not there' if not there else 'another content'}; it was {self._model.tell(name)}")
        for name, state in dict(self._model.owed).items():
            if name not in data:
                path = station.server / name
                if not path.exists() or number_of(path.read_bytes()) != state.number:
                    there = "another content" if path.exists() else "not there"
                    found.append(f"{name}: queued as {state}, then deleted; {there}")
        for index, page in enumerate(station.pages()):
            queue = page.get("queue") or {}
            waits = {key: queue.get(key) for key in ("waiting", "sending", "parked") if queue.get(key)}
            if waits or not queue or page.get("unreadable"):
                found.append(f"task {index}: {waits} {page.get('why')} {page.get('cannot_read')}")
        return found

    def _stop(self) -> None:
        self._station.stop_run()
        self._station.master.stop(forcekill=False)

    def _left(self) -> list[str]:
        """The files that nobody may leave anywhere."""
        station, names = self._station, self._model.names
        found = []
        for path in station.server.rglob("*"):
            name = str(path.relative_to(station.server))
            if path.is_file() and name not in names:
                kind = "of ours" if TEMP in path.name else "temporary" if is_temporary(name) else "unknown"
                found.append(f"{name} is on the server ({kind})")
        for folder in station.copies:
            found += [f"the snapshot {path.name} was left" for path in (folder.iterdir() if folder.is_dir() else ())]
        for path in (*station.watched.rglob("*.notify"), *station.app.rglob("*.notify")):
            if is_temporary(path.name.removesuffix(".notify")):
                found.append(f"{path} was made")
        return found

    def _logged(self) -> list[str]:
        found = []
        for path in [*sorted(self._station.root.glob("*.log")), self._station.root / "run.txt"]:
            text = path.read_text("utf-8", "replace") if path.exists() else ""
            if "Traceback" in text:
                found.append(f"{path.name}: {text[text.index('Traceback') :][:1500]}")
            found += [f"{path.name}: {line}" for line in text.splitlines() if "PARKED" in line][:3]
        return found
