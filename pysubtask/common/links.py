"""Which links in a watched folder are followed: those to a plain file in that very folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Container

from .place import real_path


def why_not_followed(path: str, folder: str, skip: Container[str] = ()) -> str:
    """Why the link at ``path``, in ``folder``, is no data file; '' where it is one. ``skip``: absolute paths that are no data."""
    real = real_path(path)
    try:
        plain = stat.S_ISREG(os.lstat(real).st_mode)
    except OSError:
        return "it is a link to what is not there, or cannot be read"
    if not plain:
        return "it is a link to what is no plain file"
    if os.path.dirname(real) != real_path(folder):
        return f"it is a link that leads out of its folder, to {real}: a 'file' entry sends that"
    return f"it is a link to {real}, which is never sent" if real in skip else ""
