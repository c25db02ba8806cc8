"""Processes as the torture sees them: alive or not, what they use, their ends (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NamedTuple


class Uses(NamedTuple):
    """The resources of one process: its resident ``memory`` in KiB, its open ``files``."""

    memory: int
    files: int


def uses(pid: int) -> Uses | None:
    """The resources of a process; None where it does not live."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
        return Uses(memory, len(os.listdir(f"/proc/{pid}/fd")))
    except (OSError, StopIteration):
        return None


def name(pid: int) -> str:
    """The name of a process's program, '' where it does not live."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Whether a process lives and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def is_guard(pid: int) -> bool:
    """Whether a process is the guard of a child: its command line has that of the child in it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"pysubtask-guard" in file.read()
    except OSError:
        return False


def send(pid: int, number: int = getattr(signal, "SIGKILL", signal.SIGTERM)) -> bool:
    """Send a signal; whether there was a process to take it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
