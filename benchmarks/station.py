"""A day of a station in two minutes over a bad link: growing files and pictures, ours beside rclone in a loop and lsyncd.

100 ms round trip, 1 % loss, 5 Mbit/s, down 30 % of the time: two network namespaces with a packet loop between them, which
counts what is on the wire, whole IP packets. Everybody has the same day, with the same outages. Station and programs are
near, a real sshd is far.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common.status import read_status

from .bench import Bench, Failed, Place, chosen, installed, main, not_installed, options, progress, wait_until
from .day import outages
from .peers import IN_PLACE, RENAMED, TUNED, rclone, rclone_publish
from .processes import cpu_secs, memory, tree
from .table import Column, Table, percentile, ratio

_DELAY, _LOSS, _RATE, _QUEUE = 0.05, 0.01, 5_000_000.0, 128 * 1024.0
_DOWN = 0.3
_SEED = 5
_POLL_SECS = 0.25
_READY_SECS = 60.0
_DRAIN_SECS = 90.0
_MB = 1 << 20
_APPENDED = "append, rename"

_PATIENT = {
    "KeepAliveSecs": 5,
    "KeepAliveCount": 2,
    "StallSecs": 15,
    "RetryWaitSecs": 1,
    "RetryLongWaitSecs": 5,
    "LoginsPerMinute": 0,
}


class Tool(NamedTuple):
    """``settings`` and entry ``keys`` of our app, or the command line ``argv`` of a program that runs all day beside the writer."""

    programs: tuple[str, ...]
    publish: str
    settings: dict[str, Any] | None = None
    keys: dict[str, Any] | None = None
    argv: Callable[[Bench, Path, Place], list[str]] | None = None


class Day(NamedTuple):
    """What was seen: ``behind``, for each file at each look, how long its oldest byte that the server lacks has been waiting."""

    new: int
    there: int
    back: int
    behind: list[float]
    drained: float | None
    cpu: float
    rss: int
    child: int | None


def _loop(*more: str) -> Callable[[Bench, Path, Place], list[str]]:
    def argv(bench: Bench, source: Path, place: Place) -> list[str]:
        return ["sh", "-c", 'while :; do "$@"; sleep 1; done', "sh", *rclone("copy", source, place.name, *more)]

    return argv


def _lsyncd(best: bool) -> Callable[[Bench, Path, Place], list[str]]:
    def argv(bench: Bench, source: Path, place: Place) -> list[str]:
        config, log = bench.fresh("lsyncd"), bench.fresh("lsyncd-log")
        delay = "delay = 1, " if best else ""
        more = ', inplace = true, timeout = 15, _extra = { "--no-whole-file" }' if best else ""
        config.write_text(
            f'settings {{ nodaemon = true, insist = true, logfile = "{log}" }}\n'
            f'sync {{ default.rsync, source = "{source}", target = "bench:{place.path}", {delay}delete = false,\n'
            f'  rsync = {{ archive = true, rsh = "ssh -F {bench.ssh_config}"{more} }} }}\n'
        )
        return ["lsyncd", "-nodaemon", str(config)]

    return argv


def tools() -> dict[str, Tool]:
    """Everybody, at the default and at the best setting for such a link."""
    best = (*TUNED, "--transfers", "8", "--timeout", "15s", "--contimeout", "15s", "--retries", "1")
    return {
        "pysubtask, default": Tool((), _APPENDED, {}, {}),
        "pysubtask, 'append': True, short time limits": Tool((), _APPENDED, _PATIENT, {"append": True}),
        "rclone copy each second, default": Tool(("rclone",), rclone_publish(), argv=_loop()),
        "rclone copy each second, tuned": Tool(("rclone",), rclone_publish(), argv=_loop(*best)),
        "lsyncd, default (delay 15)": Tool(("lsyncd", "rsync"), RENAMED, argv=_lsyncd(False)),
        "lsyncd, delay 1, --inplace": Tool(("lsyncd", "rsync"), IN_PLACE, argv=_lsyncd(True)),
    }


class Journal:
    """What the station wrote and when."""

    def __init__(self, path: Path) -> None:
        self.sizes: dict[str, list[int]] = {}
        self._times: dict[str, list[float]] = {}
        for line in path.read_text().splitlines():
            at, name, size = line.split()
            self.sizes.setdefault(name, []).append(int(size))
            self._times.setdefault(name, []).append(float(at))

    def behind(self, name: str, there: int, now: float) -> float | None:
        """Seconds that the oldest byte missing on the server has waited at ``now``; 0 where none is, None for a file to come."""
        if now < self._times[name][0]:
            return None
        first = bisect.bisect_right(self.sizes[name], there)
        return max(0.0, now - self._times[name][first]) if first < len(self._times[name]) else 0.0


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    for sub in ("data", "pictures"):
        with contextlib.suppress(FileNotFoundError):
            for path in (folder / sub).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found[f"{sub}/{path.name}"] = path.stat().st_size
    return found


def _spend(bench: Bench, tool: Tool, secs: float, files: int, bad: bool) -> Day:
    """One day with one tool."""
    link = bench.link
    assert link is not None
    folder, signs, place = bench.fresh("station"), bench.fresh("signs"), bench.place()
    for each in (folder / "data", folder / "pictures", signs, place.path / "data", place.path / "pictures"):
        each.mkdir(parents=True)
    settings = None
    if tool.settings is not None:
        settings = {**bench.settings(HostPath=place.name, Subtask_Log_FileName=str(signs / "child.txt")), **tool.settings}
        for name in ("Concurrency", "KeepAliveSecs", "KeepAliveCount", "StallSecs", "ConnectTimeoutSecs"):
            # The test server's own choices: here the shipped defaults count.
            if name not in tool.settings:
                del settings[name]
    given = bench.fresh("day")
    given.write_text(
        json.dumps(
            {
                "folder": str(folder),
                "signs": str(signs),
                "secs": secs,
                "files": files,
                "seed": _SEED,
                "settings": settings,
                "keys": tool.keys,
            }
        )
    )
    # Logs in on a good link, as on any day before: what follows is the day.
    link.set(delay=_DELAY if bad else 0.0, loss=_LOSS if bad else 0.0, rate=_RATE, queue=_QUEUE)
    link.outages([])
    station = bench.start([sys.executable, "-m", "benchmarks.day"], given, signs / "said", signs / "told")
    program: subprocess.Popen[bytes] | None = None
    state = folder / "data" / ".pysubtask" / "main" / "ftp"

    def root() -> int | None:
        return program.pid if program is not None else (read_status(str(state)) or {}).get("pid")

    def alive(sign: str) -> bool:
        if station.poll() is not None:
            raise Failed(f"the station ended: {(signs / 'told').read_text('utf-8', 'replace').strip()[-200:]}")
        return (signs / sign).exists()

    try:
        wait_until(lambda: alive("ready") and (settings is None or root() is not None), _READY_SECS, "the station is ready", 0.02)
        before = link.counts()
        if tool.argv is not None:
            program = bench.start(tool.argv(bench, folder, place))
        link.outages(outages(secs, _DOWN, _SEED) if bad else [])
        (signs / "go").touch()
        looks: list[tuple[float, dict[str, int]]] = []
        rss = 0
        while not alive("done"):
            time.sleep(_POLL_SECS)
            looks.append((time.monotonic(), _sizes(place.path)))
            if (pid := root()) is not None:
                rss = max(rss, sum(memory(each, "VmRSS") for each in tree(pid)))
        over = time.monotonic()
        journal = Journal(signs / "journal")
        last = {name: sizes[-1] for name, sizes in journal.sizes.items()}
        drained: float | None = None
        while drained is None and time.monotonic() < over + _DRAIN_SECS:
            if all(_sizes(place.path).get(name) == size for name, size in last.items()):
                drained = time.monotonic() - over
            time.sleep(_POLL_SECS)
        after = link.counts()
        pid = root()
        cpu = cpu_secs(pid) if pid is not None else 0.0
        child = memory(pid, "VmHWM") if pid is not None and program is None else None
        wrong = [name for name in last if drained is not None and (place.path / name).read_bytes() != (folder / name).read_bytes()]
        if wrong:
            raise Failed(f"{len(wrong)} copies differ: {wrong[0]}")
    finally:
        (signs / "stop").touch()
        if program is not None:
            bench.end(program)
        with contextlib.suppress(subprocess.TimeoutExpired):
            station.wait(20)
        bench.end(station)
        link.outages([])
    behind = [journal.behind(name, there.get(name, 0), now) for now, there in looks for name in last]
    return Day(
        sum(last.values()),
        after.there.bytes - before.there.bytes,
        after.back.bytes - before.back.bytes,
        [late for late in behind if late is not None],
        drained,
        cpu,
        rss,
        child,
    )


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """One day with each."""
    secs = args.secs or (4 if args.quick else 120)
    files = args.files or (3 if args.quick else 20)
    known = tools()
    rows: list[dict[str, Any]] = []
    for name in chosen(known, args.only):
        tool = known[name]
        row: dict[str, Any] = {"name": name, "publish": tool.publish, "problem": None}
        rows.append(row)
        absent = [program for program in tool.programs if not installed(program)]
        if absent:
            row["problem"] = not_installed(absent[0])
            continue
        try:
            day = _spend(bench, tool, secs, files, not args.good)
        except (Failed, OSError) as exc:
            row["problem"] = f"failed: {exc}"
            continue
        row |= {
            "per_new": ratio(day.there, day.new),
            "back": ratio(day.back, day.new),
            "sent_mb": day.there / _MB,
            "new_mb": day.new / _MB,
            "p50": percentile(day.behind, 0.5),
            "p95": percentile(day.behind, 0.95),
            "worst": max(day.behind),
            "drained": day.drained,
            "cpu": day.cpu,
            "rss_mb": day.rss / _MB,
            "child_mb": day.child / _MB if day.child is not None else None,
        }
        progress(f"{name}: {row['per_new']:.2f} bytes sent per new byte")
    columns = [
        Column("name", f"{files} growing files and pictures, {secs:g} s"),
        Column("per_new", "sent per new byte", ".2f"),
        Column("back", "back per new byte", ".3f"),
        Column("new_mb", "new MB", ".1f"),
        Column("sent_mb", "sent MB", ".1f"),
        Column("p50", "behind s, p50", ".1f"),
        Column("p95", "p95", ".1f"),
        Column("worst", "worst", ".1f"),
        Column("drained", "all there after s", ".1f"),
        Column("cpu", "CPU s", ".2f"),
        Column("rss_mb", "RSS MB", ".0f"),
        Column("child_mb", "child MB", ".0f"),
        Column("publish", "publishes"),
    ]
    link = (
        f"{_RATE / 1e6:.0f} Mbit/s, nothing else (--good)"
        if args.good
        else f"{2000 * _DELAY:.0f} ms round trip, {100 * _LOSS:.0f} % loss, {_RATE / 1e6:.0f} Mbit/s, "
        f"down {100 * _DOWN:.0f} % of the time"
    )
    notes = [
        f"the link: {link}; cipher {args.cipher} for all.",
        "sent, back: IP packets on the wire with all headers and repetitions, login included; new: bytes the station wrote.",
        "behind: how long the oldest byte of a file that the server lacks has waited; each file, four times a second.",
        f"all there: after the day's end; - is not within {_DRAIN_SECS:.0f} s. Copies that are there are compared.",
        "CPU, RSS: the child with its ssh, or the program with all it starts; RSS their sum at the worst moment.",
        "child MB: the peak of our child alone. Its growing files are appended to in place, its pictures are renamed.",
    ]
    return Table("station", columns, rows, notes)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--secs", type=float, help="length of the day (default: 120)")
    parser.add_argument("--files", type=int, help="how many growing files (default: 20)")
    parser.add_argument("--good", action="store_true", help="only the rate is limited: no delay, no loss, no outage")
    sys.exit(main(benchmark, parser.parse_args(), "link"))
