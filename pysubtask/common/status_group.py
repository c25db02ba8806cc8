"""The group that may see a task (``StatusGroup``): its status page and its record in the registry, and nothing else of it.

Both files get the mode 0640 and the group, and the folders of this package above them may be passed by it (0710), the registry
also listed (0750). The group's members find the task by ``pysubtask status``. Folders that are not ours stay as they are.
"""

import contextlib
import logging
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from . import effective_user, own_folders
from .errors import ConfigError
from .problem import spelt
from .state_place import base_of, home_base, is_inside
from .trust import user_name

KEY = "base.StatusGroup"


def group_id(text: str) -> int:
    """The number of the group that the setting names. ConfigError for what names none."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        import grp
    except ImportError:
        raise ConfigError(KEY, "this system has no groups of that kind", "Leave it out.") from None
    if text.isascii() and text.isdecimal():
        number = int(text)
        if number >= 2**32 - 1:
            raise ConfigError(KEY, f"{text} is no number of a group", "Give its name, or its number as '1000'.")
        return number
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise ConfigError(
            KEY, ("there is no group ", spelt(text), " on this machine"), "Give its name, or its number as '1000'."
        ) from None


def check(text: str) -> None:
    """ConfigError where the setting names no group, or one that this user is not in: he may not give a file to it."""
    if sys.platform == "win32":
        raise NotImplementedError
    number = group_id(text)
    me = effective_user.now()
    if me == 0 or number == os.getegid() or number in os.getgroups():
        return
    late = " (he was added to it after this session began)" if number in _groups_of(me) else ""
    raise ConfigError(
        KEY,
        (f"{user_name(me)} is not in the group ", spelt(text), f"{late}, and may not let it read a file"),
        "Have him added to the group and log in again, or name a group of his.",
    )


def _groups_of(uid: int) -> list[int]:
    if sys.platform == "win32":
        raise NotImplementedError
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return []
    return os.getgrouplist(user.pw_name, user.pw_gid)


def of(settings: Mapping[str, Any]) -> int | None:
    """The group's number; None where no group is to see the task."""
    text = settings.get("StatusGroup")
    with contextlib.suppress(ConfigError):  # one that was checked at the start, and is gone since
        return None if text is None else group_id(text)
    return None


def share(state_dir: str, settings: Mapping[str, Any], log: logging.Logger) -> int | None:
    """Let the group pass the folders of this package that hold the page; its number, None where no group is to see the task, or
    none can: then the state folder is this user's alone again. What keeps the group out is logged."""
    group = of(settings)
    try:
        if group is None:
            own_folders.unshare_folder(state_dir)
            return None
        own_folders.share_folder(state_dir, group)
        if not is_inside(state_dir) and base_of(state_dir) == home_base():
            for path in (home_base(), os.path.dirname(home_base())):
                own_folders.share_folder(path, group)
    except OSError as exc:
        log.warning("The group of StatusGroup does not see this task: %s", exc)
        return None
    return group


def warn_of_closed(paths: Iterable[str], group: int, log: logging.Logger) -> None:
    """Log what keeps the group from the first of these folders that it cannot come to: somebody else's folder stays as it is."""
    closed = next(filter(None, (closed_above(path, group) for path in paths)), "")
    if closed:
        log.warning("The group of StatusGroup does not see this task: it may not pass [%s]", closed)


def closed_above(path: str, group: int) -> str:
    """The highest folder on the path (absolute) that the group cannot pass; '' where it can pass all of them."""
    parts = [os.path.realpath(path)]
    while (above := os.path.dirname(parts[-1])) != parts[-1]:
        parts.append(above)
    for part in reversed(parts):
        try:
            found = os.stat(part)
        except OSError:
            return ""
        if not found.st_mode & (stat.S_IXGRP if found.st_gid == group else stat.S_IXOTH):
            return part
    return ""
