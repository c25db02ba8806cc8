"""Years of new names: what a child keeps, and how long its start takes, when each file is delivered and then deleted.

The queue of a child works in this process, with a clock that is made up; each start that is measured is a process of its own. There
is no server and no data file but those that stay. Every receipt is looked for at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import Column, Table
from benchmarks.where import about
from pysubtask.common.notify import Stamp
from pysubtask.common.receipt_months import months, name_of, newest_kept
from pysubtask.common.receipts import read_receipts
from pysubtask.subtask.spool.jobs import DeliveryResult, QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.transports.base import RemoteStat

DESTINATION = "sftp://pi@server/in"
_BEGIN = 1_733_011_200.0  # 2024-12-01
_DAYS = 730
_BATCH = 500
_STAY = 100
_SEQ = re.compile(rb'"seq": ([0-9]+)')
_KEEP_MONTHS = 24
"""Months of which receipts are kept."""


class Started(NamedTuple):
    """What was found at one start: ``names`` delivered before, ``secs`` and ``rss`` (MB) of the start, and the sizes (MB) of the
    state without the months, of the months, of the queue and of the file of receipts."""

    names: int
    secs: float
    rss: float
    state: float
    months: float
    queue: float
    receipts: float


class SteppedClock:
    """A clock that is made up."""

    def __init__(self) -> None:
        self.now = _BEGIN

    def __call__(self) -> float:
        return self.now


def start(folder: str) -> dict[str, float]:
    """Open the state in ``folder`` as a child does at its start, in this process."""
    begun = time.perf_counter()
    opened = SpoolThread(folder, DESTINATION, lambda *paths: None)
    opened.run(opened.spool.remote_files.owners)
    # Not getrusage(2), which counts the memory of the process before exec, too.
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    found = {"secs": time.perf_counter() - begun, "rss": int(peak[1]) / 1024 if peak else 0.0}
    opened.close()
    return found


def measured(folder: Path, names: int) -> Started:
    """One start by a process of its own, and the sizes of what is there."""
    argv = [sys.executable, "-m", "benchmarks.years", "--start", str(folder)]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True, cwd=Path(__file__).parent.parent).stdout)
    sizes = {path.name: path.stat().st_size / 2**20 for path in folder.iterdir()}
    kept = sum(size for name, size in sizes.items() if re.fullmatch(r"receipts-.*\.jsonl", name))
    queue = sum(size for name, size in sizes.items() if name.startswith("spool.db"))
    return Started(names, found["secs"], found["rss"], sum(sizes.values()) - kept, kept, queue, sizes["receipts.jsonl"])


def snapshot(data: Path, number: int, wall: float) -> QueuedSnapshot:
    """A snapshot of the file with this number, and with a notify file."""
    name = f"camera/image-{number:08d}.jpg"
    path = str(data / name)
    stamp = Stamp(int(wall * 1e9) + number, 120_000 + number % 997, number)
    return QueuedSnapshot(
        name, path, f"/nowhere/{number}", False, stamp.size, stamp.mtime_ns, f"{number:064x}", wall, stamp, path + ".notify", stamp
    )


def deliver(opened: SpoolThread, snapshots: list[QueuedSnapshot], wall: float) -> None:
    """Queue snapshots, claim their jobs and deliver them."""

    def all_of_it() -> None:
        spool = opened.spool
        spool.queue.enqueue(snapshots)
        jobs = spool.queue.claim(len(snapshots), 0.0, wall)
        remote = {job.id: RemoteStat(job.size, job.mtime_ns // 10**9) for job in jobs}
        opened.deliver([DeliveryResult(job.id, remote[job.id], job.size, "size", bytes_new=job.size) for job in jobs])

    opened.run(all_of_it)


def rounds(top: Path, names: int, restarts: int, every: int = 1) -> Iterator[Started]:
    """Deliver so many names over two years, on one of ``every`` so many days, and start so many times; what was found at each
    start."""
    state, data, wall = top / "state", top / "data", SteppedClock()
    state.mkdir(mode=0o700)
    (data / "camera").mkdir(parents=True)
    for number in range(_STAY):
        (data / f"camera/image-{number:08d}.jpg").touch()
    opened = SpoolThread(str(state), DESTINATION, lambda *paths: None, wall)
    done, begun = 0, 0
    try:
        for day in range(every - 1, _DAYS, every):
            wall.now = _BEGIN + day * 86400 + 3600
            opened.compaction.daily(_KEEP_MONTHS, lambda path: False)
            until = names * (day + 1) // _DAYS
            while done < until:
                some = [snapshot(data, number, wall.now) for number in range(done, min(done + _BATCH, until))]
                deliver(opened, some, wall.now)
                done += len(some)
                # What the watch does when they are gone; the last ones before a restart go while no child runs.
                is_last = done == until and (day + 1) * restarts // _DAYS > begun
                if not is_last:
                    gone = [one.path for one in some if not os.path.lexists(one.path)]
                    opened.run(opened.spool.stamps.forget, gone)
            if (day + 1) * restarts // _DAYS > begun:
                begun += 1
                # A child goes on with it on another day; here all days of it are a moment.
                opened.compaction.wait()
                opened.close()
                yield measured(state, done)
                opened = SpoolThread(str(state), DESTINATION, lambda *paths: None, wall)
    finally:
        opened.close()


def problems(top: Path, names: int) -> list[str]:
    """What is wrong with the receipts at the end: one that is missing or there twice, or one that nobody finds any more."""
    state, data = top / "state", top / "data"
    seen = bytearray(names + 1)
    for month in months(str(state)):
        with (state / name_of(month)).open("rb") as file:
            for line in file:
                found = _SEQ.search(line)
                if found is not None:
                    seen[int(found[1])] += 1
    twice = sum(count > 1 for count in seen)
    present = {receipt.seq: receipt for receipt in read_receipts(str(state))}
    lost = sum(not seen[number] and number not in present for number in range(1, names + 1))
    proven = {receipt.path for receipt in present.values()}
    unproven = sum(str(data / f"camera/image-{number:08d}.jpg") not in proven for number in range(_STAY))
    asked = f"camera/image-{names // 3:08d}.jpg"
    rows = [(twice, "are in a month twice"), (lost, "are lost"), (unproven, "files that are there have none")]
    rows.append((len(newest_kept(str(state), [asked])) != 1, f"of {asked} is not found"))
    return [f"receipts: {count} {text}" for count, text in rows if count]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=5_000_000)
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--dir", help="where to work; a temporary folder is made in it")
    parser.add_argument("--start", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        print(json.dumps(start(args.start)))
        return 0
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        top = Path(os.path.realpath(folder))
        begun = time.monotonic()
        found = list(rounds(top, args.names, args.restarts))
        wrong = problems(top, args.names)
        print(table(found, time.monotonic() - begun, wrong).text(about(top, top)))
    return 1 if wrong else 0


def table(found: list[Started], secs: float, wrong: list[str]) -> Table:
    """The worst of ten equal parts of the starts."""
    rows: list[dict[str, Any]] = []
    step = max(1, len(found) // 10)
    for begin in range(0, len(found), step):
        part = found[begin : begin + step]
        worst = [max(values) for values in zip(*part, strict=True)]
        rows.append({"name": f"starts {begin + 1} to {begin + len(part)}", **dict(zip(Started._fields, worst, strict=True))})
    columns = [Column("name", "worst of"), Column("names", "names before", ",d"), Column("secs", "start s", ".2f")]
    columns += [Column("rss", "RSS MB", ".0f"), Column("state", "state MB", ".1f"), Column("queue", "of it queue", ".1f")]
    columns += [Column("receipts", "receipts.jsonl", ".1f"), Column("months", "kept months MB", ".0f")]
    notes = [
        "each name is delivered once and deleted; those delivered last before a restart while no child runs.",
        "start: the queue with all it remembers, in a process of its own; RSS: the peak of that process.",
        "state: the whole state folder without the files of months; MB is 1024 x 1024 bytes.",
        f"the whole run took {secs / 60:.1f} minutes; " + ("; ".join(wrong) or "every receipt is there once."),
    ]
    return Table("years", columns, rows, notes)


if __name__ == "__main__":
    sys.exit(main())
