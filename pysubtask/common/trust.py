"""Who else may change what a path leads to: whether files of this package are safe in a folder.

A folder is safe where nobody but this user and root may rename, remove or replace what is in it, and the same holds for every
folder above it. One that others may write is safe above ours only if it is sticky (as ``/tmp`` is) and what is below it belongs
to this user or root. A group counts as nobody else where it is the user's own: named like the user, without other members.
"""

import os
import stat
import sys
from collections.abc import Mapping
from typing import NamedTuple

from . import account, effective_user

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Doubt(NamedTuple):
    """``folder``: the part of the path that somebody else may change; ``problem``: why, as the end of a sentence."""

    folder: str
    problem: str

    def __str__(self) -> str:
        return f"{self.folder} {self.problem}"


def doubt_about(path: str, *, ours_below: bool = False) -> Doubt | None:
    """Why files of this package are not safe in the folder ``path`` (absolute, there); None where they are. ``ours_below``: they
    lie in a folder of this package in it. Always None on a system without users and modes. Raises OSError where a part of the
    path cannot be read."""
    if not hasattr(os, "geteuid"):
        return None
    parts = _parts(os.path.realpath(path))
    found = [os.lstat(part) for part in parts]
    for index, (part, info) in enumerate(zip(parts, found, strict=True)):
        below = found[index + 1].st_uid if index + 1 < len(found) else effective_user.now() if ours_below else None
        problem = _problem(info, below)
        if problem:
            return Doubt(part, problem)
    return None


def _problem(info: os.stat_result, below: int | None) -> str:
    """``below``: whose the next folder on the way is, None for the last."""
    me = effective_user.now()
    if info.st_uid not in (0, me):
        return "belongs to another user"
    others = info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and not is_own_group(info.st_gid, me))
    if not others:
        return ""
    if info.st_mode & stat.S_ISVTX and below in (0, me):
        return ""
    return "may be written by others" if info.st_mode & stat.S_IWOTH else "may be written by its group"


def owners(environ: Mapping[str, str] = os.environ) -> frozenset[int]:
    """The users whose files this process obeys: this user, root, and for root who typed the command behind sudo, since he may do
    all this anyway."""
    me = effective_user.now()
    behind = environ.get("SUDO_UID", "") if me == 0 else ""
    return frozenset((0, me, *([int(behind)] if behind.isdecimal() else [])))


def others_write(found: os.stat_result) -> bool:
    """Whether others than its owner may write a file or folder with this stat."""
    if stat.S_ISCHR(found.st_mode) or not found.st_mode & _OTHERS:
        return False
    return bool(found.st_mode & stat.S_IWOTH) or not is_own_group(found.st_gid, found.st_uid)


def user_name(uid: int) -> str:
    """A user's name; his number where he has none."""
    return account.name_of(uid) or str(uid)


def is_own_group(gid: int, uid: int) -> bool:
    """Whether a group is one user's own: of his name, with him as the only member. Distributions make one for each user, and
    home folders with a umask of 002 are writable by it."""
    if uid == 0 and gid == 0:
        return True
    if sys.platform == "win32":
        return False
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _parts(path: str) -> list[str]:
    """The path and every folder above it, the highest first."""
    parts = [path]
    while (above := os.path.dirname(parts[-1])) != parts[-1]:
        parts.append(above)
    return parts[::-1]
