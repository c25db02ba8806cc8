"""The files that the settings of a child were read from, as they were then: whether one has changed since.

The list is in the state folder, so that the child and the commands can look. It has paths and dates, and no contents.
"""

import json
import os
from collections.abc import Mapping

from . import own_files
from .state_files import READ_FROM

FILE = READ_FROM
_FORMAT = 1

Stamps = Mapping[str, tuple[str, int, int]]
"""Absolute path -> what it is (``PasswordFile``), its time of change in nanoseconds, its size in bytes."""


def stamps_of(files: Mapping[str, str]) -> dict[str, tuple[str, int, int]]:
    """The stamps of these files (absolute path -> what it is); those that are not there are left out."""
    found = {}
    for path, what in files.items():
        stamp = _stamp(path)
        if stamp is not None:
            found[path] = (what, *stamp)
    return found


def write(state_dir: str, stamps: Stamps) -> None:
    """Keep the stamps for this child. Raises OSError."""
    own_files.replace(state_dir, FILE, json.dumps({"format": _FORMAT, "files": stamps}).encode("ascii"))


def changed(state_dir: str) -> list[tuple[str, str]]:
    """The files that differ from what was read: (what it is, path). Empty where no list was kept; a file that is gone is left
    out, since it has no new values."""
    try:
        found = json.loads(own_files.read(state_dir, FILE, any_owner=True))
        rows = [(str(path), str(what), (mtime, size)) for path, (what, mtime, size) in found["files"].items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [(what, path) for path, what, before in rows if (now := _stamp(path)) is not None and now != before]


def change_text(state_dir: str, config_file: str) -> str:
    """In words, with what takes it up: '' where nothing has changed. ``config_file``: that of 'pysubtask run', '' for an app's own
    config."""
    files = changed(state_dir)
    if not files:
        return ""
    names = " and ".join(f"{what} ({path})" for what, path in files)
    how = "'pysubtask reload' takes it up" if config_file else "a restart of the app takes it up"
    return f"{names} {'was' if len(files) == 1 else 'were'} changed after the start; {how}"


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
