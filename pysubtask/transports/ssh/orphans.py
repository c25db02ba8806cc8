"""What an ssh of ours had started and that outlived it: a ProxyCommand, where ssh was killed before it could end it.

Such a process is known by two things together: it is of the group that ssh led, and has in its environment the tag that this ssh
alone was given. Linux; elsewhere nothing is found and nothing is ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal

TAG = "PYSUBTASK_SSH"
"""The variable that holds the tag of one ssh."""


def new_tag() -> str:
    """One that no other ssh has."""
    return secrets.token_hex(8)


def end_orphans(group: int, tag: str) -> int:
    """End the processes of a group whose leader is gone and that have this tag; how many there were."""
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
