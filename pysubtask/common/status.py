"""The child's page about itself: ``status.json`` in the state folder, written whole, read whole."""

import json
import os
from typing import Any

FILE = "status.json"
FORMAT = 1


def write_status(state_dir: str, page: dict[str, Any]) -> None:
    """Replace the page in one step. Raises OSError (disk full, folder gone)."""
    path = os.path.join(state_dir, FILE)
    temp = path + ".part"
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(json.dumps({"format": FORMAT, **page}))
    os.replace(temp, path)


def read_status(state_dir: str) -> dict[str, Any] | None:
    """The page, or None where there is none or it cannot be read."""
    try:
        with open(os.path.join(state_dir, FILE), "rb") as file:
            page = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) and page.get("format") == FORMAT else None
