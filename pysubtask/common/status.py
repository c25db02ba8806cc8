"""The child's page about itself: ``status.json`` in the state folder, written whole, read whole."""

import json
from typing import Any

from . import own_files

FILE = "status.json"
FORMAT = 1


def write_status(state_dir: str, page: dict[str, Any]) -> None:
    """Replace the page in one step. Raises OSError (disk full, folder gone, folder not ours)."""
    own_files.replace(state_dir, FILE, json.dumps({"format": FORMAT, **page}).encode("ascii"))


def read_status(state_dir: str, *, look: bool = True) -> dict[str, Any] | None:
    """The page, or None where there is none or it cannot be read. ``look``: another user's is read too, to be shown; who acts
    on what it says passes False."""
    try:
        page = json.loads(own_files.read(state_dir, FILE, look=look))
    except (OSError, ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) and page.get("format") == FORMAT else None
