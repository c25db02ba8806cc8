"""What the child itself costs for a small file, a notify, a large file that grows, and at rest, beside another checkout.

``--other FOLDER``: a worktree of an older commit (``git worktree add FOLDER COMMIT``); the two are measured in turn, the order
changes from round to round. A round of each before the first is not counted. System calls are counted by strace in a round of
their own, as it slows everything down. Everything is made in memory (/dev/shm) unless ``--dir`` says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .bench import Bench, Failed, chosen, first_round, main, options, ordered, progress
from .table import Column, Table, median, ratio

_REPO = Path(__file__).resolve().parent.parent
_APP = Path(__file__).with_name("child_app.py")
_MEMORY = "/dev/shm"
_FILES, _NOTIFY, _APPEND, _REST = "a small file", "a notify", "64 KB more of 20 MB", "a second at rest"
_WORDS = {_FILES: "files", _NOTIFY: "notify", _APPEND: "notify", _REST: "rest"}
_LARGE_BYTES, _MORE_BYTES, _LINE_BYTES = 20 * 1024 * 1024, 64 * 1024, 101
_THIS, _OTHER = "this", "other"


class Cost(NamedTuple):
    """Of one round, for each file, notify or second: milliseconds of CPU, and system calls where they were counted. ``seen``:
    milliseconds from a notify until the server shows it. ``resident``: MiB of the child in memory at the end."""

    user: float
    system: float
    calls: float | None
    seen: float | None
    resident: float

    @property
    def cpu(self) -> float:
        return self.user + self.system


def _measure(bench: Bench, tree: Path, work: str, count: int, args: argparse.Namespace, *, traced: bool = False) -> Cost:
    watched, aside, place = bench.fresh("watched"), bench.fresh("aside"), bench.place()
    watched.mkdir()
    aside.mkdir()
    if work == _FILES:
        for name in ("first", *(f"f{number:05}.dat" for number in range(count))):
            (aside / name).write_bytes(os.urandom(args.bytes))
    elif work == _REST:
        for number in range(args.watched):
            (aside / f"f{number:05}.dat").write_bytes(b"%d\n" % number)
    else:
        size = _LARGE_BYTES if work == _APPEND else args.bytes
        (watched / "data.csv").write_bytes(b"x" * (size - 1) + b"\n")
    log = bench.fresh("log")
    settings = bench.settings(HostPath=place.name, Subtask_Log_FileName=f"{log}-child")
    del settings["Concurrency"]
    job = {
        "settings": settings,
        "watched": str(watched),
        "aside": str(aside),
        "place": str(place.path),
        "count": count,
        "work": _WORDS[work],
        "line": _MORE_BYTES if work == _APPEND else _LINE_BYTES,
        "log": f"{log}-master",
        "strace": str(bench.fresh("strace")) if traced else "",
    }
    try:
        run = bench.run(["env", f"PYTHONPATH={tree}", sys.executable, "-P", str(_APP)], json.dumps(job))
        if work == _FILES and (wrong := sum(not (place.path / path.name).exists() for path in watched.glob("f*.dat"))):
            raise Failed(f"{wrong} files are missing")
    finally:
        for folder in (watched, aside, place.path):
            shutil.rmtree(folder)
    found = json.loads(run.output)
    calls = None if found["calls"] is None else found["calls"] / count
    seen = None if found["seen"] is None else 1000 * found["seen"]
    return Cost(1000 * found["user"] / count, 1000 * found["system"] / count, calls, seen, found["resident"] / 1024)


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    rounds = args.rounds or (1 if args.quick else 9)
    notifies = args.notifies or (5 if args.quick else 200)
    counts = {_FILES: args.files or (20 if args.quick else 1000), _NOTIFY: notifies, _APPEND: notifies // 2}
    counts[_REST] = 2 if args.quick else 20
    trees = {_THIS: _REPO, **({_OTHER: Path(args.other).resolve()} if args.other else {})}
    rows: list[dict[str, Any]] = []
    for work in chosen(counts, args.only):
        costs: dict[str, list[Cost]] = {which: [] for which in trees}
        calls: dict[str, float | None] = dict.fromkeys(trees)
        problems: dict[str, str] = {}
        for number in range(first_round(args), rounds):
            for which in ordered(list(trees), number):
                try:
                    cost = _measure(bench, trees[which], work, counts[work], args)
                    if number == rounds - 1 and shutil.which("strace"):
                        calls[which] = _measure(bench, trees[which], work, counts[work], args, traced=True).calls
                except (Failed, OSError) as exc:
                    problems[which] = f"failed: {exc}"
                    continue
                if number >= 0:
                    costs[which].append(cost)
                    progress(f"round {number + 1} of {rounds}: {work}, {which}: {cost.cpu:.2f} ms")
        rows += _rows(work, costs, calls, problems)
    columns = [
        Column("name", f"the child's cost of, medians of {rounds}"),
        Column("user", "user ms", ".3f"),
        Column("system", "system ms", ".3f"),
        Column("cpu", "CPU ms", ".3f"),
        Column("beside", "x other", ".2f"),
        Column("calls", "system calls", ".0f"),
        Column("seen", "seen after ms", ".1f"),
        Column("resident", "MiB", ".1f"),
    ]
    notes = [
        f"{counts[_FILES]:,} files of {args.bytes:,} bytes renamed into a watched folder at once (settle_secs 0);",
        f"{counts[_NOTIFY]:,} lines appended to a named file of {args.bytes:,} bytes, {counts[_APPEND]:,} times 64 KB to one of",
        f"20 MB, one notify each; at rest: {args.watched:,} watched files, {counts[_REST]} s. Without ssh and the master;",
        "until all is delivered and on the status page; the connection is up. System calls: one round of strace; MiB: in memory.",
        *([f"other: {trees[_OTHER].name}"] if args.other else []),
    ]
    return Table("child", columns, rows, notes)


def _rows(
    work: str, costs: dict[str, list[Cost]], calls: dict[str, float | None], problems: dict[str, str]
) -> list[dict[str, Any]]:
    by = median([cost.cpu for cost in costs.get(_OTHER, [])])
    rows = []
    for which, found in costs.items():
        middle = median([cost.cpu for cost in found])
        rows.append(
            {
                "name": f"{work}: {which}",
                "user": median([cost.user for cost in found]),
                "system": median([cost.system for cost in found]),
                "cpu": middle,
                "beside": ratio(middle, by),
                "calls": calls[which],
                "seen": median([cost.seen for cost in found if cost.seen is not None]),
                "resident": median([cost.resident for cost in found]),
                "all": [cost._asdict() for cost in found],
                "problem": problems.get(which),
            }
        )
    return rows


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--other", metavar="FOLDER", help="another checkout, to be measured beside this one")
    parser.add_argument("--files", type=int, help="how many small files (default: 1000)")
    parser.add_argument("--notifies", type=int, help="how many notifies (default: 200)")
    parser.add_argument("--watched", type=int, default=2000, help="how many files are watched at rest (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=4096, help="size of each file (default: %(default)s)")
    given = parser.parse_args()
    given.dir = given.dir or (_MEMORY if os.path.isdir(_MEMORY) else None)
    sys.exit(main(benchmark, given))
