"""What is mounted where (proc(5), /proc/self/mountinfo). On a system without that table nothing is known, and that is no error."""

from __future__ import annotations

import os
from typing import NamedTuple

from .place import real_path

TABLE = "/proc/self/mountinfo"


class Mount(NamedTuple):
    """One line: ``point`` where it is mounted, ``kind`` the kernel's name of the file system, ``options`` those of the mount and
    those of the file system."""

    point: str
    kind: str
    options: frozenset[str]


def mounts(table: str = TABLE) -> list[Mount]:
    """All that are mounted, those above others later; none where the system does not tell."""
    found = []
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields = line.split(" ")
                at = fields.index("-")
                options = f"{fields[5]},{fields[at + 3].rstrip()}".split(",")
                found.append(Mount(_plain(fields[4]), fields[at + 1], frozenset(options)))
    except (OSError, ValueError, IndexError):
        return []
    return found


def mount_of(path: str, table: str = TABLE) -> Mount | None:
    """What a path lies on; None where that is not known."""
    return nearest_mount(real_path(path), mounts(table))


def nearest_mount(real: str, known: list[Mount]) -> Mount | None:
    """Which of these a path lies on that has no link in it. Of two on one folder the later one is on top."""
    found: Mount | None = None
    for mount in known:
        if (found is None or len(mount.point) >= len(found.point)) and _is_below(real, mount.point):
            found = mount
    return found


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _plain(field: str) -> str:
    """A field with its blanks and other signs as they are: the kernel writes four of them in octal."""
    if "\\" not in field:
        return field
    begin, *rest = os.fsencode(field).split(b"\\")
    return os.fsdecode(begin + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest))
