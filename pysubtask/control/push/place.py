"""The destination of a push: a URL, or a task of a config. A URL never holds a password, and no error repeats one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ...common import address
from ...common.config import unknown_key
from ...common.errors import ConfigError
from ...common.problem import Problems
from ...master.child_config import plan
from ..config.config_file import load
from ..config.setting_values import ROWS
from ..doctor.source import Target, of_plan
from ..exit_status import NO_TASK, CommandError

TOKENS = {"RefreshToken": "PYSUBTASK_REFRESH_TOKEN", "AccessToken": "PYSUBTASK_ACCESS_TOKEN"}
"""Settings of Dropbox that an environment variable may give."""
_WORDS = address.Words(
    "DEST",
    "Leave it out: it is asked for on a terminal, or give it by --password-file or PYSUBTASK_PASSWORD. On a command line every "
    "process on this machine can read it, and your shell remembers it: if it was a real one, change it.",
    f"Give it as {address.FORMS}, or the name of a task of a config.",
)


def of_url(dest: str, options: Sequence[str], password: str | None, environ: Mapping[str, str]) -> Target:
    """The destination of a URL, with the settings of ``options`` (KEY=VALUE). Raises ConfigError for a wrong URL or option.

    A folder is relative to the folder in which a login begins; two slashes make it absolute, as in sftp://host//srv/in.
    """
    section, values = parsed(dest)
    values |= _options(section, options)
    if section == "dropbox":
        values |= {key: environ[name] for key, name in TOKENS.items() if environ.get(name)}
    elif password is not None:
        values["Password"] = password
    child_plan = plan(section, f"pysubtask.{section}", {section: values}, os.getcwd())
    return of_plan(child_plan, None, "toml")


def of_task(word: str, config: str | None, options: Sequence[str], password: str | None, environ: Mapping[str, str]) -> Target:
    """The destination of a task (``roof``, or ``roof/ftp`` where the task has several). Raises CommandError or ConfigError for
    others."""
    name, _, extension = word.partition("/")
    if "@" in name:
        remedy = f"Write {word}: with a colon and the folder behind it, as scp takes it, or sftp://{word}."
        raise ConfigError("DEST", f"{word!r} names a server and no folder", remedy)
    found = load(config, environ).named([name])[0].plans
    fitting = [child_plan for child_plan in found if extension in ("", child_plan.extension)]
    if len(fitting) != 1:
        known = ", ".join(f"{name}/{child_plan.extension}" for child_plan in found)
        raise CommandError(f"{word!r} is {'no' if not fitting else 'not one'} destination. There are: {known}.", NO_TASK)
    child_plan = fitting[0]
    child_plan.settings.update(_options(child_plan.extension, options))
    if password is not None and child_plan.extension == "ftp":
        child_plan.settings["Password"] = password
    return of_plan(child_plan, None, "toml")


def parsed(dest: str) -> tuple[str, dict[str, Any]]:
    """The section and the settings of a URL. Raises ConfigError, which never repeats a password."""
    section, values = address.parsed(dest, _WORDS)
    return section, {"UseDropbox" if section == "dropbox" else "UseFTP": True, **values}


def _options(section: str, options: Sequence[str]) -> dict[str, Any]:
    rows = {**ROWS["base"], **ROWS[section]}
    values: dict[str, Any] = {}
    problems = Problems()
    for option in options:
        key, sign, text = option.partition("=")
        with problems:
            if not sign:
                raise ConfigError("--set", f"{key!r} has no value", "Write it as KEY=VALUE, such as RateLimit=50k.")
            if key not in rows:
                raise unknown_key("--set", key, rows)
            if rows[key].secret:
                raise ConfigError(
                    f"--set {key}",
                    "a secret is never an option: every process on this machine can read it",
                    "Use --password-file, PYSUBTASK_PASSWORD, or a task of a config.",
                )
            values[key] = rows[key].read(section, text)
    problems.raise_all()
    return values
