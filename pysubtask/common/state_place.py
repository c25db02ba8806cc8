"""Where a task keeps its state: in its first folder, or, where others may write that, in a folder of this user's own.

The rule, so that there is never a second, forgotten queue: a setting ``StateFolder`` wins; else a queue outside of the first folder
stays where it is; else the state is in the first folder, unless other users may write there. Other places that may hold a queue
of the task are returned as well: the child moves a queue that it finds there, and refuses to begin a second one.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from . import own_files, registry
from .own_folders import STATE_FOLDER, make_folder, opened_folder
from .state_files import MOVED_TO as MOVED_TO
from .state_files import QUEUE
from .trust import doubt_about

SPOOL = QUEUE
"""In a state folder of the first folder that was moved: where to. Its ``spool.db`` is an empty one of a later format."""
PATH_FILE = "folder"
"""Beside the state of the tasks of one first folder: the path of that folder, for people."""
SNAPSHOTS = "snapshots"
STATE_DIRECTORY = "STATE_DIRECTORY"
_HASH_SIGNS = 20  # 80 bits: no two folders of a machine share them by chance
_MOST_BYTES = 65536  # of a file with one path in it


class Placed(NamedTuple):
    """``state_dir``: the state folder, absolute. ``base``: the folder it is kept in, '' for the first watched one. ``why``: why it
    is not kept there, as a sentence without its full stop; '' where it is. ``named_by``: the setting or variable that names
    ``base``. ``others``: the other places that may hold a queue of this task."""

    state_dir: str
    base: str = ""
    why: str = ""
    named_by: str = ""
    others: tuple[str, ...] = ()


def place(
    folder: str, task: str, extension: str, state_folder: str | None = None, environ: Mapping[str, str] = os.environ
) -> Placed:
    """Where the state is to be; ``folder`` is the first watched one (it may be missing), ``state_folder`` the setting. Nothing is
    made."""
    inside = inside_of(folder, task, extension)
    below = os.path.join(hash_of(folder), task, extension)
    bases = [base for base in (_of_systemd(environ), home_base(environ)) if base]
    recorded = _recorded(inside)
    outside = [path for path in recorded if not is_inside(path)] + [os.path.join(base, below) for base in bases]
    known = list(dict.fromkeys([*recorded, inside, *outside]))
    doubt = _doubt(folder)
    kept = next((path for path in outside if has_queue(path)), None)
    if state_folder is not None:
        base, why, named_by = os.path.abspath(os.path.expanduser(state_folder)), "the setting StateFolder says so", "StateFolder"
        chosen = os.path.join(base, below)
    elif kept is not None or doubt:
        chosen = kept or os.path.join(bases[0], below)
        base = base_of(chosen)
        why = f"{doubt}, so it would not be safe there" if doubt else "it was kept there before"
        named_by = f"${STATE_DIRECTORY}" if base == _of_systemd(environ) else "$XDG_STATE_HOME"
    else:
        return Placed(inside, others=tuple(path for path in known if path != inside))
    return Placed(chosen, base, why, named_by, tuple(path for path in known if path != chosen))


def inside_of(folder: str, task: str, extension: str) -> str:
    """The state folder of a task that keeps its state in its first folder; in any case the key of its record."""
    return os.path.join(folder, STATE_FOLDER, task, extension)


def is_inside(state_dir: str) -> bool:
    """Whether a state folder lies in a watched folder."""
    return f"{os.sep}{STATE_FOLDER}{os.sep}" in state_dir


def own_folders(state_dir: str, folder: str) -> list[str]:
    """The folders with the state of tasks that watch ``folder`` first: nothing in them is data."""
    top = os.path.dirname(os.path.dirname(state_dir))
    return list(dict.fromkeys([top, os.path.join(folder, STATE_FOLDER)]))


def base_of(state_dir: str) -> str:
    """The folder that a state folder out of the watched ones is kept in: StateFolder, or the default in its place."""
    return os.path.dirname(os.path.dirname(os.path.dirname(state_dir)))


def hash_of(folder: str) -> str:
    """The name of a first folder in the paths of its tasks' state: a hash of its real path."""
    return hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:_HASH_SIGNS]


def home_base(environ: Mapping[str, str] = os.environ) -> str:
    """The folder for state in the user's home."""
    if os.name == "nt":
        return os.path.join(environ.get("LOCALAPPDATA") or os.path.expanduser("~"), "pysubtask", "state")
    return os.path.join(environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "pysubtask", "state")


def tops(folder: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The folders in which tasks that watch ``folder`` first may have their state, as far as that is known without a record."""
    bases = [base for base in (_of_systemd(environ), home_base(environ)) if base]
    return [os.path.join(folder, STATE_FOLDER), *(os.path.join(base, hash_of(folder)) for base in bases)]


def snapshots_in(bak: str | None, default: object, folder: str, state_dir: str) -> str | None:
    """The folder of the snapshots (absolute) for the setting ``bak`` (BakToFolder); the ``default`` one, hidden or not,
    goes with the state."""
    if bak is None:
        return None
    if bak in (default, f".{default}") and not is_inside(state_dir):
        return os.path.join(state_dir, SNAPSHOTS)
    return os.path.normpath(os.path.join(folder, bak))


def has_queue(state_dir: str) -> bool:
    """Whether there is a queue in a state folder that was not moved elsewhere."""
    return os.path.lexists(os.path.join(state_dir, SPOOL)) and not os.path.lexists(os.path.join(state_dir, MOVED_TO))


def holding(state_dir: str, others: Iterable[str]) -> str:
    """Where the queue is now that is to be in ``state_dir``: there, or in one of the other places that are this user's."""
    if not has_queue(state_dir):
        for other in others:
            with contextlib.suppress(OSError):
                if has_queue(other):
                    with opened_folder(other):
                        return other
    return state_dir


def why_away(inside: str) -> str:
    """Why the state folder that a task had last, out of its first folder, cannot be reached now: its disk is not mounted; '' where
    it can, or where somebody has removed it."""
    from .place import why_not

    for path in _recorded(inside):
        if is_inside(path) or os.path.lexists(path):
            continue
        record = registry.known(inside)
        why = why_not(base_of(path), path, device=record.state_device if record is not None else None)
        if why:
            return f"its state is in {path}, and {why}"
    return ""


def make_outside(state_dir: str, folder: str) -> None:
    """Have a state folder there that is not in the watched ``folder``, with those above it, for this user alone, and the path of
    that folder in a file beside it. Raises OSError."""
    base, missing = base_of(state_dir), []
    while not os.path.isdir(base):
        missing.append(base)
        base = os.path.dirname(base)
    for path in reversed(missing):
        make_folder(path)
    make_folder(state_dir)
    top, text = os.path.dirname(os.path.dirname(state_dir)), os.fsencode(os.path.realpath(folder)) + b"\n"
    try:
        if own_files.read(top, PATH_FILE, most=_MOST_BYTES) == text:
            return
    except FileNotFoundError:
        pass  # the first task of this folder
    own_files.replace(top, PATH_FILE, text)


def path_beside(state_dir: str) -> str:
    """The path of the first folder in the file beside a state folder; '' where there is none. For people."""
    try:
        top = os.path.dirname(os.path.dirname(state_dir))
        return os.fsdecode(own_files.read(top, PATH_FILE, any_owner=True, most=_MOST_BYTES)).rstrip("\n")
    except OSError:
        return ""


def _recorded(inside: str) -> list[str]:
    """Where the state was last: by the record of the task, else by the note that a move has left."""
    record = registry.known(inside)
    found = [] if record is None else [record.state_dir]
    if os.path.lexists(os.path.join(inside, MOVED_TO)):
        # One that is not ours, or cannot be read, is not believed.
        with contextlib.suppress(OSError):
            found.append(os.fsdecode(own_files.read(inside, MOVED_TO, most=_MOST_BYTES)).rstrip("\n"))
    return [path for path in dict.fromkeys(found) if os.path.isabs(path)]


def _of_systemd(environ: Mapping[str, str]) -> str:
    found = environ.get(STATE_DIRECTORY, "").partition(":")[0]
    return found if os.path.isabs(found) else ""


def _doubt(folder: str) -> str:
    """Who else may change what is in a folder; of one that is missing, in the folder it will be made in by this user."""
    from .place import existing

    there = existing(folder)
    try:
        doubt = doubt_about(there, ours_below=there != folder)
    except OSError as exc:
        return f"{there} cannot be looked at ({exc.strerror or exc})"
    return "" if doubt is None else str(doubt)
