"""The settings a child runs with, in ``settings.json`` of its state folder, secrets masked: for those who ask without the child."""

import json
from typing import Any

from . import own_files
from .state_files import SETTINGS

FILE = SETTINGS
_MOST_BYTES = 64 * 1024 * 1024  # it names every watch entry, of which there may be a hundred thousand


def read_settings_page(state_dir: str, *, any_owner: bool = True) -> dict[str, Any]:
    """What the child last wrote: ``settings``, ``live``, ``kept``, ``watched``; empty where it cannot be read. ``any_owner``:
    that of another user is read too, for display; a caller that acts on the content passes False."""
    try:
        page = json.loads(own_files.read(state_dir, FILE, any_owner=any_owner, most=_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return page if isinstance(page, dict) else {}
