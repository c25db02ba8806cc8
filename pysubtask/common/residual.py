"""Files of earlier runs that a running child shall deliver too: a list in its state folder, taken away when read."""

from __future__ import annotations

import json
import os

FILE = "residual.json"


def offer(state_dir: str, paths: list[str]) -> None:
    """Leave the list for the child, in place of one it has not read yet. Raises OSError."""
    path = os.path.join(state_dir, FILE)
    handle = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        json.dump(paths, file)
    os.replace(path + ".part", path)


def take(state_dir: str) -> list[str]:
    """The list, once; empty where there is none or it cannot be read."""
    path = os.path.join(state_dir, FILE)
    try:
        # Out of the way first: a new list that comes now is the next one.
        os.rename(path, path + ".taken")
        with open(path + ".taken", "rb") as file:
            found = json.load(file)
        os.unlink(path + ".taken")
    except (OSError, ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
