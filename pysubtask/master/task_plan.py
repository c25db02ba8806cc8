"""What a master needs to run a task, and the checks of what all of its children have in common."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..common.entries import Entry, filled_in, first_folder
from ..common.errors import ConfigError
from ..common.never_sent import NeverSent
from ..common.problem import spelt
from ..common.read_from import Stamps, stamps_of
from ..common.watched import Watched
from .burst import Rule
from .child import can_be_started, folders_for
from .child_config import Plan, default_bak, script_of_app
from .excluded_files import CONFIG, all_own, check_entries


class ConfigOrigin(NamedTuple):
    """Where a config comes from, for a master that is started by a config file."""

    path: str = ""
    """The config file; '' for an app's own config."""
    beside: Mapping[str, str] = {}
    """Files that are no data, besides those of the plans: absolute path -> what it is."""
    closed: tuple[str, ...] = ()
    """Folders that are left out, besides those of the plans."""
    read_from: Stamps | None = None
    """The files that the settings were read from, as they were then; None: the modules of the config as they are now."""


class LogPlan(NamedTuple):
    """Where the lines of a master and of its children go."""

    file: str | None
    """The log file of the master: None for none, '' for that of the settings."""
    console: bool
    """Whether lines go to the console, too."""
    app: logging.Logger | None = None
    """The app's own logger that lines are handed to; None for none."""


class TaskPlan(NamedTuple):
    """A task as a master was made for it, checked. The repr shows no secret."""

    entries: list[Entry]
    """What is watched."""
    plans: list[Plan]
    """One for each child."""
    folders: list[tuple[str, ...]]
    """For each child the folders that are added to its PYTHONPATH."""
    rule: Rule
    """When notifies are held back."""
    cwd: str
    """The working folder, in which the children work: the app may change its own before a restart."""
    log: LogPlan
    """Where lines go."""
    closed: tuple[str, ...]
    """Absolute paths of what is left out where it lies inside a recursive folder."""
    never_sent: NeverSent
    """The files that are no data."""
    watched: Watched
    """The files that may be notified."""
    read_from: Stamps
    """The files that the settings were read from, as they were then."""


def task_plan(entries: list[Entry], plans: Sequence[Plan], log: LogPlan, origin: ConfigOrigin) -> TaskPlan:
    """The plan of a task with these entries and children, whose programs and users are checked already (``check_start``).
    ConfigError names key and remedy."""
    cwd, script = os.getcwd(), script_of_app()
    search = [*sys.path, *([os.path.dirname(os.path.abspath(script))] if script else []), cwd]
    first = plans[0]
    rule = Rule.of(first.burst)
    folders = [folders_for(plan.module, package_file(), search) for plan in plans]
    log = log._replace(file=first.settings["Master_Log_FileName"] if log.file == "" else log.file)
    files = [log.file, *(plan.settings["Subtask_Log_FileName"] for plan in plans)]
    logs = [os.path.normpath(os.path.join(cwd, file)) for file in files if file is not None]
    closed = (*closed_paths(entries, plans, logs), *origin.closed)
    check_mount_covers(entries, plans)
    check_state(plans)
    never_sent = all_own(entries, plans, logs, origin.beside)
    check_entries(entries, never_sent)
    stamps = origin.read_from
    if stamps is None:
        stamps = stamps_of({path: "the config" for path, what in first.own.items() if what == CONFIG})
    watched = Watched(entries, set(closed), never_sent)
    return TaskPlan(entries, list(plans), folders, rule, cwd, log, closed, never_sent, watched, stamps)


def check_start(entries: list[Entry], plans: Sequence[Plan]) -> list[Entry]:
    """The entries with their placeholders filled in. ConfigError where this process may not start these children: because of how
    it was started itself, of its user, or of the owners of folders and files."""
    _check_not_imported_again()
    for each in plans:
        can_be_started(each.module)
    entries = filled_in(entries, plans[0].label)
    if os.name == "posix":
        from ..common.named_files import check_files
        from ..common.run_as import IN_APP, check_folders, check_process

        check_process(each.settings["RunAs"] for each in plans)
        check_folders(entries, IN_APP)
        for each in plans:
            check_files(each.extension, each.settings)
    return entries


def package_file() -> str:
    """The file of this package."""
    return sys.modules[__name__.partition(".")[0]].__file__ or __file__


def _check_not_imported_again() -> None:
    """A process of multiprocessing that is spawned imports the app's main module once more, as ``__mp_main__``: a master that is
    created by that import would be a second one of the same task. ConfigError."""
    again = sys.modules.get("__mp_main__")
    if again is not None and again is not sys.modules.get("__main__"):
        problem = "it is made a second time, while a process of multiprocessing ('spawn', 'forkserver') imports the main module"
        raise ConfigError("TaskMaster", problem, "Make it below: if __name__ == '__main__':")


def check_state(plans: Sequence[Plan]) -> None:
    """ConfigError where the state is not kept in the watched folder, and cannot be kept where it is to be: nothing is begun there
    or anywhere else then."""
    for one in plans:
        if not one.state_why or not hasattr(os, "geteuid"):
            continue
        from ..common.place import existing
        from ..common.state_place import base_of
        from ..common.trust import doubt_about

        base, key = base_of(one.state_dir), one.state_named_by
        there = existing(base)
        explicit = key == "StateFolder"
        if explicit and there != base:
            continue  # it is waited for
        remedy = "Name a folder of this user's own that nobody else may write."
        if explicit:
            doubt = doubt_about(there)
            if doubt is not None:
                raise ConfigError("base.StateFolder", f"{doubt}, so the state would not be safe in {base}", remedy)
        if os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            continue
        problem = f"the state cannot be kept in {base} ({key}), which this user may not write here"
        if not explicit:
            problem += f"; it is not kept beside the data, since {one.state_why}"
        raise ConfigError(
            "base.StateFolder",
            problem,
            f"{remedy} A systemd unit has to let it be written: one that "
            "'pysubtask service --install' makes anew does (StateDirectory=, ReadWritePaths=).",
        )


def check_mount_covers(entries: Sequence[Entry], plans: Sequence[Plan]) -> None:
    """ConfigError where nothing that is watched lies in the folder of RequiresMount."""
    for one in plans:
        place = one.settings["RequiresMount"]
        if place is not None and not any(f"{entry.path}{os.sep}".startswith(os.path.join(place, "")) for entry in entries):
            now = ", ".join(entry.path for entry in entries) or "nothing"
            remedy = (f"Watch a folder in it (now: {now}), or set it to ", spelt(None), ".")
            raise ConfigError("base.RequiresMount", f"nothing that is watched lies in {place}", remedy)


def closed_paths(entries: Sequence[Entry], plans: Sequence[Plan], logs: Sequence[str]) -> tuple[str, ...]:
    """What is left out where it lies inside a recursive folder: folders for snapshots and archive, log files and theirs, and
    what this program or ssh keeps in the user's home.

    ConfigError where old files would be moved to a place from which they are taken for new ones.
    """
    first = first_folder(entries)
    closed = [plan.bak_dir for plan in plans if plan.bak_dir is not None]
    for plan in plans:
        if plan.state_why:
            # The place itself, and files that an earlier version left beside the data.
            closed.append(os.path.dirname(os.path.dirname(plan.state_dir)))
            if plan.settings["BakToFolder"] is not None:
                closed.append(os.path.normpath(os.path.join(first, plan.settings["BakToFolder"])))
        if plan.config_file:
            # The folder that an earlier version kept the copies in.
            closed.append(os.path.normpath(os.path.join(first, default_bak(plan.extension))))
    for plan in plans:
        if plan.settings["ArchiveToFolder"] is None:
            continue
        archive = os.path.normpath(os.path.join(first, plan.settings["ArchiveToFolder"]))
        if any(entry.recursive and entry.path == archive for entry in entries):
            problem = f"{archive} is watched with all that is in it"
            remedy = ("Give it a folder of its own, or ", spelt(None), " for no archive.")
            raise ConfigError("base.ArchiveToFolder", problem, remedy)
        if archive != first:
            closed.append(archive)
    return tuple(dict.fromkeys([*closed, *logs, *map(os.path.dirname, logs), *_of_the_home(entries)]))


def _of_the_home(entries: Sequence[Entry]) -> list[str]:
    """Keys, configs and records, where a home folder is watched with its subfolders."""
    above = tuple(os.path.join(entry.path, "") for entry in entries if entry.recursive)
    if not above:
        return []
    from ..common import registry, state_place

    config = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "pysubtask")
    own = (os.path.expanduser("~/.ssh"), config, os.path.abspath(registry.folder()), os.path.abspath(state_place.home_base()))
    return [path for path in own if path.startswith(above)]
