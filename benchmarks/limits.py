"""300 small files to a server that lets few be open at once: what is learned, beside the best number that could have been set.

The server is one of ours (``pysubtask.testing``, asyncssh in a process of its own would be no faster), which refuses one open file
too many with the status "Failure". Nothing tells its limit: the row "learned" begins with Concurrency 64 and nothing known. The
rows "set to N" are told never to have more than N files on their way. Each run is a fresh process with connect and login.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.testing.servers.quirk_sftp import QuirkSFTPServer, quirk_sftp_server

from .bench import Bench, Failed, chosen, first_round, main, options, ordered, progress
from .table import Column, Table, median, ratio

_LEARNED = "learned"
_LIMITS = (1, 3, 20)
_SETTINGS = (1, 2, 3, 5, 10, 15, 20)


class _Done(NamedTuple):
    """One run: ``asked`` and ``refused`` count the files that the server was asked to open."""

    secs: float
    asked: int
    refused: int


def _upload(bench: Bench, server: QuirkSFTPServer, source: Path, concurrency: int) -> _Done:
    before = len(server.operations("open")), len(server.operations("open", failed=True))
    files = [(str(path), path.name) for path in sorted(source.iterdir())]
    job = {"settings": server.settings(Concurrency=concurrency), "workdir": str(bench.root / "work"), "files": files}
    secs = float(json.loads(bench.run([sys.executable, "-m", "benchmarks.ours"], json.dumps(job)).output)["secs"])
    worked, refused = len(server.operations("open")) - before[0], len(server.operations("open", failed=True)) - before[1]
    return _Done(secs, worked + refused, refused)


def _check(source: Path, there: Path) -> None:
    wrong = [
        path.name
        for path in source.iterdir()
        if not (there / path.name).exists() or (there / path.name).read_bytes() != path.read_bytes()
    ]
    if wrong or len(os.listdir(there)) != len(os.listdir(source)):
        raise Failed(f"{len(wrong)} copies are missing or differ, of {len(os.listdir(there))} that are there")


def _measure(bench: Bench, args: argparse.Namespace, limit: int, count: int, rounds: int) -> list[dict[str, Any]]:
    tools = {_LEARNED: 64, **{f"set to {number}": number for number in _SETTINGS if number <= limit}}
    done: dict[str, list[_Done]] = {name: [] for name in chosen(tools, args.only)}
    problems: dict[str, str] = {}
    with quirk_sftp_server(bench.fresh("quirk"), open_files=limit) as server:
        there = Path(server.root)
        for number in range(first_round(args), rounds):
            source = bench.fresh("files")
            source.mkdir()
            for index in range(10 if number < 0 else count):
                (source / f"f{index:04}.dat").write_bytes(os.urandom(args.bytes))
            for name in ordered(list(done), number):
                try:
                    found = _upload(bench, server, source, tools[name])
                    _check(source, there)
                except (Failed, OSError) as exc:
                    problems[name] = f"failed: {exc}"
                    continue
                finally:
                    for path in there.iterdir():
                        path.unlink()
                if number >= 0:
                    done[name].append(found)
                    progress(f"{limit} open, round {number + 1} of {rounds}: {name}: {found.secs:.2f} s, {found.refused} refused")
            shutil.rmtree(source)
    medians = {name: median([run.secs for run in runs]) for name, runs in done.items()}
    best = min((secs for name, secs in medians.items() if name != _LEARNED and secs is not None), default=None)
    rows = []
    for name, runs in done.items():
        secs = medians[name]
        rows.append(
            {
                "limit": f"{limit} open files",
                "name": name,
                "secs": secs,
                "worst": max((run.secs for run in runs), default=None),
                "beside": ratio(secs, best),
                "refused": max((100 * run.refused / run.asked for run in runs), default=None),
                "all_secs": [run.secs for run in runs],
                "problem": problems.get(name),
            }
        )
    return rows


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    count = args.files or (40 if args.quick else 300)
    rounds = args.rounds or (1 if args.quick else 5)
    rows = [row for limit in _LIMITS for row in _measure(bench, args, limit, count, rounds)]
    columns = [
        Column("limit", "the server allows"),
        Column("name", f"{count:,} x {args.bytes:,} bytes, medians of {rounds}"),
        Column("secs", "s", ".2f"),
        Column("worst", "worst s", ".2f"),
        Column("beside", "x the best that is set", ".2f"),
        Column("refused", "refused opens, worst %", ".1f"),
    ]
    notes = [
        "cold: nothing is known of the server at the beginning of each run; a child keeps what it has learned.",
        "all files were there in every run, with their bytes; each run has connect, login and disconnect.",
    ]
    return Table("limits", columns, rows, notes)


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, help="how many (default: 300)")
    parser.add_argument("--bytes", type=int, default=4096, help="size of each (default: %(default)s)")
    sys.exit(main(benchmark, parser.parse_args()))
