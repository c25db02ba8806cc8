"""What watching costs while nothing is to do: the child with many files, beside lsyncd; also while somebody writes without telling.

CPU is the watching process's own, over a window in which nothing is sent; RSS is its memory then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pysubtask.common.status import read_status

from .bench import Bench, Failed, chosen, installed, main, not_installed, options, progress, wait_until
from .our_app import our_app
from .peers import lsyncd
from .processes import fine_cpu_secs, memory
from .table import Column, Table

_DIR, _FILES = "pysubtask, one 'dir'", "pysubtask, a 'file' entry for each"
_LSYNCD = "lsyncd"
_SCAN = "pysubtask, one look by polling alone"
_MB = 1 << 20
_LIMIT_SECS = 280.0
_CALM_SECS = 5.0
_WRITER = """
import sys, time
begun, count = time.monotonic(), 0
file = open(sys.argv[1], "ab", buffering=0)
while True:
    file.write(b"x" * 64)
    if sys.argv[3] == "close":
        file.close()
        file = open(sys.argv[1], "ab", buffering=0)
    count += 1
    time.sleep(max(0.0, begun + count / float(sys.argv[2]) - time.monotonic()))
"""

Watching = Callable[[Bench, Path, int], contextlib.AbstractContextManager[int]]
"""For a folder of so many files: the pid of who watches it, once it has nothing to do any more."""


def _fill(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"f{number:06}.dat").write_bytes(b"%d\n" % number)


def _here(folder: Path) -> int:
    return sum(not name.startswith(".") for name in os.listdir(folder))


@contextlib.contextmanager
def _ours(bench: Bench, folder: Path, count: int, entries: list[dict[str, Any]]) -> Iterator[int]:
    place = bench.place()
    state = str(Path(folder, ".pysubtask", "main", "ftp"))
    with our_app(bench, place, folder, entries) as master:
        if "file" in entries[0]:
            master.notify_all_files()

        def calm() -> bool:
            master.check_pending_notifications()
            queue = (read_status(state) or {}).get("queue") or {}
            return _here(place.path) == count and not (queue.get("waiting") or queue.get("sending"))

        wait_until(calm, _LIMIT_SECS, f"{count} files are delivered", 0.1)
        time.sleep(_CALM_SECS if count > 1000 else 0)
        yield int((read_status(state) or {})["pid"])


def _dir(bench: Bench, folder: Path, count: int) -> contextlib.AbstractContextManager[int]:
    return _ours(bench, folder, count, [{"dir": str(folder), "notify_files": False, "settle_secs": 0}])


def _files(bench: Bench, folder: Path, count: int) -> contextlib.AbstractContextManager[int]:
    return _ours(bench, folder, count, [{"file": str(path)} for path in sorted(folder.iterdir())])


@contextlib.contextmanager
def _lsyncd(bench: Bench, folder: Path, count: int) -> Iterator[int]:
    place = bench.place()
    process = bench.start(lsyncd(bench, folder, place.path))
    try:
        wait_until(
            lambda: process.poll() is not None or _here(place.path) == count, _LIMIT_SECS, f"{count} files are delivered", 0.1
        )
        if process.poll() is not None:
            raise Failed(f"lsyncd ended with status {process.returncode}")
        time.sleep(_CALM_SECS if count > 1000 else 0)
        yield process.pid
    finally:
        bench.end(process)


_WATCHERS: dict[str, tuple[tuple[str, ...], Watching]] = {
    _DIR: ((), _dir),
    _FILES: ((), _files),
    _LSYNCD: (("lsyncd", "rsync"), _lsyncd),
}


def _share(pid: int, secs: float) -> float:
    """The part of one core that a process takes now."""
    begun, before = time.perf_counter(), fine_cpu_secs(pid)
    time.sleep(secs)
    return (fine_cpu_secs(pid) - before) / (time.perf_counter() - begun)


def _beside_writer(bench: Bench, path: Path, pid: int, secs: float, rate: int, how: str) -> float:
    writer = bench.start([sys.executable, "-S", "-c", _WRITER, str(path), str(rate), how])
    try:
        time.sleep(min(1.0, secs))
        share = _share(pid, secs)
        if writer.poll() is not None:
            raise Failed("the writer has ended")
        return share
    finally:
        bench.end(writer)


def _measure(bench: Bench, watching: Watching, count: int, secs: float, rate: int) -> dict[str, Any]:
    folder = bench.fresh("watched")
    _fill(folder, count)
    try:
        with watching(bench, folder, count) as pid:
            quiet = _share(pid, secs)
            row = {"percent": 100 * quiet, "per_hour": 3600 * quiet, "rss_mb": memory(pid, "VmRSS") / _MB}
            for how in ("open", "close"):
                row[how] = 100 * _beside_writer(bench, folder / "f000000.dat", pid, secs, rate, how)
            return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scan(bench: Bench, count: int) -> dict[str, Any]:
    folder = bench.fresh("many")
    _fill(folder, count)
    try:
        run = bench.run([sys.executable, "-m", "benchmarks.scan", str(folder)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    said = json.loads(run.output)
    return {"first_ms": 1000 * said["first"], "again_ms": 1000 * said["again"], "part": 100 * said["part"], "rss_mb": run.rss / _MB}


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    count, many = args.files or (50 if args.quick else 10_000), args.many or (200 if args.quick else 100_000)
    secs = args.secs or (0.3 if args.quick else 30.0)
    rows: list[dict[str, Any]] = []
    for name in chosen([*_WATCHERS, _SCAN], args.only):
        row: dict[str, Any] = {"name": f"{name}, {many if name == _SCAN else count:,} files", "problem": None}
        rows.append(row)
        programs, watching = _WATCHERS.get(name, ((), _dir))
        absent = [program for program in programs if not installed(program)]
        if absent:
            row["problem"] = not_installed(absent[0])
            continue
        try:
            row |= _scan(bench, many) if name == _SCAN else _measure(bench, watching, count, secs, args.rate)
        except (Failed, OSError) as exc:
            row["problem"] = f"failed: {exc}"
            continue
        progress(f"{row['name']}: done")
    columns = [
        Column("name", "watching"),
        Column("percent", "% of a core, nothing to do", ".3f"),
        Column("per_hour", "CPU s per hour", ".1f"),
        Column("open", f"% while {args.rate:,} writes/s", ".3f"),
        Column("close", "% with a close each", ".3f"),
        Column("rss_mb", "RSS MB", ".0f"),
        Column("first_ms", "first look ms", ".0f"),
        Column("again_ms", "look ms", ".0f"),
        Column("part", "% of the time looking", ".1f"),
    ]
    notes = [
        f"each figure of CPU from {secs:g} s; all files were delivered before. The watching process's own, user and system.",
        "writes: another program appends to one watched file that it keeps open, or opens and closes each time; it tells nobody.",
        "what pysubtask was not told of it does not send; lsyncd sends it (rsync's own time is not in its figure).",
        "polling alone: no file events, as on a network file system; % of the time looking: in the long run.",
    ]
    return Table("idle", columns, rows, notes)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, help="how many are watched (default: 10,000)")
    parser.add_argument("--many", type=int, help="how many for one look (default: 100,000)")
    parser.add_argument("--secs", type=float, help="how long each window is (default: 30)")
    parser.add_argument("--rate", type=int, default=1000, help="writes per second (default: %(default)s)")
    sys.exit(main(benchmark, parser.parse_args()))
