"""``python -m proofs.torture``: see the package."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import random
import signal
import sys
import tempfile
import time
from types import FrameType

from pysubtask.testing.servers.sshd import missing

from ..profiles import PROFILES
from . import faults_disk, faults_input, faults_network, faults_server, faults_stall, faults_stick  # noqa: F401 they fill the catalogue
from .catalogue import FAULTS, run
from .plan import KILLS, OTHERS
from .random_kills import run_random_kills
from .report import Row, table

_RANDOM_KILLS = "random"


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 where all is well, 1 where not, 2 where it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m proofs.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="random kills for so long at most (default: 30)")
    parser.add_argument("--kills", type=int, default=1000, help="and so many at most (default: 1000)")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same sequence of faults")
    parser.add_argument(
        "--only", metavar="WORD", help=f"only faults with this word in group or name; {_RANDOM_KILLS!r}: random kills"
    )
    parser.add_argument(
        "--server",
        metavar="KIND",
        choices=sorted(PROFILES),
        help=f"random kills alone, with a server of this kind: {', '.join(sorted(PROFILES))} (default: OpenSSH)",
    )
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument("--keep", action="store_true", help="leave the folder of random kills behind where something went wrong")
    parser.add_argument("--sample", action="store_true", help="faults by name: fewer rounds of those that have some")
    args = parser.parse_args(argv)
    profile = PROFILES[args.server] if args.server else None
    if profile is not None:
        args.only = args.only or _RANDOM_KILLS
    chosen = [entry for entry in FAULTS if args.only is None or args.only in f"{entry.group}: {entry.name}"]
    if args.list:
        _say("\n".join([f"{_RANDOM_KILLS}: {kind}" for kind in (*KILLS, *OTHERS)] + [f"{one.group}: {one.name}" for one in chosen]))
        return 0
    why = missing() if sys.platform == "linux" else "this needs Linux"
    if profile is not None and args.only != _RANDOM_KILLS:
        why = f"the faults by name have servers of their own: with --server only {_RANDOM_KILLS!r}"
    if why or not (chosen or args.only == _RANDOM_KILLS):
        print(f"pysubtask: {why or 'no fault has that word: --list names them'}", file=sys.stderr)  # noqa: T201
        return 2
    seed = random.randrange(10**6) if args.seed is None else args.seed
    # An end by a signal takes the servers and the app along, too.
    signal.signal(signal.SIGTERM, _end)
    begun = time.monotonic()
    where = f"{profile.name}, " if profile else ""
    _say(f"{where}seed {seed}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, Python {sys.version.split()[0]}")
    rows: list[Row] = []
    notes: list[str] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pysubtask-torture-") as registry, contextlib.suppress(KeyboardInterrupt):
        os.environ["PYSUBTASK_REGISTRY"] = registry
        if args.only in (None, _RANDOM_KILLS):
            result = run_random_kills(args.minutes, seed, args.kills, _say, args.keep, profile)
            rows, notes, problems = list(result.rows), result.notes, result.problems
        for entry in chosen:
            at = time.monotonic()
            rows.append(run(entry, seed, args.sample))
            row = rows[-1]
            _say(f"{row.fault}: {row.survived} of {row.tried}, {time.monotonic() - at:.0f} s; {row.note}")
    _say("\n".join(["", *notes, "", table(rows), *(f"WRONG: {problem}" for problem in problems)]))
    wrong = [row.fault for row in rows if not row.ok]
    _say(
        f"{sum(row.tried for row in rows if 'all kills' not in row.fault):,} faults tried, {time.monotonic() - begun:.0f} s; "
        + (f"not well: {', '.join(wrong) or 'see above'}" if wrong or problems else "0 lost, 0 torn, 0 left over")
    )
    return 1 if problems or wrong else 0


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
