"""The folder in which a transport keeps its records: the state folder of its child, or a folder of the caller's."""

from __future__ import annotations

from ...common import own_folders
from ...common.errors import TransportLost


def make_workdir(path: str) -> None:
    """Create the folder, for this user alone, where it is missing. TransportLost where that fails, also where its parent is
    missing: the parent may be on a disk that is not mounted."""
    try:
        own_folders.make_folder(path, deep=False)
    except OSError as exc:
        raise TransportLost(f"the work folder cannot be made: {exc}") from exc
