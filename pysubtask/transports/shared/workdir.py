"""The folder in which a transport keeps its records: the state folder of its child, or a folder of the caller's."""

from __future__ import annotations

from ...common import own_files
from ...common.errors import TransportLost


def make_workdir(path: str) -> None:
    """Make it, for this user alone, where it is missing. Raises TransportLost where that cannot be done, also because the folder
    above it is missing: that one may be on a disk that is not mounted."""
    try:
        own_files.make_folder(path, deep=False)
    except OSError as exc:
        raise TransportLost(f"the work folder cannot be made: {exc}") from exc
