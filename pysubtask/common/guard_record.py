"""What the guard of a child writes for the master, which reads it at any time: a nameless file of a few lines.

    folder DEVICE INODE "PATH"         the child is started again only while this folder is the same
    started SECOND                     the master has started the guard
    pid PID                            the child runs as this process
    ended STATUS TIMES WAIT SECOND     it has ended by itself, for the TIMES-th time; the next start is at that second
    stop                               the guard was asked to stop
    changed                            the master has another plan for the child: the guard's is not to be started again

Seconds are of the monotonic clock, which is the same in all processes of the machine. A line ``ended`` replaces all lines before
it but those of folders, so the file stays small. A reader may find it empty in the moment of that.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

from .restarts import Restarts

FD = 5
"""The descriptor by which the guard writes to the file: a shell knows those below 10 only."""
VARIABLE = "PYSUBTASK_GUARDED"
"""In the environment of a child with a guard: the guard's process id, and the descriptor of the file."""
_MOST_BYTES = 64 * 1024


class Folder(NamedTuple):
    """A folder, as it was when the master started the guard."""

    path: str
    """Where it is."""
    device: int
    """The device that it is on."""
    inode: int
    """Its number there."""

    def is_there(self) -> bool:
        """Whether it is still the same, and not that of another disk, or none."""
        return folder_of(self.path) == self


def folder_of(path: str) -> Folder | None:
    """How a folder is now; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Folder(path, found.st_dev, found.st_ino)


def line_of(folder: Folder) -> str:
    """The line of the record about this folder."""
    return f"folder {folder.device} {folder.inode} {json.dumps(folder.path)}\n"


class GuardRecord(NamedTuple):
    """``pid``: the child, None while none runs. ``restarts``: as far as the guard has started it again. ``status``: how the child
    last ended by itself, as a shell counts: its exit status, or 128 and the number of a signal; None before. ``is_stopping``:
    whether the guard was asked to stop. ``folders``: what has to be the same at a start. ``is_changed``: the master has another
    plan for the child."""

    pid: int | None = None
    restarts: Restarts = Restarts()
    status: int | None = None
    is_stopping: bool = False
    folders: tuple[Folder, ...] = ()
    is_changed: bool = False


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
            elif word == "folder":
                path = json.loads(line.split(" ", 3)[3])
                found = found._replace(folders=(*found.folders, Folder(path, int(rest[0]), int(rest[1]))))
            elif word == "stop":
                found = found._replace(is_stopping=True)
            elif word == "changed":
                found = found._replace(is_changed=True)
        except (ValueError, IndexError):
            continue
    return found


def read(fd: int) -> GuardRecord:
    """The record in this file; an empty one where it cannot be read."""
    try:
        return parse(os.pread(fd, _MOST_BYTES, 0).decode("ascii", "replace")) if hasattr(os, "pread") else GuardRecord()
    except OSError:
        return GuardRecord()


def replace(status: int, restarts: Restarts, folders: Sequence[Folder], fd: int) -> None:
    """Write that the child has ended by itself, and what the ``folders`` have to be. OSError."""
    line = "".join(map(line_of, folders)) + f"ended {status} {restarts.times} {restarts.wait:g} {restarts.due}\n"
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, line.encode("ascii"))
