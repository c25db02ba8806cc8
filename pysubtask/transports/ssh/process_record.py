"""The record of a running ssh, by which the next connection ends one that outlived its child."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

from ...common import effective_user, own_files
from ...common.process import process_start
from .askpass import remove_leftover
from .orphans import end_orphans

_ALWAYS = (b"-T", b"-x", b"-a", b"ControlPath=none", b"EscapeChar=none", b"ClearAllForwardings=yes")
"""Arguments of every ssh that pysubtask starts (see ``options``); hardly any other ssh has all of them."""


def write_record(record: str, pid: int, askpass: str, tag: str) -> None:
    """Record a running ssh in the file ``record``, with the folder of its askpass and its tag. OSError where that fails."""
    text = json.dumps({"pid": pid, "start": process_start(pid), "askpass": askpass, "mark": tag})
    own_files.replace(*os.path.split(record), text.encode("ascii"))


def end_leftover(record: str) -> bool:
    """Kill the ssh of an earlier connection if it still runs and is certainly the recorded one, or the processes that it left;
    whether it was running."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        read = json.loads(own_files.read(*os.path.split(record)))
        pid, start = int(read["pid"]), read["start"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    remove_leftover(str(read.get("askpass") or ""))
    if process_start(pid) is None:
        end_orphans(pid, str(read.get("mark") or ""))
        return False
    if not start or process_start(pid) != start or not _is_ssh_of_ours(pid):
        return False
    kill_group(pid, signal.SIGKILL)
    return True


def _is_ssh_of_ours(pid: int) -> bool:
    """Whether a process belongs to this user and has the command line of an ssh that pysubtask starts, as far as the system tells:
    the record alone is no reason to kill a process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(65536).split(b"\0")
            owner = os.fstat(file.fileno()).st_uid
    except OSError:
        return not os.path.exists("/proc/self/cmdline")
    return owner == effective_user.now() and set(_ALWAYS) <= set(words)


def kill_group(pid: int, number: int) -> None:
    """Signal a session leader and its group; the process alone in the moment before it became a leader."""
    if sys.platform == "win32":
        raise NotImplementedError
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
