"""From a change to its sight on a real sshd: a small file that grows by a line, our notify beside lsyncd and rclone.

Ours is warm: master, child and connection are up. lsyncd runs too, and starts rsync and ssh for each change, as it
does; rclone is started for each change. The clock runs from before the line is written until the server's folder shows
the new size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .bench import Bench, Failed, chosen, installed, main, not_installed, options, ordered, progress, wait_until
from .our_app import our_app
from .peers import RENAMED, lsyncd, rclone, rclone_publish
from .table import Column, Table, median, percentile, ratio

_OURS = "pysubtask append + notify"
_LSYNCD_1, _LSYNCD_0 = "lsyncd, delay 1", "lsyncd, delay 0"
_RCLONE = "rclone copyto for each change"
_PROGRAMS = {_OURS: (), _LSYNCD_1: ("rsync", "lsyncd"), _LSYNCD_0: ("rsync", "lsyncd"), _RCLONE: ("rclone",)}
_SIZE = 1024
_LINE = 32
_POLL_SECS = 0.0001
_LIMIT_SECS = 30.0
_WARM_SECS = 60.0

Change = Callable[[], float]
"""Make one change; the seconds until the server shows it."""


def _append(path: Path) -> int:
    """A line more; the size then."""
    with open(path, "ab") as file:
        file.write(os.urandom(_LINE // 2).hex()[1:].encode() + b"\n")
        return file.tell()


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _changes(source: Path, remote: Path, tell: Callable[[], object]) -> Change:
    def change() -> float:
        begun = time.perf_counter()
        size = _append(source)
        tell()
        wait_until(lambda: _size(remote) == size, _LIMIT_SECS, f"{remote.name} of {size} bytes on the server", _POLL_SECS)
        return time.perf_counter() - begun

    return change


def _source(bench: Bench) -> Path:
    folder = bench.fresh("data")
    folder.mkdir()
    path = folder / "values.csv"
    path.write_bytes(os.urandom(_SIZE // 2).hex().encode())
    return path


@contextlib.contextmanager
def _ours(bench: Bench) -> Iterator[Change]:
    source, place = _source(bench), bench.place()
    with our_app(bench, place, source.parent, [{"file": str(source)}]) as master:
        yield _changes(source, place.path / source.name, lambda: master.notify_file_by_index(0))


@contextlib.contextmanager
def _lsyncd(bench: Bench, delay: int) -> Iterator[Change]:
    source, place = _source(bench), bench.place()
    process = bench.start(lsyncd(bench, source.parent, place.path, delay=delay, whole=True))
    remote = place.path / source.name

    def ended() -> bool:
        return process.poll() is not None

    try:
        # What it does first is send everything there is.
        wait_until(lambda: ended() or _size(remote) == _SIZE, _WARM_SECS, "lsyncd has sent the file")
        if ended():
            raise Failed(f"lsyncd ended with status {process.returncode}")
        yield _changes(source, remote, lambda: None)
    finally:
        bench.end(process)


@contextlib.contextmanager
def _rclone(bench: Bench) -> Iterator[Change]:
    source, place = _source(bench), bench.place()
    argv = rclone("copyto", source, f"{place.name}/{source.name}")
    yield _changes(source, place.path / source.name, lambda: bench.run(argv))


_TOOLS: dict[str, Callable[[Bench], contextlib.AbstractContextManager[Change]]] = {
    _OURS: _ours,
    _LSYNCD_1: lambda bench: _lsyncd(bench, 1),
    _LSYNCD_0: lambda bench: _lsyncd(bench, 0),
    _RCLONE: _rclone,
}


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    rounds = args.rounds or (1 if args.quick else 5)
    # The slow ones get fewer: their time is in whole tenths of seconds.
    each = {
        _OURS: 10 if args.quick else args.changes,
        _LSYNCD_1: 1 if args.quick else 6,
        _LSYNCD_0: 1 if args.quick else 10,
        _RCLONE: 1 if args.quick else 10,
    }
    names = chosen(_TOOLS, args.only)
    problems = {name: not_installed(program) for name in names for program in _PROGRAMS[name] if not installed(program)}
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in ordered(names, number):
            if name in problems:
                continue
            try:
                took[name] += _measure(bench, name, each[name])
            except (Failed, OSError) as exc:
                problems[name] = f"failed: {exc}"
                continue
            progress(f"round {number + 1} of {rounds}: {name}: {percentile(took[name][-each[name] :], 0.5) * 1000:.1f} ms")
    ours = median(took.get(_OURS, []))
    rows: list[dict[str, Any]] = []
    for name, secs in took.items():
        milli = [1000 * value for value in secs]
        rows.append(
            {
                "name": name,
                "p50_ms": median(milli),
                "p99_ms": percentile(milli, 0.99) if milli else None,
                "best_ms": min(milli, default=None),
                "ratio": ratio(median(secs), ours),
                "changes": len(milli) or None,
                "publish": {_OURS: "append in place", _RCLONE: rclone_publish()}.get(name, RENAMED),
                "all_ms": milli,
                "problem": problems.get(name),
            }
        )
    columns = [
        Column("name", f"{_SIZE} bytes and a line more each time"),
        Column("p50_ms", "p50 ms", ",.1f"),
        Column("p99_ms", "p99 ms", ",.1f"),
        Column("best_ms", "best ms", ",.1f"),
        Column("ratio", "x ours", ",.1f"),
        Column("changes", "changes", ",d"),
        Column("publish", "publishes"),
    ]
    notes = [
        f"cipher {args.cipher} for all; {rounds} rounds in changing order; a pause of 30 to 90 ms between two changes of one tool.",
        "pysubtask: append, notify_file_by_index, snapshot and queue on disk, upload, server's sync; connection up.",
        "lsyncd: default.rsync over ssh, running, its first copy made. rclone: a new process each time, as from a script.",
        f"looked at every {_POLL_SECS * 1000:.1f} ms; p99 of fewer than 100 changes is the worst.",
    ]
    return Table("latency", columns, rows, notes)


def _measure(bench: Bench, name: str, count: int) -> list[float]:
    """``count`` changes after one that is not counted (it connects, or brings the programs into memory)."""
    with _TOOLS[name](bench) as change:
        change()
        secs = []
        for _ in range(count):
            time.sleep(random.uniform(0.03, 0.09))
            secs.append(change())
        return secs


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=60, help="how many of ours in each round (default: %(default)s)")
    given = parser.parse_args()
    sys.exit(main(benchmark, given))
