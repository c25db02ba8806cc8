"""Who this process is: a number, and whether the system has an entry for it. In a container it often has none."""

from __future__ import annotations

import os
import sys


def uid() -> int:
    """The user's number; -1 where there are none."""
    return os.getuid() if hasattr(os, "getuid") else -1


def name_of(uid: int) -> str:
    """The name of a user; '' where the system has no entry for him, or no users."""
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def home_of(uid: int) -> str:
    """The home of a user; '' where the system has no entry for him, or no users."""
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""


def has_entry() -> bool:
    """Whether the user has an entry in the passwd database; True where there is no such thing. ssh(1) does nothing without."""
    if sys.platform == "win32":
        return True
    import pwd

    try:
        pwd.getpwuid(uid())
    except KeyError:
        return False
    return True
