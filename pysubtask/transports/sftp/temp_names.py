"""Where the temporary file of an upload stands: the name that is on record, or another where a server takes no such name.

Pure. Each form follows from the recorded name, so whoever knows that one finds the file whatever form it got.
"""

from __future__ import annotations

FOLDER = b"pysubtask-temp"


def formed(recorded: bytes, rung: str) -> bytes:
    """The path for a rung of ``means.TEMP``; 'in_place' has none, and gets the recorded one."""
    folder, slash, name = recorded.rpartition(b"/")
    if rung == "visible":
        return folder + slash + name.lstrip(b".")
    if rung == "subfolder":
        return folder + slash + FOLDER + b"/" + name.lstrip(b".")
    return recorded


def every(recorded: bytes) -> list[bytes]:
    """All paths that it may have got."""
    return list(dict.fromkeys(formed(recorded, rung) for rung in ("hidden", "visible", "subfolder")))


def own_folder(path: bytes) -> bytes | None:
    """The folder made for temporary files that this path is in, or None."""
    folder = path.rpartition(b"/")[0]
    return folder if folder.rpartition(b"/")[2] == FOLDER else None
