"""Watch entries: the ``watchfilesdirs`` of an app, checked and in one form for both sides.

::

    [{'file': 'logs/a.csv'}, {'file': 'logs/b.csv', 'burstmode': True, 'as': 'station/b.csv'},
     {'file': 'weather.csv', 'on_change': True},
     {'dir': 'photos', 'as': 'station/photos', 'settle_secs': 2, 'on_change': True, 'notify_files': False},
     {'dir': 'runs', 'recursive': True, 'include': ['*.csv', '*.xml'], 'exclude': 'scratch/*'}]

A folder or file that does not exist is no error: it may come later.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .config import unknown_key
from .errors import ConfigError
from .notify import HEARTBEAT, HOLD, NOTIFY

_WHERE = "watchfilesdirs"
_BOTH_KEYS = ("as", "burstmode", "append", "whole_records", "settle_secs", "on_change")
_FILE_KEYS = ("file", *_BOTH_KEYS)
_DIR_KEYS = ("dir", *_BOTH_KEYS, "notify_files", "include", "exclude", "default_exclude", "recursive")
_RECORDS = (".csv", ".log", ".txt", ".jsonl")
_LONGEST_SETTLE = 86400  # a day: a longer rest is a mistyped number
SETTLE_SECS = 1.0
CONFIG_FILE_DEFAULTS: dict[str, dict[str, Any]] = {
    "file": {"on_change": True},
    "dir": {"notify_files": False, "default_exclude": True},
}
"""Defaults of the entries of a config file: no app notifies there, ``.notify`` files beside each file are not needed, and the
programs that write the files do not know this one. Entries from Python have the defaults of version 1."""
STATE_FOLDER = ".pysubtask"


class Entry(NamedTuple):
    """One watched file or folder.

    ``kind``: 'file' or 'dir'. ``path``: absolute, normalised. ``remote``: its ``as``, or None.
    ``burstmode``: its notifies may be held back. ``on_change``: any change counts as a notify, once the file has been left
    alone for ``settle_secs``, or changes for much longer than that; a new file in a folder waits for ``settle_secs`` in any
    case. The rest is for folders: ``notify_files``, whether each file taken gets a ``.notify`` beside it; ``include`` and
    ``exclude``, patterns for the files that count (all where ``include`` is empty, and ``exclude`` wins), see
    :mod:`.globs`; ``default_exclude``, whether files with the temporary names of other programs (:mod:`.temporary`) are left
    out: those that are only found, not those that are notified or match ``include``;
    ``recursive``, whether the folders below it, of whatever depth, belong to it: all but links.
    ``whole_records``: what a reader on the server sees while such a file grows ends with a line; None leaves it to the
    file's name, see :func:`keeps_records`. ``append``:
    the app promises that these files only ever grow, so that no more than their ends need to be read.
    """

    kind: str
    path: str
    remote: str | None = None
    burstmode: bool = False
    settle_secs: float = SETTLE_SECS
    on_change: bool = False
    notify_files: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = False
    whole_records: bool | None = None
    append: bool = False
    default_exclude: bool = False


def read_entries(watchfilesdirs: Any, *, need_one: bool = True, cwd: str | None = None) -> list[Entry]:
    """The entries of ``watchfilesdirs``; relative paths start at ``cwd`` (the working directory).

    Raises ConfigError that names the entry and the remedy. ``need_one`` refuses an empty list.
    """
    if not isinstance(watchfilesdirs, (list, tuple)):
        problem = f"it is of type {type(watchfilesdirs).__name__}"
        raise ConfigError(_WHERE, problem, "Give a list of {'file': path} and {'dir': path}.")
    if need_one and not watchfilesdirs:
        raise ConfigError(_WHERE, "it is empty", "Name at least one {'file': path} or {'dir': path}.")
    start = os.getcwd() if cwd is None else os.path.abspath(cwd)
    entries = [_read_one(f"{_WHERE}[{index}]", given, start) for index, given in enumerate(watchfilesdirs)]
    _check_twice(entries)
    _check_remote_names(entries)
    return entries


def remote_name(entry: Entry, path: str) -> str:
    """The name on the server, below the destination's folder, of a data file that belongs to ``entry``."""
    if entry.kind == "file":
        return entry.remote or entry.path.rpartition(os.sep)[2]
    name = below(entry, path) if entry.recursive else path.rpartition(os.sep)[2]
    return f"{entry.remote}/{name}" if entry.remote else name


def keeps_records(entry: Entry, path: str) -> bool | None:
    """Whether a data file of ``entry`` is made of lines that are to appear whole; None: where it costs nothing."""
    if entry.whole_records is not None:
        return entry.whole_records
    return None if os.path.splitext(path)[1].lower() in _RECORDS else False


def below(entry: Entry, path: str) -> str:
    """The path of something in a folder entry, relative to that folder, with ``/`` between its parts; '' for the folder."""
    inside = path[len(entry.path) :]
    return (inside if os.sep == "/" else inside.replace(os.sep, "/")).lstrip("/")


def selects(entry: Entry, relative: str) -> bool:
    """Whether ``include`` and ``exclude`` of a folder entry let a file through, by its name relative to the folder."""
    if not entry.include and not entry.exclude:
        return True
    from . import globs  # an app without patterns need not pay for it

    if entry.include and not globs.matches(entry.include, relative):
        return False
    return not (entry.exclude and globs.matches(entry.exclude, relative))


def left_out(entry: Entry, relative: str) -> bool:
    """Whether ``default_exclude`` leaves a file out that nobody has named, by its name relative to the folder."""
    if not entry.default_exclude:
        return False
    from . import globs, temporary

    return temporary.is_temporary(relative) and not (entry.include and globs.matches(entry.include, relative))


def first_folder(entries: Sequence[Entry]) -> str:
    """The folder of the first entry, where a task keeps its state; the working directory where there is no entry."""
    if not entries:
        return os.getcwd()
    first = entries[0]
    return first.path if first.kind == "dir" else os.path.dirname(first.path)


def watched_folders(entries: Iterable[Entry]) -> list[str]:
    """The folders that data files are looked for in, without those below them."""
    return list(dict.fromkeys(entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for entry in entries))


def to_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Plain values for the hand-off; names that are no text survive json in its default, escaping form."""
    return [entry._asdict() for entry in entries]


def from_json(data: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """What :func:`to_json` gave, as entries again."""
    return [Entry(**{**item, **{key: tuple(item.get(key, ())) for key in ("include", "exclude")}}) for item in data]


def _read_one(where: str, given: Any, start: str) -> Entry:
    if not isinstance(given, Mapping):
        raise ConfigError(where, f"it is of type {type(given).__name__}", "Write it as {'file': path} or {'dir': path}.")
    kinds = [kind for kind in ("file", "dir") if kind in given]
    if len(kinds) == 2:
        raise ConfigError(where, "it has both 'file' and 'dir'", "Make two entries of it.")
    known = _FILE_KEYS if kinds == ["file"] else _DIR_KEYS if kinds == ["dir"] else ("file", *_DIR_KEYS)
    for key in given:
        if key in known:
            continue
        if key in _DIR_KEYS:
            remedy = f"Remove it, or watch the whole folder: {{'dir': ..., {key!r}: ...}}."
            raise ConfigError(f"{where}.{key}", "this is for a 'dir' entry only", remedy)
        raise unknown_key(where, key if isinstance(key, str) else repr(key), known)
    if not kinds:
        raise ConfigError(where, "it has neither 'file' nor 'dir'", "Write it as {'file': path} or {'dir': path}.")
    kind = kinds[0]
    path = _path(f"{where}.{kind}", given[kind], start)
    _check_path(f"{where}.{kind}", kind, path)
    return Entry(
        kind,
        path,
        _remote(f"{where}.as", given["as"]) if given.get("as") is not None else None,
        _flag(where, given, "burstmode", False),
        _settle(f"{where}.settle_secs", given.get("settle_secs", SETTLE_SECS)),
        _flag(where, given, "on_change", False),
        _flag(where, given, "notify_files", True),
        _patterns(f"{where}.include", given.get("include", ())),
        _patterns(f"{where}.exclude", given.get("exclude", ())),
        _flag(where, given, "recursive", False),
        _flag(where, given, "whole_records", False) if given.get("whole_records") is not None else None,
        _flag(where, given, "append", False),
        _flag(where, given, "default_exclude", False),
    )


def _text(where: str, value: Any, expected: str) -> str:
    if isinstance(value, (str, bytes, os.PathLike)):
        text = os.fsdecode(value)
        if not text:
            raise ConfigError(where, "it is empty", f"Give {expected}.")
        if "\0" in text:
            raise ConfigError(where, "it holds a NUL character", f"Give {expected}.")
        try:
            os.fsencode(text)
        except UnicodeEncodeError as exc:
            problem = f"{text!a} cannot be a file's name in this process: its character set is {exc.encoding}"
            raise ConfigError(where, problem, "Start it with PYTHONUTF8=1, or with LC_ALL=C.UTF-8.") from exc
        return text
    raise ConfigError(where, f"{value!r} is of type {type(value).__name__}", f"Give {expected}.")


def _path(where: str, value: Any, start: str) -> str:
    path = os.path.normpath(os.path.join(start, _text(where, value, "a path")))
    # POSIX leaves the meaning of two leading slashes open; here they are one.
    return path[1:] if os.sep == "/" and path.startswith("//") else path


def _check_path(where: str, kind: str, path: str) -> None:
    if kind == "dir":
        if os.path.exists(path) and not os.path.isdir(path):
            raise ConfigError(where, f"{path} is a file", "Write it as {'file': path}, or name the folder it is in.")
        return
    if os.path.isdir(path):
        raise ConfigError(where, f"{path} is a folder", "Write it as {'dir': path}, or name one file.")
    for ending in (NOTIFY, HOLD, HEARTBEAT):
        if path.endswith(ending):
            raise ConfigError(where, f"{path} ends in {ending!r}, which marks signal files", "Name the data file, or rename it.")


def _remote(where: str, value: Any) -> str:
    name = _text(where, value, "a name below the destination's folder, such as 'station/data.csv'")
    if name.startswith("/"):
        raise ConfigError(where, f"{name!r} is absolute", f"Names are below the destination's folder: write {name.lstrip('/')!r}.")
    if name.endswith("/"):
        raise ConfigError(where, f"{name!r} ends in '/'", f"Write {name.rstrip('/')!r}.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError(where, f"{name!r} has '..' in it", "Give a name below the destination's folder.")
    if not parts:
        raise ConfigError(where, f"{name!r} is no name", "Leave 'as' out, or give a name such as 'station/data.csv'.")
    return "/".join(parts)


def _flag(where: str, given: Mapping[str, Any], key: str, default: bool) -> bool:
    value = given.get(key, default)
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{where}.{key}", f"{value!r} is of type {type(value).__name__}", "Give True or False.")


def _patterns(where: str, value: Any) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)):
        raise ConfigError(where, f"{value!r} is of type {type(value).__name__}", "Give a pattern, as '*.csv', or a list of them.")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ConfigError(where, f"{pattern!r} in it is of type {type(pattern).__name__}", "Give patterns as text: '*.csv'.")
        if not pattern:
            raise ConfigError(where, "a pattern is empty", "Remove it; '*' stands for every file.")
        if pattern.startswith(("/", "./", "../")):
            plain = pattern.lstrip("./") or "*"
            raise ConfigError(where, f"{pattern!r} matches nothing", f"Patterns are relative to the folder: write {plain!r}.")
        if pattern.endswith("/"):
            raise ConfigError(where, f"{pattern!r} matches no file", f"For all files below that folder write {pattern + '*'!r}.")
    return tuple(patterns)


def _settle(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(where, f"{value!r} is of type {type(value).__name__}", "Give a number of seconds.")
    # A comparison written this way also turns away NaN.
    if not 0 <= value <= _LONGEST_SETTLE:
        raise ConfigError(where, f"{value!r} is out of range", f"Give a number from 0 to {_LONGEST_SETTLE} (seconds).")
    return float(value)


def filled_in(entries: list[Entry], task: str) -> list[Entry]:
    """The entries of the task with this label: ``{hostname}`` and ``{task}`` in ``as`` are what they stand for. ConfigError."""
    if not any("{" in (entry.remote or "") for entry in entries):
        return entries
    from .placeholders import filled

    return [
        entry if entry.remote is None else entry._replace(remote=filled(f"{_WHERE}[{index}].as", entry.remote, task))
        for index, entry in enumerate(entries)
    ]


def _check_twice(entries: Sequence[Entry]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault((entry.kind, entry.path), index)
        if first != index:
            raise ConfigError(f"{_WHERE}[{index}]", f"{entry.path} is already named by {_WHERE}[{first}]", "Remove one of the two.")


def _check_remote_names(entries: Sequence[Entry]) -> None:
    """No two static files under one name, and no file where another entry needs a folder."""
    owner: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if entry.kind != "file":
            continue
        name = remote_name(entry, entry.path)
        first = owner.setdefault(name, index)
        if first != index:
            raise ConfigError(
                f"{_WHERE}[{index}]",
                f"{entry.path} and {entries[first].path} ({_WHERE}[{first}]) would both be {name!r} on the server",
                "Give one of them a name of its own: 'as': 'other/name'.",
            )
    for index, entry in enumerate(entries):
        folder = entry.remote or "" if entry.kind == "dir" else os.path.dirname(remote_name(entry, entry.path))
        while folder:
            if folder in owner:
                first = owner[folder]
                raise ConfigError(
                    f"{_WHERE}[{index}]",
                    f"it needs a folder {folder!r} on the server, where {entries[first].path} ({_WHERE}[{first}]) is a file",
                    "Give one of them another name with 'as'.",
                )
            folder = os.path.dirname(folder)
