"""What the master does in the state folder of a child."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Sequence

from ..common import own_files, own_folders
from ..common.notify import HOLD, NOTIFY, data_name, read_stamp, remove_signal
from ..common.state_files import HANDLED

HANDLED_FILE = HANDLED
_MOST_BYTES = 256 * 1024 * 1024  # a stamp each of a million files


def make_ready(state_dir: str, folder: str = "", *, fresh: bool = True) -> None:
    """Make the folder, of mode 0700 whatever the app's umask, and, for a ``fresh`` child, remove an earlier one's list of
    handled stamps.

    That list does not hold for later notifies. ``folder``: the first watched one; '' takes the one that
    the state folder lies in. OSError where the state folder cannot be made or belongs to another user, FileNotFoundError where the
    watched folder is missing: that one is never made here.
    """
    folder = folder or os.path.dirname(os.path.dirname(os.path.dirname(state_dir)))
    if not os.path.exists(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if f"{os.sep}{own_folders.STATE_FOLDER}{os.sep}" in state_dir:
        own_folders.make_folder(state_dir)
    else:
        from ..common.state_place import make_outside

        make_outside(state_dir, folder)
    if fresh:
        own_files.remove(state_dir, HANDLED_FILE)


def remove_handled(state_dirs: Sequence[str], watched: Callable[[str], bool], logger: logging.Logger) -> None:
    """Remove the notify and hold files whose present stamp every destination lists as handled.

    Only those of data files that are ``watched`` are removed, whatever the lists hold.
    """
    first, *others = [_read_handled(state_dir) for state_dir in state_dirs]
    for path, stamp in first.items():
        if not path.endswith((NOTIFY, HOLD)) or not watched(data_name(path)):
            continue
        if any(other.get(path) != stamp for other in others):
            continue
        try:
            # Read right before: a touch since the list was written is a new notify and keeps its file.
            found = read_stamp(path)
            if found is not None and list(found) == stamp:
                remove_signal(path)
        except (OSError, ValueError) as exc:
            logger.warning("Signal file [%s] cannot be removed (%s).", path, exc)


def _read_handled(state_dir: str) -> dict[str, list[int]]:
    try:
        found = json.loads(own_files.read(state_dir, HANDLED_FILE, most=_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
