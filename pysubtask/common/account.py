"""Who this process is: a number, and whether the system has an entry for it. In a container it often has none."""

from __future__ import annotations

import os


def uid() -> int:
    """The user's number; -1 where there are none."""
    return os.getuid() if hasattr(os, "getuid") else -1


def has_entry() -> bool:
    """Whether the user has an entry in the passwd database; True where there is no such thing. ssh(1) does nothing without."""
    try:
        import pwd
    except ImportError:
        return True
    try:
        pwd.getpwuid(uid())
    except KeyError:
        return False
    return True
