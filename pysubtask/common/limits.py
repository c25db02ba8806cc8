"""Why the system starts no more processes or threads (EAGAIN of fork(2) and clone(2)): which limit it is, and how to raise it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

Read = Callable[[str], str | None]
_CGROUPS = "/sys/fs/cgroup"
_THREADS = "can't start new thread"  # threading's RuntimeError has no number


class Limit(NamedTuple):
    """``name``: as its manual calls it; ``most``: what it allows; ``used``: how many there are, None where that is not known;
    ``where``: the file or the users it counts for."""

    name: str
    most: int
    used: int | None
    where: str

    def __str__(self) -> str:
        return f"{self.name} is {self.most}" + (f", {self.used} in use" if self.used is not None else "") + f" ({self.where})"


def is_limit(exc: BaseException) -> bool:
    """Whether an error says that a process or thread could not be started for want of room."""
    return (isinstance(exc, OSError) and exc.errno == errno.EAGAIN) or (isinstance(exc, RuntimeError) and _THREADS in str(exc))


def read_text(path: str) -> str | None:
    """The text of a small file of the kernel; None where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def limits(read: Read = read_text) -> list[Limit]:
    """What bounds the processes and threads of this process, the narrowest first."""
    found = [*_of_user(read), *_of_cgroups(read)]
    return sorted(found, key=lambda one: one.most - (one.used or 0))


def reached(read: Read = read_text) -> str:
    """The words for an error: the limits, or that none is known."""
    found = limits(read)
    narrowest = "; ".join(map(str, found[:2])) if found else "the kernel does not tell which"
    return f"the system starts no more processes or threads: {narrowest}"


REMEDY = (
    "Raise it (LimitNPROC= or TasksMax= of the service, 'pids' of the container, nproc in /etc/security/limits.conf), or end "
    "what uses them up"
)
"""What to do about it."""


def words(read: Read = read_text) -> str:
    """Both, for an error of a transport."""
    return f"{reached(read)}. {REMEDY}"


def _of_user(read: Read) -> Iterator[Limit]:
    """RLIMIT_NPROC, from /proc/self/limits: 'Max processes  15000  15000  processes'. It does not bind root."""
    if hasattr(os, "getuid") and os.getuid() == 0:
        return
    for line in (read("/proc/self/limits") or "").splitlines():
        numbers = line.removeprefix("Max processes").split()
        if line.startswith("Max processes") and numbers and numbers[0].isdigit():
            uid = os.getuid() if hasattr(os, "getuid") else -1
            yield Limit("RLIMIT_NPROC", int(numbers[0]), threads_of(uid), f"all processes and threads of the user {uid}")


def threads_of(uid: int) -> int | None:
    """How many threads a user has; None where /proc does not tell."""
    count = 0
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return None
    for name in names:
        try:
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # it has ended meanwhile
    return count or None


def _of_cgroups(read: Read) -> Iterator[Limit]:
    """pids.max of the control group and of those above it: version 2 ('0::/system.slice/x'), and version 1 ('5:pids:/x')."""
    for line in (read("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers not in ("", "pids"):
            continue
        base = _CGROUPS if not controllers else f"{_CGROUPS}/pids"
        parts = [part for part in path.split("/") if part and part != ".."]
        for count in range(len(parts), -1, -1):
            folder = "/".join([base, *parts[:count]])
            most = (read(f"{folder}/pids.max") or "").strip()
            if most.isdigit():
                used = (read(f"{folder}/pids.current") or "").strip()
                yield Limit("pids.max", int(most), int(used) if used.isdigit() else None, folder)
