"""Many small files to a real sshd: our transport alone, and the whole path from a watched folder, beside the peers.

The transport alone is cold like every peer: connect, upload all, disconnect. End to end a master and its child run
already, as they do all day, without a connection; the files are renamed into the watched folder, and the clock stops
when the last of them is on the server: snapshots made durable, queue, login and receipts included.

``--rtt 100``: fewer files, by the transport and the peers alone, to a server that is so many milliseconds away and back:
two network namespaces with a packet loop between them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .bench import Bench, Failed, Place, chosen, first_round, installed, main, not_installed, options, ordered, progress, wait_until
from .our_app import our_app
from .peers import RENAMED, Peer, folder_peers
from .table import Column, Table, median, ratio

_ALONE = "pysubtask SFTPTransport, 64 in flight"
_ALONE_32 = "pysubtask SFTPTransport, 32 in flight"
_ALONE_256 = "pysubtask SFTPTransport, 256 in flight"
_WHOLE = "pysubtask end to end"
_WHOLE_BARE = "pysubtask end to end, no .notify files"
_POLL_SECS = 0.005
_LIMIT_SECS = 300.0
_FAR_RATE, _FAR_QUEUE = 100_000_000.0, 4 * 1024.0 * 1024.0
_SLOW_FAR = "OpenSSH sftp"  # it waits for each answer: minutes, and no figure of interest


def _make_files(folder: Path, count: int, size: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"f{number:05}.dat").write_bytes(os.urandom(size))


def _alone(concurrency: int) -> Callable[[Bench, Path, Place], float]:
    def measure(bench: Bench, source: Path, place: Place) -> float:
        files = [(str(path), path.name) for path in sorted(source.iterdir())]
        job = {
            "settings": bench.settings(HostPath=place.name, Concurrency=concurrency),
            "workdir": str(bench.root / "work"),
            "files": files,
        }
        run = bench.run([sys.executable, "-m", "benchmarks.ours"], json.dumps(job))
        return float(json.loads(run.output)["secs"])

    return measure


def _whole(entry: dict[str, Any]) -> Callable[[Bench, Path, Place], float]:
    def measure(bench: Bench, source: Path, place: Place) -> float:
        watched, aside = bench.fresh("watched"), bench.fresh("aside")
        watched.mkdir()
        shutil.copytree(source, aside)
        names = sorted(os.listdir(aside))
        with our_app(bench, place, watched, [{"dir": str(watched), "settle_secs": 0, **entry}]) as master:
            begun = time.perf_counter()
            for name in names:
                os.rename(aside / name, watched / name)

            def arrived() -> bool:
                master.check_pending_notifications()
                # A name that shows is a whole file: what is being sent has a name with a dot.
                return sum(not name.startswith(".") for name in os.listdir(place.path)) == len(names)

            wait_until(arrived, _LIMIT_SECS, "the last file is on the server", _POLL_SECS)
            secs = time.perf_counter() - begun
        shutil.rmtree(watched)
        shutil.rmtree(aside)
        return secs

    return measure


def _program(peer: Peer) -> Callable[[Bench, Path, Place], float]:
    return lambda bench, source, place: bench.run(peer.argv(bench, source, place)).secs


def _check(source: Path, place: Place) -> None:
    wrong = [
        path.name
        for path in source.iterdir()
        if not (there := place.path / path.name).exists() or there.read_bytes() != path.read_bytes()
    ]
    extra = set(os.listdir(place.path)) - set(os.listdir(source))
    if wrong or extra:
        raise Failed(f"{len(wrong)} copies are missing or differ, {len(extra)} files too many")


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    count = args.files or (20 if args.quick else 500 if args.rtt else 2000)
    rounds = args.rounds or (1 if args.quick else 3 if args.rtt else 5)
    peers = {peer.name: peer for peer in folder_peers() if not (args.rtt and peer.name.startswith(_SLOW_FAR))}
    tools: dict[str, Callable[[Bench, Path, Place], float]]
    if bench.link is not None:
        bench.link.set(delay=args.rtt / 2000, loss=0.0, rate=_FAR_RATE, queue=_FAR_QUEUE)
        tools = {_ALONE_256: _alone(256), _ALONE: _alone(64), _ALONE_32: _alone(32)}
    else:
        tools = {_ALONE: _alone(64), _ALONE_32: _alone(32), _WHOLE: _whole({}), _WHOLE_BARE: _whole({"notify_files": False})}
    for name, peer in peers.items():
        tools[name] = _program(peer)
    names = chosen(tools, args.only)
    secs: dict[str, list[float]] = {name: [] for name in names}
    problems = {name: not_installed(peers[name].program) for name in names if name in peers and not installed(peers[name].program)}
    for number in range(first_round(args), rounds):
        source = bench.fresh("files")
        _make_files(source, 10 if number < 0 else count, args.bytes)
        for name in ordered(names, number):
            if name in problems:
                continue
            place = bench.place()
            try:
                took = tools[name](bench, source, place)
                _check(source, place)
            except (Failed, OSError) as exc:
                problems[name] = f"failed: {exc}"
                continue
            finally:
                shutil.rmtree(place.path)
            if number >= 0:
                secs[name].append(took)
                progress(f"round {number + 1} of {rounds}: {name}: {count / took:.0f} files/s")
        shutil.rmtree(source)
    rows = _rows(secs, problems, count, _ALONE_256 if args.rtt else _ALONE)
    for row in rows:
        row["publish"] = peers[row["name"]].publish if row["name"] in peers else RENAMED
    columns = [
        Column("name", f"{count:,} x {args.bytes:,} bytes, medians of {rounds}"),
        Column("files_per_sec", "files/s", ",.0f"),
        Column("secs", "s", ".2f"),
        Column("worst", "worst s", ".2f"),
        Column("alone", "transport is x faster", ".2f"),
        *([] if args.rtt else [Column("whole", "end to end is x faster", ".2f")]),
        Column("publish", "publishes"),
    ]
    link = f", {args.rtt:g} ms round trip, {_FAR_RATE / 1e6:.0f} Mbit/s, no loss" if args.rtt else ""
    notes = [
        f"cipher {args.cipher} for all{link}; each with connect, login and disconnect"
        + ("." if args.rtt else " (end to end: until the last file shows)."),
        "transport: without the start of Python, which an app has behind it; the peers are programs from start to end.",
        *(
            []
            if args.rtt
            else [
                "end to end: settle_secs 0; from the first rename into the watched folder; snapshots synced, queue"
                " and receipts on disk."
            ]
        ),
        "pysubtask has the server sync each file to its disk before its rename; of the peers only 'rsync --fsync'.",
        "rclone by default has the server start a shell for each file, for a checksum; tuned: not.",
    ]
    return Table("small", columns, rows, notes)


def _rows(secs: dict[str, list[float]], problems: dict[str, str], count: int, ours: str) -> list[dict[str, Any]]:
    alone, whole = median(secs.get(ours, [])), median(secs.get(_WHOLE, []))
    rows = []
    for name, took in secs.items():
        middle = median(took)
        rows.append(
            {
                "name": name,
                "files_per_sec": ratio(count, middle),
                "secs": middle,
                "worst": max(took, default=None),
                "alone": ratio(middle, alone),
                "whole": ratio(middle, whole),
                "all_secs": took,
                "problem": problems.get(name),
            }
        )
    return rows


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, help="how many (default: 2000, 500 with --rtt)")
    parser.add_argument("--bytes", type=int, default=4096, help="size of each (default: %(default)s)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="MS", help="a server so many milliseconds away (needs root)")
    given = parser.parse_args()
    sys.exit(main(benchmark, given, "link" if given.rtt else "direct"))
