"""Processes of the test servers: those below one, whether they live, signals to them, and their end with this process (Linux)."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """The living processes below one (Linux)."""
    below: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent(int(entry))) is not None:
            below.setdefault(parent, []).append(int(entry))
    found, pending = [], [pid]
    while pending:
        for child in below.get(pending.pop(), []):
            found.append(child)
            pending.append(child)
    return found


def dies_with_us() -> list[str]:
    """Words in front of a command that end it with this process, however that ends; not from a thread, which ends earlier."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _stat(pid: int) -> tuple[str, str, int] | None:
    """Name, state, parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    state, parent = tail.split()[:2]
    return head.partition("(")[2], state, int(parent)


def _parent(pid: int) -> int | None:
    found = _stat(pid)
    return found[2] if found is not None and found[1] != "Z" else None


def name(pid: int) -> str:
    """The name of a process; '' where there is none."""
    found = _stat(pid)
    return found[0] if found is not None else ""


def is_running(pid: int) -> bool:
    """Whether a process lives, and is no zombie."""
    found = _stat(pid)
    return found is not None and found[1] != "Z"


def send(pid: int, number: int) -> None:
    """Send a signal; does nothing where the process has ended or belongs to another user."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
