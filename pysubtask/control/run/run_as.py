"""``pysubtask run --run-as`` and ``RunAs``: the whole process becomes that user before it opens anything but the config."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...common.errors import ConfigError
from ...common.run_as import KEY, Identity, become, identity, not_root
from ..config.config_file import find_place, raw_configs
from ..config.env_overrides import Override, overrides
from ..config.setting_values import KEYS
from ..config.task_config import TaskConfig
from ..exit_status import FAILED, CommandError

OPTION = "--run-as"
_AGREE = "Give all the same RunAs, or run each by itself: pysubtask run --task NAME."


def of_option(text: str | None) -> Identity | None:
    """The user that the option names. ConfigError for none."""
    return None if text is None else identity(text, OPTION)


def of_tasks(tasks: Sequence[TaskConfig], option: Identity | None) -> Identity | None:
    """Whose rights these tasks are to have; None where nothing is said. ConfigError where they do not agree, as they are all run by
    one process."""
    configured = {f"{task.name}/{plan.extension}": plan.settings["RunAs"] for task in tasks for plan in task.plans}
    found = {name: identity(text) if text is not None else option for name, text in configured.items()}
    users = {(one.uid, one.gid) if one is not None else None for one in found.values()}
    if option is not None:
        for name, one in found.items():
            if one is not None and (one.uid, one.gid) != (option.uid, option.gid):
                raise ConfigError(
                    OPTION,
                    f"the config says that {name} is run as {one}, not as {option}",
                    "Leave the option out, or change RunAs.",
                )
    if len(users) > 1:
        listing = ", ".join(f"{name}: {one if one is not None else 'nothing'}" for name, one in found.items())
        raise ConfigError(KEY, f"one process runs all these tasks, and they name several users ({listing})", _AGREE)
    return next(iter(found.values()), option)


def of_raw_configs(raws: Iterable[Mapping[str, Any]], variables: Iterable[Override], names: Sequence[str]) -> Identity | None:
    """The user that the unchecked TOML of a config and the environment ``variables`` name in RunAs, None where they name nobody.

    Root asks for the user before it opens any file that the config names, because the user's secrets are for the user alone to
    read; the checks of the config follow with the user's rights. ``names``: the tasks that are meant. ConfigError where the tasks
    name several users.
    """
    words = {one.text for one in variables if one.key == "RunAs"}
    for raw in raws:
        tasks = raw.get("tasks")
        tables = dict(tasks) if isinstance(tasks, dict) else {}
        meant = {name: table for name, table in tables.items() if name in names} or tables
        for table in [raw, *meant.values()]:
            sections = table.values() if isinstance(table, dict) else ()
            words |= {
                section["RunAs"] for section in sections if isinstance(section, dict) and isinstance(section.get("RunAs"), str)
            }
    if len(words) > 1:
        listing = ", ".join(sorted(words))
        raise ConfigError(KEY, f"one process runs all these tasks, and they name several users ({listing})", _AGREE)
    return next(map(identity, words), None)


def turn_into(one: Identity) -> None:
    """Become that user; nothing where this process is his already. ConfigError, CommandError where that cannot be."""
    if one.is_this_process:
        return
    if os.geteuid() != 0:
        raise not_root(one)
    try:
        become(one)
    except OSError as exc:
        raise CommandError(f"This process cannot become {one} ({exc.strerror or exc}). Start it as that user.", FAILED) from exc
    _check_program(one)


def _check_program(one: Identity) -> None:
    """What is imported later, and what a child is started with, must be there for that user too."""
    package = sys.modules[__name__.partition(".")[0]].__file__ or __file__
    for path, right in ((sys.executable, os.X_OK), (package, os.R_OK)):
        if path and not os.access(path, right):
            raise CommandError(
                f"{one} may not use {path}. Install pysubtask where everybody may read it, as in a virtual environment below /opt.",
                FAILED,
            )


def turn_into_users_of(
    config: str | None, environ: Mapping[str, str], names: Sequence[str] = (), option: Identity | None = None
) -> str | None:
    """Where this process is root's: become the user that a config names (``option``: or that one), before anything that it names
    is looked at. The config as a word that means the same to him. ConfigError, CommandError."""
    if os.name != "posix" or os.geteuid() != 0:
        return config
    found = find_place(config, environ)
    # Where root finds it the user reads it: what he does not obey, or may not read, shows at once.
    one = option or of_raw_configs(raw_configs(found, environ), overrides(environ, KEYS), names)
    if one is None:
        return config
    turn_into(one)
    return found
