"""``python -m proofs.crash``: all crash points, with ``--pairs`` all pairs of them; one table."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pysubtask.common import registry

from .cases import pairs, singles, some_pairs
from .child import KINDS
from .explore import CHANGES, Explorer, Outcome, Trial
from .power import PowerCuts

Chosen = dict[str, tuple[str, ...]]
Work = Callable[[Explorer, Chosen, argparse.Namespace, Callable[[int], bool]], Iterator[Outcome]]

_PRINTED_PROBLEMS = 20
_PROGRESS_SECS = 60.0
_SEEDS = 2
_FTP = "ftp"


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 where nothing was lost, torn or left behind."""
    parser = argparse.ArgumentParser(prog="python -m proofs.crash", description=__doc__)
    parser.add_argument("--pairs", action="store_true", help="all pairs of crash points, too (some three hours of one core)")
    parser.add_argument("--power", action="store_true", help="cut the power instead of killing (needs strace)")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--kind", choices=[*CHANGES, _FTP], help=f"one kind of server alone; {_FTP}: all kinds of that protocol")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to share the work (default: 1)")
    parser.add_argument("--change", metavar="WORD", help="with --kind: one kind of change alone")
    args = parser.parse_args(argv)
    if not hasattr(os, "fork"):
        print("pysubtask: this needs fork(2)", file=sys.stderr)  # noqa: T201
        return 2
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    chosen: Chosen = {
        kind: tuple(change for change in changes if args.change in (None, change))
        for kind, changes in CHANGES.items()
        if args.kind in (None, kind) or (args.kind == _FTP and KINDS[kind].ftp is not None)
    }
    if args.sample is not None:
        chosen = _some(chosen, args.sample, args.seed)
    begun = time.monotonic()
    if args.power:
        if shutil.which("strace") is None:
            print("pysubtask: there is no strace. Run:  apt-get install strace", file=sys.stderr)  # noqa: T201
            return 2
        ok = _table("power cuts", _shared(_cuts, chosen, args, memory))
    else:
        ok = _table("crash points", _shared(_points, chosen, args, memory))
        if args.pairs:
            ok &= _table("pairs of crash points", _shared(_pairs, chosen, args, memory))
    print(f"{time.monotonic() - begun:.0f} s")  # noqa: T201
    return 0 if ok else 1


def _some(chosen: Chosen, most: int, seed: int) -> Chosen:
    """At most so many rows, drawn by ``seed``: a sample needs no more, and the steps of each row have to be counted first."""
    rows = [(kind, change) for kind, changes in chosen.items() for change in changes]
    drawn = set(random.Random(seed).sample(rows, min(most, len(rows))))
    found = {kind: tuple(change for change in changes if (kind, change) in drawn) for kind, changes in chosen.items()}
    return {kind: changes for kind, changes in found.items() if changes}


def _points(explorer: Explorer, chosen: Chosen, args: argparse.Namespace, part: Callable[[int], bool]) -> Iterator[Outcome]:
    trials = list(singles(explorer, chosen, part if args.sample is None else lambda step: True))
    if args.sample is not None:
        trials = [
            trial
            for number, trial in enumerate(random.Random(args.seed).sample(trials, min(args.sample, len(trials))))
            if part(number)
        ]
    for trial in trials:
        yield explorer.run(trial)


def _pairs(explorer: Explorer, chosen: Chosen, args: argparse.Namespace, part: Callable[[int], bool]) -> Iterator[Outcome]:
    if args.sample is None:
        yield from pairs(explorer, chosen, part)
    elif part(0):
        yield from some_pairs(explorer, chosen, args.sample, args.seed)


def _cuts(explorer: Explorer, chosen: Chosen, args: argparse.Namespace, part: Callable[[int], bool]) -> Iterator[Outcome]:
    """The share of one process: it records lives of its own, so each takes whole kinds of change."""
    rows = [(kind, change) for kind, changes in chosen.items() for change in changes]
    power = PowerCuts(explorer)
    for number, (kind, change) in enumerate(rows):
        if part(number):
            share = None if args.sample is None else max(1, args.sample // len(rows))
            for found in power.cuts(kind, change, _SEEDS, share, args.seed):
                trial = Trial(kind, change, (found.cut.after,), late_at=str(found.cut))
                yield Outcome(trial, found.problem, 0, 1, False)


def _shared(work: Work, chosen: Chosen, args: argparse.Namespace, memory: str | None) -> Iterator[Outcome]:
    """Shared out to processes of one thread each; what they find, as they find it."""
    if sys.platform == "win32":
        raise NotImplementedError
    read_end, tell = os.pipe()
    pids = []
    for index in range(args.jobs):
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            _worker(work, chosen, args, memory, index, tell)
        pids.append(pid)
    os.close(tell)
    with os.fdopen(read_end, "rb") as file:
        for line in file:
            trial, *rest = json.loads(line)
            kind, change, crashes, *manner = trial
            yield Outcome(Trial(kind, change, tuple(crashes), *manner), *rest)
    if any(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids):
        raise RuntimeError("a part of the work failed; its traceback stands above")


def _worker(work: Work, chosen: Chosen, args: argparse.Namespace, memory: str | None, index: int, tell: int) -> None:
    status = 1
    folder = tempfile.mkdtemp(prefix="pysubtask-crash-", dir=memory)
    # Tasks of this user know each other's remote names by their registry; each worker's stations are a world of their own.
    os.environ[registry.VARIABLE] = os.path.join(folder, "registry")
    try:
        for outcome in work(Explorer(folder), chosen, args, lambda step: step % args.jobs == index):
            os.write(tell, json.dumps(outcome).encode() + b"\n")  # one short write each, so that lines stay whole
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here whatever happens
        traceback.print_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(status)


def _table(title: str, outcomes: Iterable[Outcome]) -> bool:
    """Print the outcomes by kind; whether all is well."""
    tried: Counter[tuple[str, str]] = Counter()
    again: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    printed = 0
    printed_at = time.monotonic()
    for outcome in outcomes:
        row = (outcome.trial.kind, outcome.trial.change)
        tried[row] += 1
        again[row] += outcome.sent_again
        wrong[row] += bool(outcome.problem)
        if time.monotonic() - printed_at > _PROGRESS_SECS:
            printed_at = time.monotonic()
            print(f"  {title}: {tried.total():,} so far, {wrong.total():,} wrong; now {row[0]}", file=sys.stderr, flush=True)  # noqa: T201
        if outcome.problem and printed < _PRINTED_PROBLEMS:
            printed += 1
            words = outcome.trial.late_at if outcome.trial.late_at.count(",") else outcome.trial
            print(f"WRONG: {words}: {outcome.problem}", flush=True)  # noqa: T201
    print(f"{title:30} {'the file is':>12} {'tried':>8} {'lost or torn':>13} {'sent twice':>11}")  # noqa: T201
    for row in tried:
        print(f"{row[0]:30} {row[1]:>12} {tried[row]:8,} {wrong[row]:13,} {again[row]:11,}")  # noqa: T201
    print(f"{'all':30} {'':12} {tried.total():8,} {wrong.total():13,} {again.total():11,}", flush=True)  # noqa: T201
    return not wrong.total()


if __name__ == "__main__":
    sys.exit(main())
