"""What the app notices: import, notify, and a loop of one millisecond while a big file is uploaded, beside a thread with paramiko.

The loop sleeps one millisecond and looks how much later it woke; first with nothing else, then while the child uploads, then while
a thread of the app itself uploads the same file with paramiko, as many scripts do it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from .bench import Bench, Failed, chosen, first_round, installed, main, not_installed, options, ordered, progress
from .table import Column, Table, median, percentile

_MB = 1 << 20
_BLOCK = os.urandom(_MB)
_LIMIT_SECS = 200.0
_HOW = {"nothing is uploaded": "nothing", "pysubtask uploads (child)": "child", "paramiko uploads (thread)": "thread"}
_PARTS = "its standard library parts"
_IMPORTS = {"import pysubtask.ftp": "pysubtask.ftp", _PARTS: "", "import paramiko": "paramiko"}
_IMPORT = """
import json, sys, time
def memory():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) / 1024
before, begun = memory(), time.perf_counter()
for name in sys.argv[1].split():
    __import__(name)
print(json.dumps([1000 * (time.perf_counter() - begun), memory() - before]))
"""
_LOADED = """
import sys
before = set(sys.modules)
import pysubtask.ftp
print(*(name for name in sys.modules if name not in before and not name.startswith("pysubtask")))
"""


def _write(path: Path, megabytes: int) -> None:
    with open(path, "wb") as file:
        for number in range(megabytes):
            # Nobody compresses; no two blocks need to differ by more.
            file.write(number.to_bytes(8, "big") + _BLOCK[8:])
        os.fsync(file.fileno())


def _upload(bench: Bench, how: str, source: Path, secs: float) -> dict[str, Any]:
    folder, place = bench.fresh("data"), bench.place()
    folder.mkdir()
    path = folder / source.name
    os.link(source, path)
    logs = bench.fresh("logs")
    logs.mkdir()
    settings = bench.settings(HostPath=place.name, Subtask_Log_FileName=str(logs / "child.txt"))
    del settings["Concurrency"]
    given = {
        "how": how,
        "path": str(path),
        "target": f"{place.name}/{path.name}",
        "remote": str(place.path / path.name),
        "settings": settings,
        "secs": secs if how == "nothing" else _LIMIT_SECS,
    }
    try:
        found: dict[str, Any] = json.loads(bench.run([sys.executable, "-m", "benchmarks.app"], json.dumps(given)).output)
        if how != "nothing" and not found["arrived"]:
            raise Failed(f"not uploaded within {_LIMIT_SECS:.0f} s")
        return found
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(place.path)


def _import(bench: Bench, modules: str) -> tuple[float, float]:
    modules = modules or bench.run([sys.executable, "-c", _LOADED]).output
    milli, megabytes = json.loads(bench.run([sys.executable, "-c", _IMPORT, modules]).output)
    return float(milli), float(megabytes)


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    megabytes = args.mb or (16 if args.quick else 1024)
    rounds = args.rounds or (1 if args.quick else 3)
    names = chosen([*_HOW, *_IMPORTS], args.only)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    problems = {}
    for name in names:
        if "paramiko" in name and not installed("paramiko"):
            problems[name] = not_installed("paramiko")
    source = bench.fresh("file")
    _write(source, megabytes)
    for number in range(first_round(args), rounds):
        for name in ordered(names, number):
            if name in problems:
                continue
            try:
                if name in _IMPORTS:
                    milli, more = _import(bench, _IMPORTS[name])
                    one: dict[str, Any] = {"import_ms": milli, "import_mb": more}
                elif number < 0:
                    continue
                else:
                    one = _upload(bench, _HOW[name], source, 1.0 if args.quick else 10.0)
            except (Failed, OSError) as exc:
                problems[name] = f"failed: {exc}"
                continue
            if number >= 0:
                found[name].append(one)
        progress(f"round {number + 1} of {rounds}" if number >= 0 else "ready")
    rows = [_row(name, runs, megabytes) | {"problem": problems.get(name)} for name, runs in found.items()]
    columns = [
        Column("name", f"a loop of 1 ms; {megabytes} MB; medians of {rounds}"),
        Column("p50", "late ms, p50", ".2f"),
        Column("p99", "p99", ".2f"),
        Column("worst", "worst", ".1f"),
        Column("share", "% later than 5 ms", ".2f"),
        Column("mb_per_sec", "MB/s", ".0f"),
        Column("notify_us", "notify us, p50", ".0f"),
        Column("notify_p99", "p99", ".0f"),
        Column("import_ms", "import ms", ".1f"),
        Column("import_mb", "import MB", ".1f"),
    ]
    notes = [
        *_share_of_import(rows),
        "late: how much after its millisecond each turn of the loop woke; worst: the median of the rounds' worst.",
        "MB/s: from notify, or the start of the thread, until the server has the file; ours with login, snapshot and sync.",
        "notify: microseconds that notify_file_by_index takes of the app, one after the other, the child busy with them.",
        "import: time and memory (RSS) on top of a bare Python.",
    ]
    return Table("master", columns, rows, notes)


def _share_of_import(rows: list[dict[str, Any]]) -> list[str]:
    """What our import costs beside the standard library's modules that it loads, of which most apps have some already."""
    took = {row["name"]: row.get("import_ms") for row in rows}
    ours, parts = took.get("import pysubtask.ftp"), took.get(_PARTS)
    return [f"import pysubtask.ftp takes {ours / parts:.2f} times what its standard library parts take."] if ours and parts else []


def _row(name: str, runs: list[dict[str, Any]], megabytes: int) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    if not runs:
        return row
    for key in ("import_ms", "import_mb"):
        row[key] = median([run[key] for run in runs if key in run])
    late = [run["late"] for run in runs if "late" in run]
    if late:
        row |= {key: statistics.median(each[index] for each in late) for index, key in enumerate(("p50", "p99", "worst"))}
        row["share"] = 100 * statistics.median(run["share"] for run in runs)
        if _HOW[name] != "nothing":
            row["mb_per_sec"] = statistics.median(megabytes / run["secs"] for run in runs)
    times = [each for run in runs for each in run.get("notify", [])]
    if times:
        row |= {"notify_us": 1e6 * statistics.median(times), "notify_p99": 1e6 * percentile(times, 0.99)}
    return row


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, help="size of the file in MB (default: 1024)")
    sys.exit(main(benchmark, parser.parse_args()))
