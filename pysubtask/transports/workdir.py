"""The folder in which a transport keeps its records: the state folder of its child, or a folder of the caller's."""

from __future__ import annotations

import contextlib
import os

from ..common.errors import TransportLost


def make_workdir(path: str) -> None:
    """Make it, for this user alone, where it is missing. Raises TransportLost where that cannot be done, also because the folder
    above it is missing: that one may be on a disk that is not mounted."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except OSError as exc:
        raise TransportLost(f"the work folder cannot be made: {exc}") from exc
