"""Where the temporary file of an upload stands: the name that is on record, or another where a server takes no such name.

Pure. Each form follows from the recorded name and that of the file, so whoever knows both finds it whatever form it got.
"""

from __future__ import annotations

import re

FOLDER = b"pysubtask-temp"
_LEFT = re.compile(rb"\.left(\d*)(?!.*\.left)")
_LONGEST_ENDING = 20
_FORMS = ("hidden", "hidden_ending", "visible", "ending", "subfolder")


def formed(recorded: bytes, rung: str, target: bytes) -> bytes:
    """The path for a rung of ``means.TEMP``, of a file that is to be ``target``; 'in_place' has none, and gets the recorded one."""
    folder, slash, name = recorded.rpartition(b"/")
    if rung in ("hidden_ending", "ending"):
        name = name if rung == "hidden_ending" else name.lstrip(b".")
        stem = name.rpartition(b".")[0] or name
        _, dot, ending = target.rpartition(b"/")[2].rpartition(b".")
        return folder + slash + stem + (dot + ending[:_LONGEST_ENDING] if ending else b"")
    if rung == "visible":
        return folder + slash + name.lstrip(b".")
    if rung == "subfolder":
        return folder + slash + FOLDER + b"/" + name.lstrip(b".")
    return recorded


def every(recorded: bytes, target: bytes) -> list[bytes]:
    """All paths that it may have got."""
    return list(dict.fromkeys(formed(recorded, rung, target) for rung in _FORMS))


def beside(path: bytes, tag: bytes) -> bytes:
    """Another name of the same kind: with a tag behind it, or before the ending that it has from the file it is for."""
    folder, slash, name = path.rpartition(b"/")
    stem, dot, ending = name.rpartition(b".")
    if stem and name.lstrip(b".").startswith(b"pysubtask-") and ending != b"part":
        return folder + slash + stem + tag + dot + ending
    return path + tag


def moved_on(path: bytes) -> bytes:
    """The next name of a temporary file that cannot be removed: another each time, so that no old request to rename it finds it."""
    folder, slash, name = path.rpartition(b"/")
    found = _LEFT.search(name) if name.lstrip(b".").startswith(b"pysubtask-") else None
    if found is None:
        return beside(path, b".left")
    number = int(found[1] or 1) + 1
    return folder + slash + name[: found.start()] + b".left%d" % number + name[found.end() :]


def own_folder(path: bytes) -> bytes | None:
    """The folder made for temporary files that this path is in, or None."""
    if FOLDER not in path:
        return None
    folder = path.rpartition(b"/")[0]
    return folder if folder.rpartition(b"/")[2] == FOLDER else None
