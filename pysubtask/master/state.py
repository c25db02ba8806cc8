"""The state folder of a child, as far as the master has to do with it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from collections.abc import Callable, Sequence

from ..common.notify import HOLD, NOTIFY, data_name, read_stamp

HANDLED_FILE = "handled.json"


def make_ready(state_dir: str, *, fresh: bool = True) -> None:
    """Make the folder, of mode 0700 whatever the app's umask, and, for a ``fresh`` child, remove an earlier one's list of
    handled stamps.

    That list says nothing about what will be notified from here on. OSError where the folder cannot be
    made, or is another user's, or where there is no watched folder: that one is never made here.
    """
    task = os.path.dirname(state_dir)
    top = os.path.dirname(task)
    for folder in (top, task, state_dir):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
            os.chmod(folder, 0o700)
    found = os.lstat(state_dir)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{state_dir} is not a folder")
    if hasattr(os, "geteuid"):
        if found.st_uid != os.geteuid() != 0:
            raise PermissionError(f"{state_dir} belongs to another user")
        if found.st_mode & 0o077:
            os.chmod(state_dir, 0o700)
    if fresh:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(state_dir, HANDLED_FILE))


def remove_handled(state_dirs: Sequence[str], watched: Callable[[str], bool], logger: logging.Logger) -> None:
    """Remove the notify and hold files whose present stamp every destination lists as handled.

    Only those of data files that are ``watched`` are looked at, whatever the lists say.
    """
    first, *others = [_read_handled(state_dir) for state_dir in state_dirs]
    for path, stamp in first.items():
        if not path.endswith((NOTIFY, HOLD)) or not watched(data_name(path)):
            continue
        if any(other.get(path) != stamp for other in others):
            continue
        try:
            # Looked at right before: a touch since then is news and keeps its file.
            found = read_stamp(path)
            if found is not None and list(found) == stamp:
                os.unlink(path)
        except (OSError, ValueError) as exc:
            logger.warning("Signal file [%s] cannot be removed (%s).", path, exc)


def _read_handled(state_dir: str) -> dict[str, list[int]]:
    try:
        with open(os.path.join(state_dir, HANDLED_FILE), "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
