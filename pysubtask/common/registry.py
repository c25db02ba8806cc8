"""Which tasks this user runs, or ran, on this machine: one small file each, so that a command finds them without a config.

A child writes its file at its start. The lock of its state folder tells whether the child lives; a file whose state folder is
gone is stale, and the next reader removes it.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from . import own_files, own_folders
from .entries import STATE_FOLDER
from .label import label_of
from .place import why_not

VARIABLE = "PYSUBTASK_REGISTRY"
"""Environment variable: another folder for these files."""
_MOST_BYTES = 65536  # a larger file is no record
_ABOVE = "pysubtask"
"""The folder of this package that holds the registry by default."""
_FIELDS = ("task", "extension", "destination", "state_dir")
_LATER_FIELDS = ("label", "folder", "config_file")


class Record(NamedTuple):
    """One child: its ``task``, ``extension``, ``destination`` (a URL without secrets) and state folder (``state_dir``, absolute).
    ``label``: what people call the task; ``folder``: the first folder it watches; ``config_file``: what its config was read from,
    '' for an app's own config. All three are '' in what an older version wrote (see ``completed``). ``device``: what the folder
    was on, None where that is not known (see ``place``). ``state_device``: the same of a state folder that is not in the watched
    one."""

    task: str
    extension: str
    destination: str
    state_dir: str
    label: str = ""
    folder: str = ""
    config_file: str = ""
    device: int | None = None
    state_device: int | None = None


def folder(environ: Mapping[str, str] = os.environ) -> str:
    """Where the files are: ``$PYSUBTASK_REGISTRY``, else ``pysubtask/tasks`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.
    ``environ``: that of another process."""
    own = environ.get(VARIABLE)
    if own:
        return own
    home = os.path.expanduser("~") if environ is os.environ else environ.get("HOME", os.sep)
    if os.name == "nt":
        return os.path.join(environ.get("LOCALAPPDATA") or home, "pysubtask", "tasks")
    base = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state")
    return os.path.join(base, "pysubtask", "tasks")


def make_folder(name: str = "") -> str:
    """Make the folder for these files, or the one ``name`` in it, for this user alone; its path. Raises OSError."""
    place = _place()
    os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
    own_folders.make_folder(place)
    if name:
        place = os.path.join(place, name)
        own_folders.make_folder(place)
    return place


def completed(record: Record) -> Record:
    """The record with a folder and a label: those of an older version are derived from the path of its state folder."""
    folder = record.folder or os.path.abspath(record.state_dir).rpartition(os.sep + STATE_FOLDER + os.sep)[0]
    return record._replace(folder=folder, label=record.label or label_of(record.task, record.config_file, folder))


def announce(record: Record, group: int | None = None) -> None:
    """Make the child known; a file that says the same is left alone. ``group``: the number of a group that may read it, and list
    the folder. Raises OSError."""
    place, name = _place(), _name_of(record)
    if _read(place, name) == record and own_files.group_of(place, name) == group:
        return
    make_folder()
    if group is not None:
        above = os.path.dirname(place)
        if os.path.basename(above) == _ABOVE:
            own_folders.share_folder(above, group)
        own_folders.share_folder(place, group, own_folders.LISTED)
    own_files.replace(place, name, json.dumps(record._asdict()).encode("ascii"), group=group)


def shared(place: str, uid: int) -> list[Record]:
    """Those in the registry ``place`` of the user ``uid`` that a group of this user's may read, completed; to be shown alone."""
    found = []
    with contextlib.suppress(OSError):
        for name in own_folders.names(place, any_owner=True):
            if name.endswith(".json"):
                with contextlib.suppress(OSError):
                    record = _parsed(own_files.read_shared(place, name, uid, most=_MOST_BYTES))
                    if record is not None:
                        found.append(completed(record))
    return sorted(found, key=lambda record: record[:4])


def known(inside: str) -> Record | None:
    """The record of the child whose state folder this is, or would be if it were kept in its first folder; None: there is none."""
    return _read(_place(), _name(inside))


def file_of(record: Record) -> str:
    """The path of what is known of a child."""
    return os.path.join(_place(), _name_of(record))


def forget(record: Record) -> None:
    """Take away what is known of a child. Raises OSError; one that is gone is no error."""
    with contextlib.suppress(FileNotFoundError):
        own_files.remove(_place(), _name_of(record))


def why_waiting(record: Record) -> str:
    """Why a child's folder cannot be used now: it is missing, or its disk is; '' where it can."""
    return why_not(completed(record).folder, record.state_dir, device=record.device)


def records() -> list[Record]:
    """All that are known and have a state folder still, completed, by task and extension."""
    return _records()[0]


def missing() -> list[Record]:
    """The records, completed, whose folder is missing now, or its disk; by task and extension."""
    return _records()[1]


def _records() -> tuple[list[Record], list[Record]]:
    found: list[Record] = []
    away: list[Record] = []
    place = _place()
    try:
        names = own_folders.names(place)
    except OSError:
        return [], []
    for name in names:
        if not name.endswith(".json"):
            continue
        record = _read(place, name)
        if record is None or not os.path.isdir(record.state_dir):
            # A disk that is not mounted now may come back; a record without a file is removed.
            if record is not None and why_waiting(record):
                away.append(completed(record))
            elif record is None or os.path.isdir(os.path.dirname(os.path.dirname(record.state_dir))):
                with contextlib.suppress(OSError):
                    own_files.remove(place, name)
            continue
        found.append(completed(record))
    return sorted(found, key=lambda record: record[:4]), sorted(away, key=lambda record: record[:4])


def _place() -> str:
    """The folder, where the user's own links to it lead: in the folder itself none is followed."""
    return os.path.realpath(folder())


def _name_of(record: Record) -> str:
    """The name of a record: made of first folder, task and extension, wherever the state is, so that these are enough to find
    it."""
    if f"{os.sep}{STATE_FOLDER}{os.sep}" in record.state_dir or not record.folder:
        return _name(record.state_dir)
    return _name(os.path.join(record.folder, STATE_FOLDER, record.task, record.extension))


def _name(state_dir: str) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()[:20] + ".json"


def _read(place: str, name: str) -> Record | None:
    try:
        return _parsed(own_files.read(place, name, most=_MOST_BYTES))
    except OSError:
        return None


def _parsed(data: bytes) -> Record | None:
    try:
        found = json.loads(data)
        values = [found[field] for field in _FIELDS] + [found.get(field, "") for field in _LATER_FIELDS]
        devices = [device if type(device := found.get(key)) is int else None for key in ("device", "state_device")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        return None
    return Record(*values)._replace(device=devices[0], state_device=devices[1])
