"""``python -m proofs.guard``: see the package."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .run import run

MOST_SECS = 5.0
MOST_PSS_KB = 3 * 1024


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 where every file arrived in time and the guard was small enough, else 1; 2 where it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m proofs.guard", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how many kills (default: 100)")
    args = parser.parse_args(argv)
    if sys.platform != "linux":
        print("pysubtask: this needs Linux", file=sys.stderr)  # noqa: T201
        return 2
    with tempfile.TemporaryDirectory(prefix="pysubtask-guard-") as folder:
        done = run(Path(folder), args.rounds, lambda line: print(line, flush=True))  # noqa: T201
    secs = sorted(one.secs for one in done if one.secs is not None)
    late = sum(one.secs is None or one.secs > MOST_SECS for one in done)
    problems = [one.problem for one in done if one.problem]
    most = max(one.pss for one in done)
    if secs:
        words = f"{len(done)} kills: from kill to delivery {secs[0]:.2f} to {secs[-1]:.2f} s, median {secs[len(secs) // 2]:.2f} s"
        print(f"{words}; {late} later than {MOST_SECS:g} s; the guard's own memory (PSS) at most {most} KB")  # noqa: T201
    return int(bool(late or problems or most > MOST_PSS_KB))


if __name__ == "__main__":
    sys.exit(main())
