"""The tasks of one config file, each checked as a start of the task would check it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...common.config import SECTIONS
from ...common.entries import CONFIG_FILE_DEFAULTS, Entry, filled_in_where_right, first_folder, numbered_entries
from ...common.problem import Path, Problem, Problems, key_of
from ...master.child_config import Plan, plan, switched_on
from ...master.destination_checks import TOKENS
from ...master.task_plan import closed_paths
from .env_overrides import Override
from .problems import LocatedProblem, Where, doubtful_keys, located, problem_at
from .setting_values import ROWS, Values, for_task, unknown_section
from .toml_locations import key_lines, line_of

_TOP = (*SECTIONS, "watch", "tasks")
_OF_TASK = (*SECTIONS, "watch")
_FIRST_TASK = "main"


class TaskConfig(NamedTuple):
    """One task, checked. ``name``: TaskName; ``file``: the config file that it is from; ``config``: the sections; ``watch``: the
    entries as an app would give them, with absolute paths; ``entries``: the same, read; ``plans``: one for each child.
    ``archives``: its config says where old files go, so they are moved there. ``secret_files``: which secret (``ftp.Password``) is
    from which file. ``beside``: files of the whole config, of its other tasks too, that are no data (absolute path -> what it is);
    ``closed``: what of the other tasks is left out where it lies inside a recursive folder. ``read_from``: the files that it was
    read from, as they were then. Its repr shows no secret."""

    name: str
    file: str
    watch: list[dict[str, Any]]
    config: dict[str, dict[str, Any]]
    entries: tuple[Entry, ...]
    plans: tuple[Plan, ...]
    archives: bool
    secret_files: dict[str, str]
    beside: Mapping[str, str] = {}
    closed: tuple[str, ...] = ()
    read_from: Mapping[str, tuple[str, int, int]] = {}

    def __repr__(self) -> str:
        return f"TaskConfig({self.name!r}, {self.file!r}, {list(self.plans)!r})"


class ReadTask(NamedTuple):
    """A task as it was read. ``task``: with defaults for what is wrong; ``numbers``: for each of its entries the index that
    it has in the file; ``path``: that of the task's table, () for the file's only task."""

    task: TaskConfig
    numbers: tuple[int, ...]
    path: Path


class Text(NamedTuple):
    """A file of a config as it was read. ``path``: absolute; ``text``: decoded, with ``\\n`` as line end; ``raw``: what tomllib
    made of the text."""

    path: str
    text: str
    raw: dict[str, Any]

    def placer(self) -> Callable[..., Where]:
        """A function from the parts of a key (``"ftp", "Host"``) to the place where the key is written."""
        lines = key_lines(self.text)
        return lambda *keys: Where(self.path, line_of(lines, keys))


def check_words(file: Text, problems: list[LocatedProblem]) -> None:
    """Add a problem for each unknown name at the top level of a file."""
    at = file.placer()
    problems += [_misplaced(at(key), (key,), _TOP) for key in file.raw if key not in _TOP]


def _inherited(main: Text | None, folder: str, problems: list[LocatedProblem]) -> Values:
    """The settings that drop-ins inherit from ``pysubtask.toml``: its sections without TaskName, which must differ from task to
    task."""
    if main is None:
        return Values(folder, problems)
    at, values = main.placer(), Values(os.path.dirname(main.path), problems)
    for section in SECTIONS:
        if section in main.raw:
            values.take(section, main.raw[section], at, (section,))
    values.sections.get("base", {}).pop("TaskName", None)
    return values.copy(problems, folder)


def read_tasks(
    file: Text,
    asked: Sequence[Override],
    environ: Mapping[str, str],
    problems: list[LocatedProblem],
    main: Text | None = None,
    names: Sequence[str] = (),
) -> list[ReadTask]:
    """The tasks of a file that watch anything. Mistakes are added to ``problems``.

    ``asked``: the environment variables for tasks; ``main``: the ``pysubtask.toml`` whose sections the file inherits; ``names``:
    the tasks that are meant (none: all), as secret files of the others are not opened.
    """
    path, raw, at = file.path, file.raw, file.placer()
    check_words(file, problems)
    shared = _inherited(main, os.path.dirname(path), problems)
    for section in SECTIONS:
        if section in raw:
            shared.take(section, raw[section], at, (section,))
    reader = _TaskReader(path, at, asked, environ, problems, names)
    tables = raw.get("tasks")
    if tables is None:
        return reader.task(_file_task(path, shared), shared, raw.get("watch"), ())
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        remedy = "Write [tasks.NAME.ftp] and [[tasks.NAME.watch]] for each."
        problems.append(problem_at(at("tasks"), ("tasks",), "it must hold one table for each task", remedy))
        return []
    if "watch" in raw:
        remedy = "Write [[tasks.NAME.watch]] for the task that it belongs to."
        what = "this file has several tasks, and it belongs to none of them"
        problems.append(problem_at(at("watch"), ("watch",), what, remedy))
    if "TaskName" in shared.sections.get("base", {}):
        place = shared.where("base", "TaskName") or at("base")
        remedy = "Name each by its table: [tasks.NAME.ftp]."
        problems.append(problem_at(place, ("base", "TaskName"), "this file has several tasks", remedy))
        del shared.sections["base"]["TaskName"]
    return [one for name, table in tables.items() for one in reader.named_task(name, table, shared)]


def _misplaced(where: Where, path: Path, names: Sequence[str]) -> LocatedProblem:
    """The problem for an unknown name at the top level: often a setting whose section header is missing."""
    homes = [section for section in SECTIONS if path[-1] in ROWS[section]]
    if homes:
        remedy = f"Put it below the line [{'base' if 'base' in homes else homes[0]}]."
        return problem_at(where, path, "this setting stands in no section", remedy)
    return unknown_section(where, path, names)


def _file_task(path: str, values: Values) -> str:
    """The name of the only task of a file: its TaskName, else for a drop-in the name of the file, else ``main``."""
    folder, name = os.path.split(path)
    default = name.removesuffix(".toml") if os.path.basename(folder) == "conf.d" else _FIRST_TASK
    return str(values.sections.get("base", {}).get("TaskName", default))


def _logs_left_alone(
    entries: list[Entry], given: list[dict[str, Any]], plans: Sequence[Plan]
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries with on_change off for logs of the task itself: each delivery is written to the log, and that change would cause
    the next delivery, without end."""
    logs = {
        os.path.realpath(log)
        for each in plans
        for key in ("Master_Log_FileName", "Subtask_Log_FileName")
        if (log := each.settings[key]) is not None
    }
    for index, entry in enumerate(entries):
        if entry.kind == "file" and entry.on_change and os.path.realpath(entry.path) in logs:
            entries[index] = entry._replace(on_change=False)
            given[index] = {**given[index], "on_change": False}
    return entries, given


def _as_given(item: dict[str, Any]) -> dict[str, Any]:
    """A [[watch]] table as an app would pass it, with the defaults that apply to config files alone."""
    kinds = [kind for kind in CONFIG_FILE_DEFAULTS if kind in item]
    defaults = CONFIG_FILE_DEFAULTS[kinds[0]] if len(kinds) == 1 else {}
    return {**defaults, **{key: _home(value) if key in ("file", "dir") else value for key, value in item.items()}}


def _home(value: Any) -> Any:
    return os.path.expanduser(value) if isinstance(value, str) else value


class _TaskReader:
    """Reads the tasks of one file. The arguments are those of :func:`read_tasks`; ``at``: from the parts of a key to its place."""

    def __init__(
        self,
        path: str,
        at: Callable[..., Where],
        asked: Sequence[Override],
        environ: Mapping[str, str],
        problems: list[LocatedProblem],
        names: Sequence[str],
    ) -> None:
        self._path = path
        self._at = at
        self._asked = asked
        self._environ = environ
        self._problems = problems
        self._names = names

    def named_task(self, name: str, table: dict[str, Any], shared: Values) -> list[ReadTask]:
        """The task of the table ``[tasks.NAME]``."""
        values, at, problems = shared.copy(self._problems), self._at, self._problems
        prefix: Path = ("tasks", name)
        problems += [_misplaced(at(*prefix, key), (*prefix, key), _OF_TASK) for key in table if key not in _OF_TASK]
        for section in SECTIONS:
            if section in table:
                values.take(section, table[section], at, (*prefix, section))
        other = values.sections.get("base", {}).get("TaskName", name)
        if other != name:
            place = values.where("base", "TaskName") or at(*prefix)
            what = f"the task is called {name!r} by its table"
            problems.append(problem_at(place, (*prefix, "base", "TaskName"), what, f"Remove it, or write [tasks.{other}...]."))
        return self.task(name, values, table.get("watch"), prefix)

    def task(self, name: str, values: Values, watch: Any, prefix: Path) -> list[ReadTask]:
        """The task with these settings and entries; none where it watches nothing. ``prefix``: the path of its table."""
        for one in for_task(self._asked, name):
            values.override(one)
        needed = not self._names or name in self._names or name == _FIRST_TASK
        values.fetch_secrets(name, self._environ, needed=needed)
        values.check_written_secrets()
        values.sections.setdefault("base", {})["TaskName"] = name
        given = self._given(watch, prefix)
        found = Problems()
        entries = numbered_entries(given, found, need_one=False, cwd=os.path.dirname(self._path))
        plans = self._plans(values, list(entries.values()) or [Entry("dir", os.path.dirname(self._path))], prefix)
        entries = filled_in_where_right(entries, plans[0].label, found)
        for problem in found.found:
            path = (*prefix, "watch", *problem.path[1:])
            self._problems.append(located(self._at(*path), problem, path))
        if not entries:
            return []
        listed, tables = _logs_left_alone(
            list(entries.values()), [{**given[index], one.kind: one.path} for index, one in entries.items()], plans
        )
        archive = values.where("base", "ArchiveToFolder")
        archives = archive is not None and plans[0].settings["ArchiveToFolder"] is not None
        task = TaskConfig(name, self._path, tables, values.sections, tuple(listed), tuple(plans), archives, values.secret_files)
        return [ReadTask(task, tuple(entries), prefix)]

    def _given(self, watch: Any, prefix: Path) -> list[Any]:
        """The [[watch]] tables as an app would pass them; none where there are none, which is a problem."""
        path = (*prefix, "watch")
        header = key_of(path)
        form = f'[[{header}]] and below it dir = "PATH" (or file = "PATH").'
        wrong = None
        if isinstance(watch, dict):
            wrong = problem_at(self._at(*path), path, "it has single brackets", f"Write [[{header}]]: there may be several.")
        elif not watch:
            wrong = problem_at(self._at(*prefix), path, "no folder or file is named", f"Add {form}")
        elif not isinstance(watch, list):
            wrong = problem_at(self._at(*path), path, "it is no list of tables", f"Write {form}")
        if wrong is not None:
            self._problems.append(wrong)
            return []
        return [_as_given(item) if isinstance(item, dict) else item for item in watch]

    def _plans(self, values: Values, entries: Sequence[Entry], prefix: Path) -> list[Plan]:
        """The plans of the children. A destination of which it is not known whether it is switched on is checked, too."""
        config = {section: dict(found) for section, found in values.sections.items()}
        found = Problems(doubtful_keys(self._problems, prefix))
        on = switched_on(config, found)
        if any(found.doubts("dropbox", key) for key in TOKENS):
            on = list(dict.fromkeys([*on, "dropbox"]))
        if not on or found.doubts("ftp", "Host"):
            on = list(dict.fromkeys(["ftp", *on]))
            ftp = config.setdefault("ftp", {})
            ftp["Host"] = ftp.get("Host") or "host"  # its absence was told, or makes no difference
        folder, place = first_folder(entries), self._at(*prefix)
        plans = [plan(one, f"pysubtask.{one}", config, folder, place.place, found) for one in on]
        keys = ("Master_Log_FileName", "Subtask_Log_FileName")
        logs = [log for each in plans for key in keys if (log := each.settings[key]) is not None]
        with found:
            closed_paths(entries, plans, logs)
        self._problems += [_of_setting(problem, values, place, prefix) for problem in found.found]
        return plans


def _of_setting(problem: Problem, values: Values, place: Where, prefix: Path) -> LocatedProblem:
    """A problem of a setting at the place where that is written, and with the section in which it is. ``place``: of its task."""
    section, key = map(str, problem.path)
    where = values.where(section, key)
    if (section, key) == ("ftp", "UseFTP") and where is None:
        key = "Host"
        where = values.where(section, key)
    elif where is None and section == "ftp":
        where = values.where(section, "Host")  # a part of the URL has no line of its own
    elif key not in values.sections.get(section, {}) and key in values.sections.get("base", {}):
        section = "base"
    return located(where or place, problem, (*prefix, section, key))
