"""Files of earlier runs that a running child shall deliver too: a list in its state folder, taken away when read."""

from __future__ import annotations

import json
import os

from . import own_files
from .state_files import RESIDUAL

FILE = RESIDUAL
_MOST_BYTES = 256 * 1024 * 1024  # a list of a million long paths


def offer(state_dir: str, paths: list[str]) -> None:
    """Leave the list for the child, in place of one it has not read yet. Raises OSError."""
    own_files.replace(state_dir, FILE, json.dumps(paths).encode("ascii"))


def take(state_dir: str) -> list[str]:
    """The list, once; empty where there is none or it cannot be read."""
    taken = FILE + ".taken"
    try:
        # Most ticks there is none: this costs them one call.
        if not os.path.lexists(os.path.join(state_dir, FILE)):
            return []
        # Out of the way first: a new list that comes now is the next one.
        own_files.rename(state_dir, FILE, taken)
        found = json.loads(own_files.read(state_dir, taken, most=_MOST_BYTES))
        own_files.remove(state_dir, taken)
    except (OSError, ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
