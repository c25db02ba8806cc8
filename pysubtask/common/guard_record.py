"""What the guard of a child writes for the master, which reads it at any time: a nameless file of a few lines.

    started SECOND                     the master has started the guard
    pid PID                            the child runs as this process
    ended STATUS TIMES WAIT SECOND     it has ended by itself, for the TIMES-th time; the next start is at that second
    stop                               the guard was asked to stop

Seconds are of the monotonic clock, which is the same in all processes of the machine. A line ``ended`` replaces all lines before
it, so the file stays small. A reader may find it empty in the moment of that.
"""

import os
from typing import NamedTuple

from .restarts import Restarts

FD = 5
"""The descriptor by which the guard writes to the file: a shell knows those below 10 only."""
VARIABLE = "PYSUBTASK_GUARDED"
"""In the environment of a child with a guard: the guard's process id, and the descriptor of the file."""
_MOST_BYTES = 4096


class GuardRecord(NamedTuple):
    """``pid``: the child, None while none runs. ``restarts``: as far as the guard has started it again. ``status``: how the child
    last ended by itself, as a shell counts: its exit status, or 128 and the number of a signal; None before. ``is_stopping``:
    whether the guard was asked to stop."""

    pid: int | None = None
    restarts: Restarts = Restarts()
    status: int | None = None
    is_stopping: bool = False


def parse(text: str) -> GuardRecord:
    """The record that these lines are. A line that is not whole yet counts as not written."""
    found = GuardRecord()
    for line in text.split("\n")[:-1]:
        word, *rest = line.split(" ")
        try:
            if word == "started":
                found = found._replace(restarts=Restarts().began(float(rest[0])))
            elif word == "pid":
                due = found.restarts.due
                found = found._replace(pid=int(rest[0]), restarts=found.restarts if due is None else found.restarts.began(due))
            elif word == "ended":
                restarts = Restarts(float(rest[2]), int(rest[1]), 0.0, float(rest[3]))
                found = found._replace(pid=None, restarts=restarts, status=int(rest[0]))
            elif word == "stop":
                found = found._replace(is_stopping=True)
        except (ValueError, IndexError):
            continue
    return found


def read(fd: int) -> GuardRecord:
    """The record in this file; an empty one where it cannot be read."""
    try:
        return parse(os.pread(fd, _MOST_BYTES, 0).decode("ascii", "replace")) if hasattr(os, "pread") else GuardRecord()
    except OSError:
        return GuardRecord()


def replace(status: int, restarts: Restarts, fd: int) -> None:
    """Write that the child has ended by itself. OSError."""
    line = f"ended {status} {restarts.times} {restarts.wait:g} {restarts.due}\n"
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, line.encode("ascii"))
