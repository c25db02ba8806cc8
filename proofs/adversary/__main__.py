"""``python -m proofs.adversary``: see the package."""

from __future__ import annotations

import argparse
import os
import random
import sys

from .run import CannotRun, Result, run
from .world import CASES


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 where nothing was found, 1 where something was, 2 where it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m proofs.adversary", description=__doc__)
    parser.add_argument("--secs", type=float, default=60.0, help="how long the adversary is at work in each run (default: 60)")
    parser.add_argument("--runs", type=int, default=1, help="so many runs of each case, each with a seed of its own (default: 1)")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same sequence of acts")
    parser.add_argument("--case", choices=CASES, default=None, help="one kind of folder alone")
    parser.add_argument("--live", action="store_true", help="without copies: BakToFolder = None")
    parser.add_argument("--beside", action="store_true", help="copies in that folder: BakToFolder is the path of one in it")
    parser.add_argument("--again", type=float, default=0.0, metavar="SECS", help="stop and start the app so often (default: never)")
    parser.add_argument("--keep", action="store_true", help="leave the folder of a run behind where something was found")
    args = parser.parse_args(argv)
    if sys.platform != "linux" or os.geteuid() != 0:
        print("pysubtask: this acts as two users: it needs Linux and root", file=sys.stderr)  # noqa: T201
        return 2
    seed = random.randrange(10**6) if args.seed is None else args.seed
    found = 0
    for number in range(args.runs):
        for case in CASES if args.case is None else (args.case,):
            base = {"BakToFolder": None} if args.live else {"BakToFolder": "{data}/upload"} if args.beside else {}
            try:
                found += _show(run(case, args.secs, seed + number, base=base, again=args.again, keep=args.keep))
            except CannotRun as exc:
                print(f"pysubtask: {exc}", file=sys.stderr)  # noqa: T201
                return 2
    return 1 if found else 0


def _show(result: Result) -> int:
    acts = ", ".join(f"{name} {count}" for name, count in sorted(result.done.items()))
    children = f"{result.children} {'child' if result.children == 1 else 'children'}"
    lines = [
        f"{result.case}, seed {result.seed}, {result.secs:.0f} s: {result.arrived} of {result.own} files left alone arrived, "
        f"{result.delivered} deliveries, {children}, {sum(result.done.values())} acts done and "
        f"{sum(result.refused.values())} refused by the system ({acts}); "
        f"{len(result.problems) or 'no'} problem{'' if len(result.problems) == 1 else 's'}"
    ]
    lines += [f"  {problem}" for problem in result.problems]
    lines += [f"  left in {result.folder}"] if result.folder else []
    print("\n".join(lines), flush=True)  # noqa: T201
    return len(result.problems)


if __name__ == "__main__":
    sys.exit(main())
