"""What is written to the local disk for each notify of a growing file, beside peers, and in an idle window.

A file of ``--mb`` grows by a line and is notified, again and again; each version is on the server before the next one is written.
Bytes are those that a program has caused to be written (``write_bytes`` of /proc/PID/io, proc(5); ``ru_oublock`` of getrusage(2)
for peers, which end): the server's own and those of the app that writes the file are not among them. A file system in memory
writes nothing, so everything is made on a disk (``--dir``).
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common.status import read_status

from .bench import (
    Bench,
    Failed,
    Place,
    chosen,
    installed,
    main,
    not_installed,
    options,
    progress,
    removed,
    wait_until,
    write_random,
)
from .our_app import our_app
from .peers import TUNED, lsyncd, rclone
from .table import Column, Table, percentile

_LINE = b"2026-11-30T12:00:00.000,station7,21.375,1013.25,48.1,0.0,12.61,OK,1234567,9876,0.125,55.0,17,3,0,NOMINAL,\n"
_LIMIT_SECS = 60.0
_BLOCK = 512
_DEAD_MILLI = 3000
_WARM = 6
"""Notifies before the first one that counts: only then it is known that the file grows."""


class _Growing(NamedTuple):
    """A growing file, and the folder on the server."""

    path: Path
    place: Place

    def grow(self) -> None:
        with open(self.path, "ab") as file:
            file.write(_LINE)

    def arrived(self) -> bool:
        try:
            return os.path.getsize(self.place.path / self.path.name) == os.path.getsize(self.path)
        except FileNotFoundError:
            return False

    def wait(self) -> None:
        wait_until(self.arrived, _LIMIT_SECS, "the version on the server", 0.001)


class Written(NamedTuple):
    """Bytes for each notify; ``idle``: in the whole idle window, None where nothing runs then."""

    each: list[float]
    idle: float | None


def _bytes_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "write_bytes":
            return int(value)
    raise Failed("the kernel does not count what a process writes")


def _ours(bench: Bench, growing: _Growing, entry: dict[str, Any], args: argparse.Namespace) -> Written:
    state = str(growing.path.parent / ".pysubtask" / "main" / "ftp")
    entries = [{"file": str(growing.path), **entry}]
    # The connection rests before the idle window begins: that it was closed is written down, once.
    with our_app(bench, growing.place, growing.path.parent, entries, DeadTimeMilli=_DEAD_MILLI) as master:

        def idle() -> bool:
            master.check_pending_notifications()
            status = read_status(state) or {}
            queue = status.get("queue") or {}
            return growing.arrived() and not (queue.get("waiting") or queue.get("sending"))

        def one() -> None:
            master.notify_file_by_index(0)
            wait_until(idle, _LIMIT_SECS, "the version on the server", 0.002)
            time.sleep(args.pause)

        one()
        pid = int((read_status(state) or {})["pid"])
        each = []
        for number in range(_WARM + args.count):
            before = _bytes_of(pid)
            growing.grow()
            one()
            if number >= _WARM:
                each.append(float(_bytes_of(pid) - before))
        time.sleep(args.settle)
        before = _bytes_of(pid)
        time.sleep(args.idle)
        return Written(each, float(_bytes_of(pid) - before))


def _program(bench: Bench, growing: _Growing, argv: Callable[[], list[str]], args: argparse.Namespace) -> Written:
    """A program that is run for each version."""
    bench.run(argv())
    each = []
    for _ in range(args.count):
        growing.grow()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
        bench.run(argv())
        each.append(float((resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock - before) * _BLOCK))
        growing.wait()
    return Written(each, None)


def _rclone(bench: Bench, growing: _Growing, args: argparse.Namespace) -> Written:
    return _program(
        bench, growing, lambda: rclone("copyto", growing.path, f"{growing.place.name}/{growing.path.name}", *TUNED), args
    )


def _running(bench: Bench, growing: _Growing, process: subprocess.Popen[bytes], args: argparse.Namespace) -> Written:
    """A program that watches the file by itself. It is ended, and the kernel says what it and all below it have written: the
    average, not one by one."""
    try:
        growing.grow()
        growing.wait()
        for _ in range(args.count):
            growing.grow()
            growing.wait()
        os.kill(process.pid, signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    finally:
        bench.end(process)
    return Written([usage.ru_oublock * _BLOCK / (args.count + 1)] * args.count, None)


def _lsyncd(bench: Bench, growing: _Growing, args: argparse.Namespace) -> Written:
    process = bench.start(lsyncd(bench, growing.path.parent, growing.place.path, delay=0))
    growing.wait()
    return _running(bench, growing, process, args)


def _tail(bench: Bench, growing: _Growing, args: argparse.Namespace) -> Written:
    """What a shipper of lines does (Filebeat and the like): it reads on where it was, and sends; here without its registry."""
    target = growing.place.path / growing.path.name
    command = f"tail -c +1 -F {shlex.quote(str(growing.path))} | ssh -F {bench.ssh_config} bench {shlex.quote(f'cat > {target}')}"
    process = bench.start(["sh", "-c", command])
    growing.wait()
    return _running(bench, growing, process, args)


_PLAIN, _APPEND = "pysubtask", "pysubtask, 'append': True"
_ROWS: dict[str, tuple[tuple[str, ...], Callable[[Bench, _Growing, argparse.Namespace], Written]]] = {
    _PLAIN: ((), lambda bench, growing, args: _ours(bench, growing, {}, args)),
    _APPEND: ((), lambda bench, growing, args: _ours(bench, growing, {"append": True}, args)),
    "lsyncd (rsync)": (("lsyncd", "rsync"), _lsyncd),
    "rclone copyto, tuned": (("rclone",), _rclone),
    "tail -F | ssh cat": ((), _tail),
}


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    megabytes = args.mb or (1 if args.quick else 10)
    args.count = args.notifies or (3 if args.quick else 100)
    args.idle = args.idle if args.idle is not None else (0.5 if args.quick else 60.0)
    args.settle = _DEAD_MILLI / 1000 + (1.0 if args.quick else 5.0)
    rows: list[dict[str, Any]] = []
    for name in chosen(_ROWS, args.only):
        programs, measure = _ROWS[name]
        row: dict[str, Any] = {"name": name, "problem": None}
        rows.append(row)
        if absent := [program for program in programs if not installed(program)]:
            row["problem"] = not_installed(absent[0])
            continue
        folder, place = bench.fresh("data"), bench.place()
        folder.mkdir()
        growing = _Growing(folder / "data.csv", place)
        write_random(growing.path, megabytes)
        try:
            with removed(folder, place.path):
                written = measure(bench, growing, args)
        except (Failed, OSError) as exc:
            row["problem"] = f"failed: {exc}"
            continue
        kb = [value / 1024 for value in written.each]
        row |= {
            "kb": sum(kb) / len(kb),
            "p50": percentile(kb, 0.5),
            "most": max(kb),
            "gb_day": sum(kb) / len(kb) * 8640 / 1024 / 1024,
            "idle": None if written.idle is None else written.idle / 1024,
        }
        progress(f"{name}: done")
    columns = [
        Column("name", f"{megabytes} MB, {args.count} notifies"),
        Column("kb", "KB a notify, mean", ",.1f"),
        Column("p50", "p50", ",.1f"),
        Column("most", "most", ",.1f"),
        Column("gb_day", "GB a day, each 10 s", ",.2f"),
        Column("idle", f"idle, KB in {args.idle:g} s", ",.1f"),
    ]
    notes = [
        f"the file grows by {len(_LINE)} bytes before each notify; each version is on the server before the next one.",
        "what the programs write themselves to the local disk; not what the server writes, nor the app that the data comes from.",
        "idle: the connection is closed, as it is three minutes after the last notify (DeadTimeMilli); here after three seconds.",
        "the peers keep no copy: what they send is what the file is at that moment. p50 and most of lsyncd and tail are the mean.",
    ]
    return Table("flash", columns, rows, notes)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, help="size of the file in MB (default: 10)")
    parser.add_argument("--notifies", type=int, help="how many are counted (default: 100)")
    parser.add_argument("--idle", type=float, help="seconds of the idle window (default: 60)")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two notifies (default: %(default)s)")
    sys.exit(main(benchmark, parser.parse_args()))
