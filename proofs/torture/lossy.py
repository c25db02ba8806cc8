"""The station behind a lossy link, as a process of its own: prints tried, survived, lost, left over, sent twice."""

from __future__ import annotations

import ast
import random
import sys
from pathlib import Path

from .bench import Bench

_FILES = 20
_SECS = 360.0


def main() -> None:
    """Run the station that the file in argv describes."""
    given = ast.literal_eval(Path(sys.argv[1]).read_text())
    chance = random.Random(given["seed"])
    root = Path(given["root"]) / "station"
    root.mkdir()
    bench = Bench(root, Path(given["server"]), given["login"], StopWaitSecs=60)
    bench.master.start()
    names = [f"box/f{number}" for number in range(_FILES)]
    try:
        for name in names:
            bench.write(name, chance.randbytes(5000))
        there = bench.arrived(*names, secs=_SECS)
        found = bench.outcome(_FILES, _FILES if there else sum(bench.same(name) for name in names))
        print(found.tried, found.survived, found.lost, found.left, found.twice)  # noqa: T201
    finally:
        bench.close()


if __name__ == "__main__":
    main()
