"""Another state folder of a task: whether it holds a queue, whether it is this user's, and what a person has to do about it."""

from __future__ import annotations

import os
import stat
from typing import Any

from ..common import advice, effective_user, own_files, own_folders
from ..common.own_folders import NotOurs
from ..common.state_place import SPOOL


def may_hold_queue(folder: str) -> bool:
    """Whether there is a queue in a state folder, or the folder exists and its files cannot be listed."""
    try:
        os.lstat(os.path.join(folder, SPOOL))
    except PermissionError:
        return os.path.lexists(folder)
    except OSError:
        return False
    return True


def check(folder: str) -> None:
    """Raise NotOurs where a state folder, or one of the folders of this program above it, belongs to another user, or other users
    may write it."""
    found = os.lstat(folder)
    # The mode is checked before the folder is opened, because that corrects the mode: a folder that others could write may hold
    # their files.
    if stat.S_ISDIR(found.st_mode) and found.st_uid == effective_user.now() and found.st_mode & 0o022:
        raise NotOurs(folder, f"may be written by others (mode {stat.S_IMODE(found.st_mode):04o})")
    with own_folders.opened_folder(folder):
        pass
    handle = own_files.open_read(folder, SPOOL)
    os.close(handle)


def not_ours(folder: str, problem: str) -> str:
    """What a person has to do about a state folder that is not this user's."""
    command = advice.list_path(folder)
    return (
        f"a state folder of this task is in {folder}, and is not read: it {problem}. See whose it is: {command}. Where it belongs "
        "to another task, give this one another TaskName; else whoever made it has to take it away. This task begins then"
    )


def two_queues(one: str, other: str) -> str:
    """What a person has to do where a task has a queue in each of two folders."""
    return (
        f"there are two queues of this task, in {one} and in {other}, so nothing is sent from either. Look which one is older "
        f"({advice.list_path(os.path.join(one, SPOOL))}), move that folder elsewhere, and this task goes on with the other"
    )


def fingerprint_of(folder: str) -> dict[str, int]:
    """Size and modification time of the queue in a state folder, by which a later change of it is noticed. Raises OSError."""
    found = os.lstat(os.path.join(folder, SPOOL))
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def fits(old: str, note: dict[str, Any]) -> bool:
    """Whether this is the very queue that was copied, unchanged since."""
    return note == {"from": old, **fingerprint_of(old)}
