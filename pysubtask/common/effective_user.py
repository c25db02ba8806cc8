"""The user whose rights this process has.

A child keeps its user for as long as it lives and needs it for each check of a file, so it asks the system once. Any other
process may change its user at any moment, as an app does that gives up the rights of root: there each check asks the system.
"""

from __future__ import annotations

import os

_kept: int | None = None


def now() -> int:
    """The number of the user whose rights this process has at this moment; -1 where the system has no users."""
    return os.geteuid() if hasattr(os, "geteuid") else -1


def number() -> int:
    """The same, without asking again where this process keeps its user."""
    return now() if _kept is None else _kept


def keep() -> None:
    """Note that this process keeps the rights of its present user. A process that is forked from it may change its user."""
    global _kept
    _kept = now()


def forget() -> None:
    """Ask the system again."""
    global _kept
    _kept = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
