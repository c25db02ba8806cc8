"""The child's page about itself: ``status.json`` in the state folder, written whole, read whole."""

import json
from typing import Any

from . import own_files
from .state_files import STATUS

FILE = STATUS
FORMAT = 1


def write_status(state_dir: str, page: dict[str, Any], group: int | None = None) -> None:
    """Replace the page in one step. ``group``: the number of a group that may read it. Raises OSError (disk full, folder gone,
    folder not ours)."""
    data = json.dumps({"format": FORMAT, **page}).encode("ascii")
    try:
        own_files.replace(state_dir, FILE, data, group=group)
    except PermissionError:
        # The user was taken out of the group since the start: his own commands need the page all the same.
        if group is None:
            raise
        own_files.replace(state_dir, FILE, data)


def read_status(state_dir: str, *, any_owner: bool = True) -> dict[str, Any] | None:
    """The page, or None where there is none or it cannot be read. ``any_owner``: that of another user is read too, for display; a
    caller that acts on the content passes False."""
    try:
        return _parsed(own_files.read(state_dir, FILE, any_owner=any_owner))
    except OSError:
        return None


def read_shared_status(state_dir: str, uid: int) -> dict[str, Any] | None:
    """The page of a task of the user ``uid`` that a group of this process's user may see; None where there is none. To be shown
    alone."""
    try:
        return _parsed(own_files.read_shared(state_dir, FILE, uid))
    except OSError:
        return None


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        page = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) and page.get("format") == FORMAT else None
