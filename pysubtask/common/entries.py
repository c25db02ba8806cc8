"""Watch entries: the ``watchfilesdirs`` of an app, checked and in one form for both sides.

::

    [{'file': 'logs/a.csv'}, {'file': 'logs/b.csv', 'burstmode': True, 'as': 'station/b.csv'},
     {'file': 'weather.csv', 'on_change': True},
     {'dir': 'photos', 'as': 'station/photos', 'settle_secs': 2, 'on_change': True, 'notify_files': False},
     {'dir': 'runs', 'recursive': True, 'include': ['*.csv', '*.xml'], 'exclude': 'scratch/*'}]

A folder or file that does not exist is no error: it may come later.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .config import unknown_key
from .errors import ConfigError
from .notify import HEARTBEAT, HOLD, NOTIFY
from .problem import Path, Problems, Text, entry_at, entry_of, pair, spelt, type_of

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

    Raises ConfigError that names the entry and the remedy, and has all that is wrong in any entry. ``need_one`` refuses an empty
    list.
    """
    problems = Problems()
    entries = numbered_entries(watchfilesdirs, problems, need_one=need_one, cwd=cwd)
    problems.raise_all()
    return list(entries.values())


def numbered_entries(watchfilesdirs: Any, problems: Problems, *, need_one: bool = True, cwd: str | None = None) -> dict[int, Entry]:
    """The entries by their index. What is wrong is added to ``problems``: a wrong key has its default, and an entry whose file or
    folder cannot be told is left out."""
    if not isinstance(watchfilesdirs, (list, tuple)):
        remedy = ("Give a list of ", entry_of("file"), " and ", entry_of("dir"), ".")
        problems.add((_WHERE,), ("it is ", type_of(watchfilesdirs)), remedy)
        return {}
    if need_one and not watchfilesdirs:
        problems.add((_WHERE,), "it is empty", ("Name at least one ", entry_of("file"), " or ", entry_of("dir"), "."))
        return {}
    start = os.getcwd() if cwd is None else os.path.abspath(cwd)
    before = len(problems.found)
    read = {
        index: one
        for index, given in enumerate(watchfilesdirs)
        if (one := problems.result(None, _read_one, (_WHERE, index), given, start, problems)) is not None
    }
    once = _without_repeated(read, problems)
    unnamed = {one.path[1] for one in problems.found[before:] if one.path[2:] == ("as",)}
    _check_remote_names({index: one for index, one in once.items() if index not in unnamed}, problems)
    return read


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


def _read_one(where: Path, given: Any, start: str, problems: Problems) -> Entry | None:
    """An entry; each wrong key is a problem, and has its default here. None where the file or folder itself is not known."""
    either = ("Write it as ", entry_of("file"), " or ", entry_of("dir"), ".")
    if not isinstance(given, Mapping):
        raise ConfigError(where, ("it is ", type_of(given)), either)
    kinds = [kind for kind in ("file", "dir") if kind in given]
    if len(kinds) == 2:
        problems.add(where, "it has both 'file' and 'dir'", "Make two entries of it.")
    _check_keys(where, given, kinds, problems)
    if not kinds:
        raise ConfigError(where, "it has neither 'file' nor 'dir'", either)

    def read(key: str, check: Callable[..., Any], default: Any) -> Any:
        return problems.result(default, check, (*where, key), given[key]) if key in given else default

    kind = kinds[0]
    path = problems.result("", _path, (*where, kind), given[kind], start)
    if path:
        problems.result(None, _check_path, (*where, kind), kind, path)
    entry = Entry(
        kind,
        path,
        read("as", _remote, None) if given.get("as") is not None else None,
        read("burstmode", _flag, False),
        read("settle_secs", _settle, SETTLE_SECS),
        read("on_change", _flag, False),
        read("notify_files", _flag, True),
        read("include", _patterns, ()),
        read("exclude", _patterns, ()),
        read("recursive", _flag, False),
        read("whole_records", _flag, None) if given.get("whole_records") is not None else None,
        read("append", _flag, False),
        read("default_exclude", _flag, False),
    )
    return entry if path and len(kinds) == 1 else None


def _check_keys(where: Path, given: Mapping[Any, Any], kinds: list[str], problems: Problems) -> None:
    known = _FILE_KEYS if kinds == ["file"] else _DIR_KEYS if kinds == ["dir"] else ("file", *_DIR_KEYS)
    for key in given:
        if key in known:
            continue
        if key in _DIR_KEYS:
            remedy = ("Remove it, or watch the whole folder: ", entry_of("dir", key), ".")
            problems.add((*where, key), "this is for a 'dir' entry only", remedy)
        else:
            problems.take(unknown_key(where, key if isinstance(key, str) else repr(key), known))


def _text(where: Path, value: Any, expected: str) -> str:
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
    raise _mistyped(where, value, f"Give {expected}.")


def _mistyped(where: Path, value: Any, remedy: Text) -> ConfigError:
    return ConfigError(where, (spelt(value), " is ", type_of(value)), remedy, value)


def _path(where: Path, value: Any, start: str) -> str:
    path = os.path.normpath(os.path.join(start, _text(where, value, "a path")))
    # POSIX leaves the meaning of two leading slashes open; here they are one.
    return path[1:] if os.sep == "/" and path.startswith("//") else path


def _check_path(where: Path, kind: str, path: str) -> None:
    if kind == "dir":
        if os.path.exists(path) and not os.path.isdir(path):
            raise ConfigError(where, f"{path} is a file", ("Write it as ", entry_of("file"), ", or name the folder it is in."))
        return
    if os.path.isdir(path):
        raise ConfigError(where, f"{path} is a folder", ("Write it as ", entry_of("dir"), ", or name one file."))
    for ending in (NOTIFY, HOLD, HEARTBEAT):
        if path.endswith(ending):
            raise ConfigError(where, f"{path} ends in {ending!r}, which marks signal files", "Name the data file, or rename it.")


def _remote(where: Path, value: Any) -> str:
    name = _text(where, value, "a name below the destination's folder, such as 'station/data.csv'")
    if name.startswith("/"):
        remedy = f"Names are below the destination's folder: write {name.lstrip('/')!r}."
        raise ConfigError(where, (spelt(name), " is absolute"), remedy, name)
    if name.endswith("/"):
        raise ConfigError(where, (spelt(name), " ends in '/'"), f"Write {name.rstrip('/')!r}.", name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError(where, (spelt(name), " has '..' in it"), "Give a name below the destination's folder.", name)
    if not parts:
        raise ConfigError(where, (spelt(name), " is no name"), "Leave 'as' out, or give a name such as 'station/data.csv'.", name)
    return "/".join(parts)


def _flag(where: Path, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _mistyped(where, value, ("Give ", spelt(True), " or ", spelt(False), "."))


def _patterns(where: Path, value: Any) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)):
        raise _mistyped(where, value, "Give a pattern, as '*.csv', or a list of them.")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ConfigError(where, (spelt(pattern), " in it is ", type_of(pattern)), "Give patterns as text: '*.csv'.", value)
        if not pattern:
            raise ConfigError(where, "a pattern is empty", "Remove it; '*' stands for every file.")
        if pattern.startswith(("/", "./", "../")):
            plain = pattern.lstrip("./") or "*"
            raise ConfigError(where, f"{pattern!r} matches nothing", f"Patterns are relative to the folder: write {plain!r}.")
        if pattern.endswith("/"):
            raise ConfigError(where, f"{pattern!r} matches no file", f"For all files below that folder write {pattern + '*'!r}.")
    return tuple(patterns)


def _settle(where: Path, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _mistyped(where, value, "Give a number of seconds.")
    # A comparison written this way also turns away NaN.
    if not 0 <= value <= _LONGEST_SETTLE:
        raise ConfigError(where, f"{value!r} is out of range", f"Give a number from 0 to {_LONGEST_SETTLE} (seconds).")
    return float(value)


def filled_in(entries: list[Entry], task: str) -> list[Entry]:
    """The entries of the task with this label: ``{hostname}`` and ``{task}`` in ``as`` are what they stand for. ConfigError."""
    problems = Problems()
    found = filled_in_where_right(dict(enumerate(entries)), task, problems)
    problems.raise_all()
    return list(found.values())


def filled_in_where_right(entries: dict[int, Entry], task: str, problems: Problems) -> dict[int, Entry]:
    """The same for entries by their index; a name in which a word stands for nothing is a problem, and stays as it is."""
    if not any("{" in (entry.remote or "") for entry in entries.values()):
        return entries
    from .placeholders import filled

    def named(index: int, entry: Entry) -> Entry:
        name = problems.result(entry.remote, filled, (_WHERE, index, "as"), entry.remote, task)
        return entry._replace(remote=name)

    return {index: entry if entry.remote is None else named(index, entry) for index, entry in entries.items()}


def _without_repeated(entries: Mapping[int, Entry], problems: Problems) -> dict[int, Entry]:
    """The entries without those that name what an earlier one has named, which is a problem."""
    first: dict[tuple[str, str], int] = {}
    found = {}
    for index, entry in entries.items():
        earlier = first.setdefault((entry.kind, entry.path), index)
        if earlier == index:
            found[index] = entry
        else:
            problem = (f"{entry.path} is already named by ", entry_at(earlier))
            problems.add((_WHERE, index), problem, "Remove one of the two.")
    return found


def _check_remote_names(entries: Mapping[int, Entry], problems: Problems) -> None:
    """No two static files under one name, and no file where another entry needs a folder."""
    owner: dict[str, int] = {}
    single = dict(entries)
    for index, entry in entries.items():
        if entry.kind != "file":
            continue
        name = remote_name(entry, entry.path)
        first = owner.setdefault(name, index)
        if first != index:
            files = (f"{entry.path} and {entries[first].path} (", entry_at(first), f") would both be {name!r} on the server")
            problems.add((_WHERE, index), files, ("Give one of them a name of its own: ", pair("as", "other/name"), "."))
            del single[index]
    for index, entry in single.items():
        folder = entry.remote or "" if entry.kind == "dir" else os.path.dirname(remote_name(entry, entry.path))
        while folder and folder not in owner:
            folder = os.path.dirname(folder)
        if folder:
            first = owner[folder]
            file = (f"{entries[first].path} (", entry_at(first), ") is a file")
            problem = (f"it needs a folder {folder!r} on the server, where ", *file)
            problems.add((_WHERE, index), problem, "Give one of them another name with 'as'.")
