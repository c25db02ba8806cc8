"""Named daemons: what a call, a get and a set take, beside Pyro5 and pyzmq; changes to ten followers; what an idle daemon writes.

Daemon, followers and peers are processes of their own. A row of a library that is not installed says so.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Column, Table, percentile
from benchmarks.where import about
from pysubtask import Daemon, Proxy, daemons, get, item, method
from pysubtask.daemon import records

_ROOT = Path(__file__).resolve().parent.parent
_WAIT_SECS = 30.0
_PEERS = {"Pyro5": "Pyro5", "pyzmq": "zmq"}


class Bench(Daemon):
    """The daemon that is measured."""

    value = item(0)
    stamp = item(0.0, read_only=True)
    loop_secs = 1.0

    @method
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @method
    def changes(self, count: int, per_sec: float) -> float:
        """Publish so many changes at this rate; the seconds that it took."""
        begun = time.monotonic()
        for number in range(count):
            left = begun + number / per_sec - time.monotonic()
            if left > 0:
                time.sleep(left)
            self.stamp = time.time()
        return time.monotonic() - begun


# ---- the processes


def serve(what: str) -> int:
    """Be one of the servers until a signal comes."""
    if what == "Pyro5":
        import Pyro5.api as pyro  # type: ignore[import-not-found]

        class Adder:
            """The same method."""

            def add(self, a: int, b: int) -> int:
                """Add two numbers."""
                return a + b

        server = pyro.Daemon(host="127.0.0.1")
        print(server.register(pyro.expose(Adder)()), flush=True)
        server.requestLoop()
    elif what == "pyzmq":
        import zmq  # type: ignore[import-not-found]

        socket = zmq.Context().socket(zmq.REP)
        print(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}", flush=True)
        while True:
            words = socket.recv_json()
            socket.send_json(words["a"] + words["b"])
    return Bench().run("Bench")


def follow(count: int) -> int:
    """Follow the daemon until so many changes came; prints delays and gaps."""
    delays, gaps, repeats, last = [], 0, 0, 0
    with get("Bench", wait=_WAIT_SECS).follow() as follower:
        for change in follower:
            if change.kind == "page":
                gaps += last > 0
                last = change.n
                print("ready", flush=True)
                continue
            gaps += change.n > last + 1
            repeats += change.n <= last
            last = change.n
            if change.key == "stamp":
                delays.append(time.time() - change.value)
                if len(delays) == count:
                    break
    print(json.dumps({"delays": delays, "gaps": gaps, "repeats": repeats}), flush=True)
    return 0


@contextlib.contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "benchmarks.control", *words]
    errors = None if "--follow" in words else subprocess.DEVNULL
    process = subprocess.Popen(argv, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


# ---- what is measured


def timed(act: Callable[[int], Any], count: int) -> dict[str, Any]:
    """Milliseconds of one, of ``count`` one after the other."""
    for number in range(min(50, count)):
        act(number)
    times = []
    for number in range(count):
        begun = time.perf_counter()
        act(number)
        times.append(1e3 * (time.perf_counter() - begun))
    return {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "worst": max(times), "count": count}


def _setter(bench: Proxy) -> Callable[[int], Any]:
    return lambda number: setattr(bench, "value", number)


def ours(count: int) -> dict[str, dict[str, Any]]:
    """Call, get and set by the socket."""
    with _process("--serve", "ours"):
        bench = get("Bench", wait=_WAIT_SECS)
        return {
            "pysubtask get": timed(lambda _: bench.value, count),
            "pysubtask set": timed(_setter(bench), count),
            "pysubtask call": timed(lambda number: bench.add(number, 1), count),
        }


def by_files(count: int, folder: Path) -> dict[str, dict[str, Any]]:
    """The same call without a socket: a path that is too long for one."""
    before = os.environ["XDG_RUNTIME_DIR"]
    deep = folder / ("d" * 100)
    deep.mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(deep)
    try:
        with _process("--serve", "ours"):
            bench = get("Bench", wait=_WAIT_SECS)
            return {"pysubtask call, by files (no socket)": timed(lambda number: bench.add(number, 1), max(3, count // 500))}
    finally:
        os.environ["XDG_RUNTIME_DIR"] = before


def peer(name: str, count: int) -> dict[str, Any]:
    """The same call by another library."""
    if importlib.util.find_spec(_PEERS[name]) is None:
        return {"problem": f"missing: pip install {name}"}
    with _process("--serve", name) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if name == "Pyro5":
            import Pyro5.api as pyro

            with pyro.Proxy(address) as adder:
                return timed(lambda number: adder.add(number, 1), count)
        import zmq

        socket = zmq.Context.instance().socket(zmq.REQ)
        socket.connect(address)

        def ask(number: int) -> Any:
            socket.send_json({"a": number, "b": 1})
            return socket.recv_json()

        found = timed(ask, count)
        socket.close(0)
        return found


def followed(followers: int, count: int, per_sec: float) -> dict[str, Any]:
    """Changes at a rate to so many followers: their delays, and what they missed."""
    with _process("--serve", "ours"), contextlib.ExitStack() as stack:
        bench = get("Bench", wait=_WAIT_SECS)
        processes = [stack.enter_context(_process("--follow", str(count))) for _ in range(followers)]
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n", "a follower has ended"
        took = bench.changes(count, per_sec)
        found = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in processes]
    delays = [1e3 * delay for one in found for delay in one["delays"]]
    lost = sum(one["gaps"] + one["repeats"] + count - len(one["delays"]) for one in found)
    figures = {"p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99), "worst": max(delays), "count": len(delays)}
    return {**figures, "per_sec": count / took, "lost": lost}


def idle(secs: float) -> dict[str, Any]:
    """What a daemon with nothing to do writes, and the part of a core that it takes."""
    with _process("--serve", "ours") as process:
        get("Bench", wait=_WAIT_SECS)._connection.close()
        time.sleep(1)
        folder, before, cpu = Path(records.read("Bench").folder), _written(process.pid), _cpu(process.pid)  # type: ignore[union-attr]
        stamps = _stamps(folder)
        time.sleep(secs)
        changed = _stamps(folder) != stamps
        return {"writes": _written(process.pid) - before + changed, "cpu": 100 * (_cpu(process.pid) - cpu) / secs}


def _stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def _written(pid: int) -> int:
    rows = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(rows["syscw"])


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- the table


def benchmark(args: argparse.Namespace, folder: Path) -> Table:
    """All rows."""
    count, secs = (100, 1.0) if args.quick else (3000, 10.0)
    rate, changes = 2000.0, 400 if args.quick else 20000
    rows: list[dict[str, Any]] = []

    def is_asked_for(*names: str) -> bool:
        return not args.only or any(word.lower() in name.lower() for word in args.only for name in names)

    def add(name: str, found: dict[str, Any]) -> None:
        rows.append({"name": name, "problem": None, **found})

    if is_asked_for("pysubtask get", "pysubtask set", "pysubtask call"):
        for name, found in ours(count).items():
            add(name, found)
    if is_asked_for("pysubtask call, by files"):
        for name, found in by_files(count, folder).items():
            add(name, found)
    for name, words in (("Pyro5", "Pyro5 call"), ("pyzmq", "pyzmq REQ/REP, JSON")):
        if is_asked_for(words):
            add(words, peer(name, count))
    if is_asked_for("event to one follower"):
        add("event to one follower, 100 a second", followed(1, changes // 20, 100.0))
    if is_asked_for("ten followers"):
        add("changes to ten followers, 2,000 a second", followed(10, changes, rate))
    if is_asked_for("idle"):
        add(f"idle for {secs:.0f} s", idle(secs))
    columns = [
        Column("name", "one machine, one user"),
        Column("p50", "ms, p50", ".3f"),
        Column("p99", "p99", ".3f"),
        Column("worst", "worst", ".1f"),
        Column("count", "count", ",.0f"),
        Column("per_sec", "a second", ",.0f"),
        Column("lost", "lost or twice", ",.0f"),
        Column("writes", "writes", ",.0f"),
        Column("cpu", "% of a core", ".2f"),
    ]
    notes = [
        "call: add(a, b) with its arguments checked at both ends, a line in the journal before and behind it, and two events.",
        "set: with its event, the value checked at both ends; get: a value of the page, by the socket.",
        "by files: what remains where a socket cannot be; the daemon looks for requests fifty times a second.",
        "followers: from the publish to the loop of the follower, each a process of its own; lost: gaps, repeats and missing ones.",
        "idle: calls of write(2) by the daemon, and files of its folder that were changed.",
    ]
    return Table("control", columns, rows, notes)


def main() -> int:
    """Run, print, remove everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few of everything, to see that it works: no figure to quote")
    parser.add_argument("--only", metavar="WORD", action="append", default=[], help="only the rows with this word (again for more)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--follow", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    if args.follow:
        return follow(args.follow)
    short = "/tmp" if os.path.isdir("/tmp") else None  # the path of a socket has 107 bytes at most
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="pysubtask-bench-", dir=short)))
    os.environ.update(XDG_RUNTIME_DIR=str(folder), PYSUBTASK_REGISTRY=str(folder / "registry"))
    os.environ.pop("RUNTIME_DIRECTORY", None)
    try:
        table = benchmark(args, folder)
        facts = about(folder, folder)
        assert not daemons()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in _PEERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts["versions"][name] = importlib.metadata.version(name)
    print(table.text(facts))
    if args.json:
        Path(args.json).write_text(json.dumps({**facts, **table.data()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
