"""The config file: TOML with the sections and keys of ``defaults_config``, read whole and checked whole.

One task in a file, or several (``[tasks.NAME.ftp]``), or a folder with one task in each ``conf.d/*.toml``.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...common import effective_user, read_from
from ...common.config import masked_value, nearest
from ...common.errors import ConfigError
from ...common.never_sent import NeverSent
from ...master.excluded_files import CONFIG, all_own
from ...master.task_plan import closed_paths
from ..exit_status import NO_TASK, CommandError
from .config_names import DROP_INS, MAIN_FILE
from .env_overrides import overrides, unused
from .obeyed import check_config
from .problems import ConfigProblems, LocatedProblem, Where, in_order, problem_at
from .setting_values import KEYS
from .task_config import ReadTask, TaskConfig, Text, check_words, read_tasks

FOLDER_VARIABLE = "PYSUBTASK_CONFIG_DIR"
SYSTEM_FOLDER = "/etc/pysubtask"


class Config(NamedTuple):
    """A config as :func:`load` returns it. ``tasks``: every task, in the order of the files; ``files``: the absolute paths of the
    files that were read; ``notes``: a line for a person about each environment variable that no task uses."""

    tasks: tuple[TaskConfig, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def place(self) -> str:
        """The config folder that holds the files; for a drop-in the folder above ``conf.d``."""
        return _folder_of(self.files)

    def named(self, names: Sequence[str]) -> tuple[TaskConfig, ...]:
        """The tasks with these names or labels (what 'pysubtask status' calls a task), or all tasks where ``names`` is empty.
        CommandError where a name fits no task, or several."""
        known = {task.name: task for task in self.tasks}
        labels = {task.name: task.plans[0].label for task in self.tasks if task.plans}
        found = {}
        for name in names:
            fitting = [known[name]] if name in known else [task for task in self.tasks if labels.get(task.name) == name]
            if len(fitting) != 1:
                near = nearest(name, [*known, *labels.values()])
                called = ", ".join(f"'status' calls {one} {label}" for one, label in labels.items() if label != one)
                raise CommandError(
                    f"The config has no task {name!r}. "
                    + (f"Did you mean {near!r}? " if near else "")
                    + f"It has: {', '.join(known)}{f' ({called})' if called else ''}.",
                    NO_TASK,
                )
            found[fitting[0].name] = fitting[0]
        return tuple(found.values()) if names else self.tasks


def folders(environ: Mapping[str, str]) -> list[str]:
    """The folders that are searched for a config: ``$PYSUBTASK_CONFIG_DIR`` alone, or ``/etc/pysubtask`` and then the user's own
    folder (``$XDG_CONFIG_HOME/pysubtask``)."""
    own = environ.get(FOLDER_VARIABLE)
    if own:
        return [os.path.abspath(os.path.expanduser(own))]
    base = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [SYSTEM_FOLDER, os.path.join(base, "pysubtask")]


def default_file(environ: Mapping[str, str]) -> str:
    """The path where ``init`` puts a config: in the system's folder for root, in the user's own for anybody else."""
    places = folders(environ)
    root = effective_user.now() == 0
    return os.path.join(places[0] if root or len(places) == 1 else places[-1], MAIN_FILE)


def find_files(given: str | None, environ: Mapping[str, str]) -> list[str]:
    """The files of a config: the one that is given, those of a folder that is given, or those of the first of ``folders`` that
    has any. CommandError where there is none."""
    if given is not None:
        path = os.path.abspath(os.path.expanduser(given))
        if not os.path.isdir(path):
            return [path]
        found = _in_folder(path)
        if not found:
            raise CommandError(f"In {path} is neither {MAIN_FILE} nor {DROP_INS}/*.toml. 'pysubtask init' writes one.", NO_TASK)
        return found
    places = folders(environ)
    for place in places:
        found = _in_folder(place)
        if found:
            return found
    raise CommandError(
        f"There is no config: {' and '.join(places)} {'have' if len(places) > 1 else 'has'} neither {MAIN_FILE} nor "
        f"{DROP_INS}/*.toml. 'pysubtask init' writes one, or name a file.",
        NO_TASK,
    )


def find_place(given: str | None, environ: Mapping[str, str]) -> str:
    """The config that ``find_files`` finds, as an absolute path: root keeps it when it becomes another user, for whom the search
    might find another config. CommandError where there is none."""
    if given is not None:
        return os.path.abspath(os.path.expanduser(given))
    return _folder_of(find_files(None, environ))


def raw_configs(given: str, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parsed and unchecked TOML of each file of a config. Files that cannot be read or parsed are left out here; ``load``
    reports them. CommandError where there is no config."""
    found = []
    for path in find_files(given, environ):
        with contextlib.suppress(ConfigError, tomllib.TOMLDecodeError):
            found.append(tomllib.loads(_text(path)))
    return found


def _folder_of(files: Sequence[str]) -> str:
    folder = os.path.dirname(files[0])
    return os.path.dirname(folder) if os.path.basename(folder) == DROP_INS else folder


def load(given: str | None, environ: Mapping[str, str], names: Sequence[str] = ()) -> Config:
    """Read and check a config. ``given``: a file or a folder (None: searched for as in :func:`find_files`). ``names``: the tasks
    that are meant (none: all); secret files of the other tasks are not opened, as this user may not be allowed to read them.

    ConfigProblems names every mistake in the config; CommandError where there is no config.
    """
    files = find_files(given, environ)
    asked = overrides(environ, KEYS)
    problems: list[LocatedProblem] = []
    read: dict[str, ReadTask] = {}
    mains = {path: _main_of(path) for path in files}
    every = dict.fromkeys([*(main for main in mains.values() if main), *files])
    # Before the files are read, so that a change during the read is noticed.
    stamps = read_from.stamps_of(dict.fromkeys(every, "the config"))
    texts = {path: text for path in every if (text := _read(path, problems)) is not None}
    for path in files:
        main = mains[path]
        if path not in texts or (main is not None and main not in texts):
            continue  # without its common part the file would give misleading problems
        if not {"watch", "tasks"} & texts[path].raw.keys() and path in mains.values():
            check_words(texts[path], problems)  # it holds the sections that its drop-ins inherit, and no task
            continue
        found: list[LocatedProblem] = []
        for one in read_tasks(texts[path], asked, environ, found, texts[main] if main is not None else None, names):
            first = read.setdefault(one.task.name, one)
            if first is not one:
                what = f"{one.task.name!r} is the name of a task in {first.task.file} too"
                found.append(problem_at(Where(path), ("base", "TaskName"), what, "Give one of the two another TaskName."))
        problems += found
    beside = _own(list(every), [one.task for one in read.values()])
    tasks: dict[str, TaskConfig] = {}
    for name, one in read.items():
        others = [path for other in read.values() if other is not one for path in _closed(other.task)]
        mine = (one.task.file, mains[one.task.file])
        sources = {path: stamp for path, stamp in stamps.items() if path in mine} | read_from.stamps_of(_secrets_read(one.task))
        tasks[name] = one.task._replace(beside=beside, closed=tuple(dict.fromkeys(others)), read_from=sources)
        reported = {(problem.where.place, problem.path) for problem in problems}
        problems += [
            problem
            for problem in _never_sent(tasks[name], one, texts[one.task.file])
            if (problem.where.place, problem.path) not in reported
        ]
    if problems:
        raise ConfigProblems(in_order(problems, every))  # a mistake in a common part is found once for each task
    return Config(tuple(tasks.values()), tuple(files), tuple(unused(asked, tasks)))


def _main_of(path: str) -> str | None:
    """The ``pysubtask.toml`` whose sections a drop-in inherits, None for any other file."""
    folder = os.path.dirname(path)
    main = os.path.join(os.path.dirname(folder), MAIN_FILE)
    return main if os.path.basename(folder) == DROP_INS and os.path.exists(main) else None


def _read(path: str, problems: list[LocatedProblem]) -> Text | None:
    try:
        text = _text(path)
        return Text(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        problems.append(_syntax(path, text, exc))
    except ConfigError as exc:
        problems.append(problem_at(Where(path), (), exc.problem, exc.remedy))
    return None


def _own(files: Sequence[str], tasks: Iterable[TaskConfig]) -> dict[str, str]:
    """The files of a config and those that any of its tasks names (path -> what it is). None is data, for any task: one task may
    watch a folder in which another keeps its files."""
    found = dict.fromkeys(files, CONFIG)
    for task in tasks:
        for plan in task.plans:
            found.update(plan.own)
        found.update({path: f"named by {key}File" for key, path in task.secret_files.items()})
    return found


def _secrets_read(task: TaskConfig) -> dict[str, str]:
    """The files whose secret was read with the config; one that a child reads itself (``RefreshTokenFile``) is not among them."""
    own = task.config.get("dropbox", {}).get("RefreshTokenFile")
    return {path: f"{key.partition('.')[2]}File" for key, path in task.secret_files.items() if path != own}


def _closed(task: TaskConfig) -> tuple[str, ...]:
    """The snapshot and archive folders of a task, which the other tasks must not send. Its log folders are not among them: logs may
    lie among data."""
    return closed_paths(task.entries, task.plans, ())


def _never_sent(task: TaskConfig, read: ReadTask, text: Text) -> Iterator[LocatedProblem]:
    """A problem for each entry that names a file which is never sent, such as the config itself."""
    own, at = own_of(task), text.placer()
    for number, entry in zip(read.numbers, task.entries, strict=True):
        why = own.why_named(entry.path) if entry.kind == "file" else ""
        if why:
            path = (*read.path, "watch", number, "file")
            what = f"{entry.path} is never sent: it is {why}"
            yield problem_at(at(*path), path, what, "Remove this entry; name the files with your data.")


def own_of(task: TaskConfig) -> NeverSent:
    """The files that are never sent as data of this task."""
    return all_own(task.entries, task.plans, (), task.beside)


def _in_folder(folder: str) -> list[str]:
    main = os.path.join(folder, MAIN_FILE)
    found = [main] if os.path.exists(main) else []
    try:
        names = sorted(os.listdir(os.path.join(folder, DROP_INS)))
    except OSError:
        names = []
    return found + [os.path.join(folder, DROP_INS, name) for name in names if name.endswith(".toml") and not name.startswith(".")]


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            check_config(path, os.fstat(file.fileno()))
            data = file.read()
        # Editors on Windows begin a text with a byte order mark, which tomllib refuses.
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(path, f"line {line} is not UTF-8", "Save the file as UTF-8.") from exc
    except OSError as exc:
        missing = isinstance(exc, FileNotFoundError)
        remedy = "'pysubtask init FILE' writes one." if missing else "Let the user who runs this read it."
        raise ConfigError(path, f"it cannot be read ({exc.strerror})", remedy) from exc


def _syntax(path: str, text: str, exc: tomllib.TOMLDecodeError) -> LocatedProblem:
    message = str(exc)
    place = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    line = int(place[2]) if place and place[2] else text.count("\n") + (not text.endswith("\n"))
    column = int(place[3]) if place and place[3] else None
    what = place[1] if place else message
    written = text.split("\n")[line - 1].strip() if 0 < line <= text.count("\n") + 1 else ""
    key, _, value = (part.strip() for part in written.partition("="))
    key = key if re.fullmatch(r"[\w.\"-]+", key) else ""
    problem = f"this is not TOML: {what[0].lower()}{what[1:]}" + (f" at column {column}" if column else " at the end of the file")
    return problem_at(Where(path, line), (key,) if key else (), problem, _syntax_remedy(what, key, value))


def _syntax_remedy(what: str, key: str, value: str) -> str:
    first = value.split("#")[0].strip()
    if "overwrite a value" in what:
        return "This key stands here twice: remove one of the two."
    if "twice" in what or "mutate" in what or "Cannot declare" in what:
        return "This table stands here twice: put its settings together, or for one more [[watch]] use double brackets."
    if first in ("True", "False"):
        return f"Write it in small letters: {key} = {first.lower()}"
    if first == "None":
        return f'Write it as text: {key} = "none"'
    if "escape" in what or "\\" in first:
        return f"A backslash means something else in double quotes; use single ones: {key} = 'C:\\data'"
    if first and first[0] not in "\"'[{+-.0123456789":
        return f'Put text into quotes: {key} = "{masked_value(key, first)}"'
    if first[:1] in "\"'" and first[:1]:
        return f"End the text with the same quote that it begins with: {key} = {first[0]}...{first[0]}"
    return 'A line is KEY = VALUE, [SECTION], or a # with a comment; text stands in "quotes".'
