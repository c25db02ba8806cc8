"""Processes that outlived an ssh child: a ProxyCommand, where ssh was killed before it could end it.

Two properties together identify such a process: it belongs to the group that ssh led, and its environment has the tag that only
this ssh was given. Linux only; on other systems no process is found and none is killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys

TAG = "PYSUBTASK_SSH"
"""Environment variable that holds the tag of one ssh."""


def new_tag() -> str:
    """A new random tag."""
    return secrets.token_hex(8)


def end_orphans(group: int, tag: str) -> int:
    """Kill the processes of a group that have this tag, after the group's leader has ended; their number."""
    if sys.platform == "win32":
        raise NotImplementedError
    if group <= 1 or not tag:
        return 0
    entry = f"{TAG}={tag}".encode()
    count = 0
    for pid in _members(group):
        if entry not in _environment(pid):
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def _members(group: int) -> list[int]:
    if sys.platform == "win32":
        raise NotImplementedError
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            with contextlib.suppress(OSError, ValueError):
                if os.getpgid(int(name)) == group and int(name) != os.getpid():
                    found.append(int(name))
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []
