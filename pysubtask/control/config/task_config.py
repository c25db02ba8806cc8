"""The tasks of one config file, each checked as a start of the task would check it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...common.config import SECTIONS, unknown_key
from ...common.entries import CONFIG_FILE_DEFAULTS, Entry, filled_in, first_folder, read_entries
from ...common.errors import ConfigError
from ...master.child_config import Plan, plan, switched_on
from ...master.task_plan import closed_paths
from . import secrets
from .env_overrides import Override
from .problems import Problem, Where, problem_of
from .setting_values import Values, for_task
from .toml_locations import Path, key_lines, line_of

_TOP = (*SECTIONS, "watch", "tasks")
_OF_TASK = (*SECTIONS, "watch")
_FIRST_TASK = "main"
_PLACEHOLDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ftp.Host": ("ftp", {"Host": "host"}),
    "ftp.UseFTP": ("ftp", {"Host": "host", "UseFTP": True}),
    "dropbox.AppKey": ("dropbox", {"AppKey": "key"}),
    "dropbox.RefreshToken": ("dropbox", {"AccessToken": "token"}),
}
"""Values that replace a missing one, so that the remaining mistakes of a file are found in the same run."""


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


def check_words(file: Text, problems: list[Problem]) -> None:
    """Add a problem for each unknown name at the top level of a file."""
    at = file.placer()
    problems += [_misplaced(at(key), key, _TOP) for key in file.raw if key not in _TOP]


def _inherited(main: Text | None, folder: str, problems: list[Problem]) -> Values:
    """The settings that drop-ins inherit from ``pysubtask.toml``: its sections without TaskName, which must differ from task to
    task."""
    if main is None:
        return Values(folder, problems)
    at, values = main.placer(), Values(os.path.dirname(main.path), problems)
    for section in SECTIONS:
        if section in main.raw:
            values.take(section, main.raw[section], _placer(at, (section,)), section)
    values.sections.get("base", {}).pop("TaskName", None)
    return values.copy(problems, folder)


def read_tasks(
    file: Text,
    asked: Sequence[Override],
    environ: Mapping[str, str],
    problems: list[Problem],
    main: Text | None = None,
    names: Sequence[str] = (),
) -> list[TaskConfig]:
    """The tasks of a file. Mistakes are added to ``problems``, and tasks with a mistake are left out.

    ``asked``: the environment variables for tasks; ``main``: the ``pysubtask.toml`` whose sections the file inherits; ``names``:
    the tasks that are meant (none: all), as secret files of the others are not opened.
    """
    path, raw, at = file.path, file.raw, file.placer()
    folder = os.path.dirname(path)
    check_words(file, problems)
    shared = _inherited(main, folder, problems)
    for section in SECTIONS:
        if section in raw:
            shared.take(section, raw[section], _placer(at, (section,)), section)
    tables = raw.get("tasks")
    if tables is None:
        return [
            task
            for task in [_task(path, _file_task(path, shared), shared, raw.get("watch"), at, (), asked, environ, problems, names)]
            if task is not None
        ]
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        remedy = "Write [tasks.NAME.ftp] and [[tasks.NAME.watch]] for each."
        problems.append(Problem(at("tasks"), "tasks", "it must hold one table for each task", remedy))
        return []
    if "watch" in raw:
        remedy = "Write [[tasks.NAME.watch]] for the task that it belongs to."
        problems.append(Problem(at("watch"), "watch", "this file has several tasks, and it belongs to none of them", remedy))
    if "TaskName" in shared.sections.get("base", {}):
        place = shared.where("base", "TaskName") or at("base")
        problems.append(Problem(place, "base.TaskName", "this file has several tasks", "Name each by its table: [tasks.NAME.ftp]."))
        del shared.sections["base"]["TaskName"]
    found = []
    for name, table in tables.items():
        values = shared.copy(problems)
        for key in table:
            if key not in _OF_TASK:
                problems.append(_misplaced(at("tasks", name, key), f"tasks.{name}.{key}", _OF_TASK))
        for section in SECTIONS:
            if section in table:
                values.take(section, table[section], _placer(at, ("tasks", name, section)), f"tasks.{name}.{section}")
        if values.sections.get("base", {}).get("TaskName", name) != name:
            remedy = f"Remove it, or write [tasks.{values.sections['base']['TaskName']}...]."
            place = values.where("base", "TaskName") or at("tasks", name)
            problems.append(Problem(place, f"tasks.{name}.base.TaskName", f"the task is called {name!r} by its table", remedy))
        task = _task(path, name, values, table.get("watch"), at, ("tasks", name), asked, environ, problems, names)
        if task is not None:
            found.append(task)
    return found


def _placer(at: Callable[..., Where], prefix: Path) -> Callable[[str], Where]:
    return lambda key: at(*prefix, key) if key else at(*prefix)


def _misplaced(where: Where, dotted: str, known: Sequence[str]) -> Problem:
    """The problem for an unknown name at the top level: often a setting whose section header is missing."""
    from .setting_values import ROWS

    key = dotted.rpartition(".")[2]
    homes = [section for section in SECTIONS if key in ROWS[section]]
    if homes:
        remedy = f"Put it below the line [{'base' if 'base' in homes else homes[0]}]."
        return Problem(where, dotted, "this setting stands in no section", remedy)
    return problem_of(where, unknown_key("", key, known), key=dotted)._replace(problem="this section is not known")


def _file_task(path: str, values: Values) -> str:
    """The name of the only task of a file: its TaskName, else for a drop-in the name of the file, else ``main``."""
    folder, name = os.path.split(path)
    default = name.removesuffix(".toml") if os.path.basename(folder) == "conf.d" else _FIRST_TASK
    return str(values.sections.get("base", {}).get("TaskName", default))


def _task(
    path: str,
    name: str,
    values: Values,
    watch: Any,
    at: Callable[..., Where],
    prefix: Path,
    asked: Sequence[Override],
    environ: Mapping[str, str],
    problems: list[Problem],
    names: Sequence[str],
) -> TaskConfig | None:
    before = len(problems)
    for one in for_task(asked, name):
        values.override(one)
    values.fetch_secrets(name, environ, needed=not names or name in names or name == _FIRST_TASK)
    for key, where in values.secrets_written():
        try:
            secrets.check_private(key, where.place, os.stat(where.place))
        except ConfigError as exc:
            problems.append(problem_of(where, exc))
    values.sections.setdefault("base", {})["TaskName"] = name
    entries, given = _watch(path, watch, at, prefix, problems)
    plans = _plans(values, entries or [Entry("dir", os.path.dirname(path))], at(*prefix), ".".join(map(str, prefix)), problems)
    if len(problems) > before or not entries:
        return None
    entries = _filled_in(entries, plans[0].label, at, prefix, problems)
    if len(problems) > before:
        return None
    entries, given = _logs_left_alone(entries, given, plans)
    archive = values.where("base", "ArchiveToFolder")
    archives = archive is not None and plans[0].settings["ArchiveToFolder"] is not None
    return TaskConfig(name, path, given, values.sections, tuple(entries), tuple(plans), archives, values.secret_files)


def _filled_in(entries: list[Entry], label: str, at: Callable[..., Where], prefix: Path, problems: list[Problem]) -> list[Entry]:
    try:
        return filled_in(entries, label)
    except ConfigError as exc:
        index = int(exc.key.partition("[")[2].partition("]")[0])
        header = ".".join(map(str, (*prefix, "watch")))
        problems.append(problem_of(at(*prefix, "watch", index, "as"), exc, key=f"{header}[{index + 1}].as"))
        return entries


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


def _watch(
    path: str, watch: Any, at: Callable[..., Where], prefix: Path, problems: list[Problem]
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries, and their tables as an app would pass them. Each wrong entry is a problem of its own; then both lists are
    empty."""
    header = ".".join(map(str, (*prefix, "watch")))
    if isinstance(watch, dict):
        problems.append(
            Problem(at(*prefix, "watch"), header, "it has single brackets", f"Write [[{header}]]: there may be several.")
        )
        return [], []
    if not watch:
        remedy = f'Add [[{header}]] and below it dir = "PATH" (or file = "PATH").'
        problems.append(Problem(at(*prefix), header, "no folder or file is named", remedy))
        return [], []
    if not isinstance(watch, list):
        remedy = f'Write [[{header}]] and below it dir = "PATH" (or file = "PATH").'
        problems.append(Problem(at(*prefix, "watch"), header, "it is no list of tables", remedy))
        return [], []
    good: list[tuple[int, dict[str, Any]]] = []
    before = len(problems)
    for index, item in enumerate(watch):
        given = _as_given(item) if isinstance(item, dict) else item
        problems.extend(_problems_of_entry(given, index, os.path.dirname(path), at, prefix, header))
        if isinstance(given, dict):
            good.append((index, given))
    if len(problems) > before:
        return [], []
    while True:
        try:
            entries = read_entries([given for _, given in good], cwd=os.path.dirname(path))
        except ConfigError as exc:
            number = int(exc.key.partition("[")[2].partition("]")[0])
            index = good.pop(number)[0]
            problems.append(problem_of(at(*prefix, "watch", index), exc, key=f"{header}[{index + 1}]"))
            continue
        return entries, [{**given, entry.kind: entry.path} for (_, given), entry in zip(good, entries, strict=True)]


def _as_given(item: dict[str, Any]) -> dict[str, Any]:
    """A [[watch]] table as an app would pass it, with the defaults that apply to config files alone."""
    kinds = [kind for kind in CONFIG_FILE_DEFAULTS if kind in item]
    defaults = CONFIG_FILE_DEFAULTS[kinds[0]] if len(kinds) == 1 else {}
    return {**defaults, **{key: _home(value) if key in ("file", "dir") else value for key, value in item.items()}}


def _home(value: Any) -> Any:
    return os.path.expanduser(value) if isinstance(value, str) else value


def _problems_of_entry(
    given: Any, index: int, folder: str, at: Callable[..., Where], prefix: Path, header: str
) -> Iterator[Problem]:
    """A problem for each wrong key of an entry: a key with a mistake is removed and the rest is checked again."""
    while True:
        try:
            read_entries([given], cwd=folder)
            return
        except ConfigError as exc:
            key = exc.key.partition("].")[2]
            where = at(*prefix, "watch", index, *([key] if key else []))
            value = given.get(key, ...) if isinstance(given, dict) else ...
            yield problem_of(where, exc, key=f"{header}[{index + 1}]" + (f".{key}" if key else ""), value=value)
            if not isinstance(given, dict) or key not in given or key in ("file", "dir"):
                return
            given = {name: item for name, item in given.items() if name != key}


def _plans(values: Values, entries: Sequence[Entry], place: Where, prefix: str, problems: list[Problem]) -> list[Plan]:
    """The plans of the children. To find every mistake, a wrong value is removed and the rest is checked again."""
    config = {section: dict(found) for section, found in values.sections.items()}
    seen: set[str] = set()
    while True:
        try:
            folder = first_folder(entries)
            plans = [plan(one, f"pysubtask.{one}", config, folder, place.place) for one in switched_on(config)]
            logs = [
                log
                for each in plans
                for key in ("Master_Log_FileName", "Subtask_Log_FileName")
                if (log := each.settings[key]) is not None
            ]
            closed_paths(entries, plans, logs)
            return plans
        except ConfigError as exc:
            if exc.key in seen:
                return []
            seen.add(exc.key)
            section, _, key = exc.key.partition(".")
            home = section if key in config.get(section, {}) else "base"
            value = config.get(home, {}).pop(key, ...)
            untold = True
            if exc.key == "ftp.UseFTP" and value is ...:
                key = "Host"
                mine = [one for one in problems if not one.key.startswith("tasks.") or one.key.startswith(f"{prefix}.")]
                untold = not any("Host" in one.key or "section" in one.problem or one.key in SECTIONS for one in mine)
            if untold:
                where = values.where(section, key) or place
                dotted = ".".join(filter(None, (prefix, section, key)))
                problems.append(problem_of(where, exc, key=dotted, value=value))
            filler, more = _PLACEHOLDERS.get(exc.key, (section, {}))
            config.setdefault(filler, {}).update(more)
            if not more and value is ...:
                return []
