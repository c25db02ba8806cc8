"""One big file to a real sshd: our transport beside OpenSSH sftp, rclone, rsync and lftp.

A new file each round, its pages in memory; the tools take turns in an order that changes from round to round. Each is a
program of its own from its start to its end, with its login. Every copy on the server is compared, then removed.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from .bench import Bench, Failed, Run, chosen, first_round, installed, main, not_installed, options, ordered, progress
from .peers import RENAMED, file_peers
from .table import Column, Table, median, ratio

_OURS = "pysubtask SFTPTransport"
_OURS_WHOLE = f"{_OURS}, with Python's start"
_BLOCK = 1 << 20


def _write(path: Path, megabytes: int) -> None:
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_BLOCK))
        # Its own way to the disk shall not be part of anybody's time.
        os.fsync(file.fileno())


def _ours(bench: Bench, source: Path, place_name: str) -> tuple[Run, float]:
    job = {
        "settings": bench.settings(HostPath=place_name),
        "workdir": str(bench.root / "work"),
        "files": [[str(source), source.name]],
    }
    run = bench.run([sys.executable, "-m", "benchmarks.ours"], json.dumps(job))
    return run, float(json.loads(run.output)["secs"])


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    megabytes = args.mb or (8 if args.quick else 512)
    rounds = args.rounds or (1 if args.quick else 5)
    peers = {peer.name: peer for peer in file_peers()}
    names = chosen((_OURS, *peers), args.only)
    runs: dict[str, list[Run]] = {row: [] for name in names for row in ((_OURS, _OURS_WHOLE) if name == _OURS else (name,))}
    problems = {name: not_installed(peers[name].program) for name in names if name != _OURS and not installed(peers[name].program)}
    for number in range(first_round(args), rounds):
        size = 1 if number < 0 else megabytes
        source = bench.fresh("file")
        _write(source, size)
        for name in ordered(names, number):
            if name in problems:
                continue
            place = bench.place()
            try:
                if name == _OURS:
                    whole, secs = _ours(bench, source, place.name)
                    done = [(_OURS, whole._replace(secs=secs)), (_OURS_WHOLE, whole)]
                else:
                    done = [(name, bench.run(peers[name].argv(bench, source, place)))]
                if not filecmp.cmp(source, place.path / source.name, shallow=False):
                    raise Failed("the copy differs")
            except (Failed, OSError) as exc:
                problems[name] = f"failed: {exc}"
                continue
            finally:
                shutil.rmtree(place.path)
            if number >= 0:
                for row, run in done:
                    runs[row].append(run)
                progress(f"round {number + 1} of {rounds}: {name}: {size / done[0][1].secs:.0f} MB/s")
        source.unlink()
    if _OURS in problems:
        problems[_OURS_WHOLE] = problems[_OURS]
    yardstick = median([megabytes / run.secs for run in runs.get("OpenSSH sftp", [])])
    rows = [
        _row(name, runs[name], megabytes, yardstick)
        | {"publish": peers[name].publish if name in peers else RENAMED, "problem": problems.get(name)}
        for name in runs
    ]
    columns = [
        Column("name", f"{megabytes} MB, medians of {rounds}"),
        Column("mb_per_sec", "MB/s", ".0f"),
        Column("ratio", "x sftp", ".2f"),
        Column("best", "best", ".0f"),
        Column("worst", "worst", ".0f"),
        Column("rss_mb", "RSS MB", ".0f"),
        Column("cpu_secs", "CPU s", ".2f"),
        Column("publish", "publishes"),
    ]
    notes = [
        f"MB is 1024 x 1024 bytes; cipher {args.cipher} for all but paramiko, which takes its own choice.",
        "Each time with connect, login and disconnect.",
        f"'{RENAMED}' shows no reader a part of a file; 'in place' does.",
        "pysubtask has the server sync the file to its disk before the rename, as 'sftp -f' does; the others do not.",
        "rclone by default has the server read the file again for a checksum; tuned: not.",
        "RSS: peaks of all processes of the tool at this end, added up. CPU: theirs too, the server's not.",
    ]
    return Table("bulk", columns, rows, notes)


def _row(name: str, runs: list[Run], megabytes: int, yardstick: float | None) -> dict[str, Any]:
    speeds = [megabytes / run.secs for run in runs]
    speed = median(speeds)
    rss = median([run.rss / _BLOCK for run in runs])
    return {
        "name": name,
        "mb_per_sec": speed,
        "ratio": ratio(speed, yardstick),
        "best": max(speeds, default=None),
        "worst": min(speeds, default=None),
        "rss_mb": rss,
        "cpu_secs": median([run.cpu for run in runs]),
        "speeds": speeds,
    }


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, help="size of the file in MB (default: 512)")
    given = parser.parse_args()
    sys.exit(main(benchmark, given))
