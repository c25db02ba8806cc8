"""``pysubtask run --run-as USER`` and ``RunAs``: the process becomes that user before it opens any file but the config."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...common import effective_user
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
    """The user that --run-as names, None without the option. ConfigError where there is no such user."""
    return None if text is None else identity(text, OPTION)


def of_tasks(tasks: Sequence[TaskConfig], option: Identity | None) -> Identity | None:
    """The user whose rights these tasks are to have; None where neither the option nor a RunAs names one. ConfigError where the
    tasks name different users, because one process runs them all."""
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
    """Become that user; nothing is done where the process has that user's rights already. ConfigError where this process is not
    root's, CommandError where the system refuses, or the user may not read this program."""
    if one.is_this_process:
        return
    if effective_user.now() != 0:
        raise not_root(one)
    try:
        become(one)
    except OSError as exc:
        raise CommandError(f"This process cannot become {one} ({exc.strerror or exc}). Start it as that user.", FAILED) from exc
    _check_program(one)


def _check_program(one: Identity) -> None:
    """CommandError where that user may not read this package or run this Python: modules are imported later, and children
    started."""
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
    """In a process of root: become the user of the ``option``, or else the user that the config names, before any file that the
    config names is examined. Returns the config as a path that means the same to that user. ConfigError and CommandError as
    :func:`of_raw_configs` and :func:`turn_into` raise them."""
    if os.name != "posix" or effective_user.now() != 0:
        return config
    found = find_place(config, environ)
    # The user reads the same config that root has found: one that the user may not read, or must not trust, is refused then.
    one = option or of_raw_configs(raw_configs(found, environ), overrides(environ, KEYS), names)
    if one is None:
        return config
    turn_into(one)
    return found
