"""The path of an upload's temporary file: the recorded name, or another form of it where a server refuses such a name.

Pure. Each form follows from the recorded name and the name of the file, so the temporary file can be found from these two.
"""

from __future__ import annotations

import re

FOLDER = b"pysubtask-temp"
_LEFT = re.compile(rb"\.left(\d*)(?!.*\.left)")
_LONGEST_ENDING = 20  # bytes: a name with more behind its last dot has no ending by which a server judges it
_FORMS = ("hidden", "hidden_ending", "visible", "ending", "subfolder")


def formed(recorded: bytes, rung: str, target: bytes) -> bytes:
    """The path for a rung of ``means.TEMP`` and a file to be published as ``target``; for 'in_place' the recorded path."""
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
    """All paths that the temporary file may have."""
    return list(dict.fromkeys(formed(recorded, rung, target) for rung in _FORMS))


def beside(path: bytes, tag: bytes) -> bytes:
    """Another name of the same kind: with a tag behind it, or before the ending that it has from the file it is for."""
    folder, slash, name = path.rpartition(b"/")
    stem, dot, ending = name.rpartition(b".")
    if stem and name.lstrip(b".").startswith(b"pysubtask-") and ending != b"part":
        return folder + slash + stem + tag + dot + ending
    return path + tag


def moved_on(path: bytes) -> bytes:
    """The next path of a temporary file that cannot be removed: another one each time, so that no late rename finds the file."""
    folder, slash, name = path.rpartition(b"/")
    found = _LEFT.search(name) if name.lstrip(b".").startswith(b"pysubtask-") else None
    if found is None:
        return beside(path, b".left")
    number = int(found[1] or 1) + 1
    return folder + slash + name[: found.start()] + b".left%d" % number + name[found.end() :]


def own_folder(path: bytes) -> bytes | None:
    """The folder for temporary files (``FOLDER``) that this path is in, or None."""
    if FOLDER not in path:
        return None
    folder = path.rpartition(b"/")[0]
    return folder if folder.rpartition(b"/")[2] == FOLDER else None
