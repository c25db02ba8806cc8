"""What processes cost, asked of the kernel while they run (proc(5))."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all below it, asked of the kernel directly: a look at the whole of /proc would cost too much."""
    found, at = [pid], 0
    while at < len(found):
        # Each thread has its own children.
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{found[at]}/task"):
                with contextlib.suppress(OSError):
                    found += map(int, Path(f"/proc/{found[at]}/task/{task}/children").read_text().split())
        at += 1
    return found


def memory(pid: int, what: str) -> int:
    """Bytes; ``what`` is VmRSS (now) or VmHWM (the peak). 0 for one that is gone."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found[1]) * 1024
    return 0


def cpu_secs(pid: int) -> float:
    """User and system time of a process, all below it, and all that they have waited for."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


def fine_cpu_secs(pid: int) -> float:
    """The same of this process alone, while it lives, to the nanosecond where the kernel counts so."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    except OSError:
        return 0.0
    return total / 1e9 if total else cpu_secs(pid)
