"""``python -m proofs.producers``: see the package."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from types import FrameType

from pysubtask.testing.servers.sshd import missing

from .run import Result, run


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 where nothing was found, 1 where something was, 2 where it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m proofs.producers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the programs write (default: 600)")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same sequence of acts of each program")
    parser.add_argument("--server", choices=("sftp", "ftp"), default="sftp", help="OpenSSH (default), or vsftpd")
    parser.add_argument("--link", choices=("good", "bad"), default="good", help="bad: delay, a low rate, cuts, stalls, refusals")
    parser.add_argument("--kills", action="store_true", help="children are killed, and both tasks stopped and started")
    parser.add_argument("--keep", action="store_true", help="leave the folder of the run behind where something was found")
    args = parser.parse_args(argv)
    why = "this needs Linux" if sys.platform != "linux" else missing() if args.server == "sftp" else None
    if why:
        print(f"pysubtask: {why}", file=sys.stderr)  # noqa: T201
        return 2
    # An end by a signal takes the servers and the tasks along, too.
    signal.signal(signal.SIGTERM, _end)
    seed = random.randrange(10**6) if args.seed is None else args.seed
    _say(f"seed {seed}, {args.server}, {args.link} link{', kills' if args.kills else ''}, {args.seconds:.0f} s")
    result = run(args.seconds, seed, server=args.server, link=args.link, kills=args.kills, keep=args.keep, say=_say)
    _say(summary(result))
    return 1 if result.problems else 0


def summary(result: Result) -> str:
    """A result for people."""
    acts = ", ".join(f"{name} {count}" for name, count in sorted(result.done.items()))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(result.faults.items())) or "none"
    lines = [
        f"{sum(result.done.values()):,} acts ({acts})",
        f"faults: {faults}",
        f"{result.states:,} states of {result.names:,} names, {result.contents_read:,} contents read on the server in "
        f"{result.secs:.0f} s; all there {result.calm_secs:.1f} s after the last act",
        f"{len(result.problems) or 'no'} problem{'' if len(result.problems) == 1 else 's'}",
    ]
    lines += [f"  {problem}" for problem in result.problems]
    lines += [f"  left in {result.folder}"] if result.folder else []
    return "\n".join(lines)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _say(summary: str) -> None:
    print(summary, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
