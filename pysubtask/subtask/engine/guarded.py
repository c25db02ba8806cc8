"""The child's side of its guard, the process that starts the child again when it dies (``master/guard.py``)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NamedTuple

from ...common import guard_record
from ...common.process import process_start

_PR_SET_PDEATHSIG = 1  # prctl(2)


class GuardedStart(NamedTuple):
    """``guard``: the process id of the guard, 0 where the child has none. ``is_stopped``: whether the child has to end at once,
    since its guard was asked to stop while the child had no signal handlers (it starts with SIGTERM ignored), or is gone
    already."""

    guard: int = 0
    is_stopped: bool = False


def take_start() -> GuardedStart:
    """How this process was started; to be called once, when its signal handlers are there."""
    word, _, fd = os.environ.pop(guard_record.VARIABLE, "").partition(" ")
    if not word.isdecimal():
        return GuardedStart()
    guard, is_stopped = int(word), False
    if os.getppid() == guard:
        _report_its_end()
    else:  # it is gone, or a program that starts the interpreter stands between
        guard, is_stopped = 0, process_start(guard) is None
    if fd.isdecimal():
        is_stopped = guard_record.read(int(fd)).is_stopping or is_stopped
        with contextlib.suppress(OSError):
            os.close(int(fd))
    return GuardedStart(guard, is_stopped)


def keep_over_exec(guard: int) -> None:
    """Have the program that replaces this one know its guard."""
    if guard:
        os.environ[guard_record.VARIABLE] = str(guard)


def _report_its_end() -> None:
    """Have the kernel send SIGTERM when the guard ends, which wakes this process. Elsewhere than on Linux the next tick finds
    out."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
