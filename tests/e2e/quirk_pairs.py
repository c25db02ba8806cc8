"""Pairs of quirks, drawn by a seed: ``python -m tests.e2e.quirk_pairs --count 200 --seed 1``. A line for each, exit status 1 where
one is not right; ``--only sftp`` and ``--jobs 4`` are options. With ``--single`` every quirk alone, with ``--kills 3`` the child is
killed so many times in each half of the work."""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pysubtask.testing.servers.quirks import pairs, switch, switches
from tests.support.quirk_station import problems, run

SHARE = {"sftp": 0.5, "ftp": 0.35, "ftps": 0.15}


def one(kills: int, seed: int, protocol: str, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Its line, and what was not right."""
    chosen = tuple(switch(name) for name in names)
    with tempfile.TemporaryDirectory(prefix="quirks-") as folder:
        try:
            outcome = run(Path(folder), protocol, chosen, kills, seed)
            found = problems(outcome, chosen, kills=kills > 0)
            figures = f"{outcome.secs:.1f} s, {outcome.sent:,} bytes for {outcome.needed:,}"
        except Exception as exc:
            found, figures = [f"{type(exc).__name__}: {exc}"], ""
    return f"{'FAILS' if found else 'holds'}  {protocol:<5} {' + '.join(names)}: {'; '.join(found) or figures}", found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many pairs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(SHARE), help="one protocol")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--single", action="store_true", help="every quirk alone, no pairs")
    parser.add_argument("--kills", type=int, default=0, help="kill the child so many times in each half")
    parser.add_argument("--like", default="", help="only those with this in a name")
    asked = parser.parse_args()
    cases: list[tuple[str, tuple[str, ...]]] = []
    for protocol, share in SHARE.items():
        if asked.only not in (None, protocol):
            continue
        if asked.single:
            cases += [(protocol, (each.name,)) for each in switches(protocol)]
        else:
            count = asked.count if asked.only else round(asked.count * share)
            cases += [(protocol, (first.name, second.name)) for first, second in pairs(protocol, count, asked.seed)]
    cases = [each for each in cases if asked.like in " + ".join(each[1])]
    bad = 0
    with ProcessPoolExecutor(asked.jobs) as pool:
        for line, found in pool.map(functools.partial(one, asked.kills, asked.seed), *zip(*cases, strict=True), chunksize=1):
            print(line, flush=True)
            bad += bool(found)
    print(f"{len(cases) - bad} of {len(cases)} hold", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
