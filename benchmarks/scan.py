"""What a look at a folder of many unchanged files costs by polling alone, as a program: ``python -m benchmarks.scan FOLDER``.

Prints JSON: ``first`` and ``again`` (median), seconds of one look, and ``part``, of the time that is spent looking
in the ticks of a simulated minute or more.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from pysubtask.common.entries import read_entries
from pysubtask.common.notify import Stamp, read_stamp
from pysubtask.subtask.watch.watcher import Watcher

_TICK_SECS, _LEAST_SECS, _SCANS_LONG = 2.0, 60.0, 100
_SCANS = 5
_FAR_APART = 10_000.0


class _AllKnown:
    """Every file was delivered as it is."""

    def __init__(self, folder: Path) -> None:
        self._stamps = {str(path): read_stamp(str(path)) for path in folder.iterdir()}

    def handled(self, notify_path: str) -> Stamp | None:
        return None

    def source(self, path: str) -> Stamp | None:
        return self._stamps.get(path)


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1])
    entries = read_entries([{"dir": str(folder), "notify_files": False}])
    watch = Watcher(entries, _AllKnown(folder), [], lambda: None, use_events=False)
    now = time.monotonic()

    begun = time.perf_counter()
    due = watch.scan(now)
    first = time.perf_counter() - begun
    # Files this young are looked at twice, since clocks of file systems are coarse.
    while due:
        for each in due:
            watch.done(each)
        now += _TICK_SECS
        due = watch.scan(now)

    def scan() -> float:
        begun = time.perf_counter()
        if watch.scan(now):
            raise SystemExit("files that did not change are due")
        return time.perf_counter() - begun

    def scan_after_tick() -> float:
        nonlocal now
        now += _TICK_SECS
        return scan()

    again = []
    for _ in range(_SCANS):
        now += _FAR_APART
        again.append(scan())
    # Long enough for some looks, however rare they are for being slow.
    secs = max(_LEAST_SECS, _SCANS_LONG * statistics.median(again))
    spent = sum(scan_after_tick() for _ in range(int(secs / _TICK_SECS)))
    print(json.dumps({"first": first, "again": statistics.median(again), "part": spent / secs}))


if __name__ == "__main__":
    main()
