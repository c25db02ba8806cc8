"""Where a push goes: a URL, or a task of a config. A URL never holds a password, and no error repeats one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ...common.config import unknown_key
from ...common.errors import ConfigError
from ...master.destinations import plan
from ..config_file import load
from ..doctor.source import Target, of_plan
from ..exits import NO_TASK, CommandError
from ..task_values import ROWS

SCHEMES = ("sftp", "ftp", "ftps")
TOKENS = {"RefreshToken": "PYSUBTASK_REFRESH_TOKEN", "AccessToken": "PYSUBTASK_ACCESS_TOKEN"}
"""Settings of Dropbox that an environment variable may give."""
_IMPLICIT_TLS = 990
_REMEDY = "Give it as sftp://user@host:port/folder, ftp://..., ftps://..., dropbox:/folder, or the name of a task of a config."


def is_url(dest: str) -> bool:
    """Whether this is a URL and no name of a task."""
    return "://" in dest or dest.startswith("dropbox:")


def of_url(dest: str, options: Sequence[str], password: str | None, environ: Mapping[str, str]) -> Target:
    """The destination that a URL names, with the settings of ``options`` (KEY=VALUE). ConfigError where it is wrong.

    A folder is relative to the one a login starts in; from the root with two slashes, as in sftp://host//srv/in.
    """
    section, values = parsed(dest)
    values |= _options(section, options)
    if section == "dropbox":
        values |= {key: environ[name] for key, name in TOKENS.items() if environ.get(name)}
    elif password is not None:
        values["Password"] = password
    made = plan(section, f"pysubtask.{section}", {section: values}, os.getcwd())
    return of_plan(made, None, "toml")


def of_task(word: str, config: str | None, options: Sequence[str], password: str | None, environ: Mapping[str, str]) -> Target:
    """The destination of a task (``roof``, or ``roof/ftp`` where it has several). CommandError or ConfigError otherwise."""
    name, _, extension = word.partition("/")
    found = load(config, environ).named([name])[0].plans
    fitting = [made for made in found if extension in ("", made.extension)]
    if len(fitting) != 1:
        known = ", ".join(f"{name}/{made.extension}" for made in found)
        raise CommandError(f"{word!r} is {'no' if not fitting else 'not one'} destination. There are: {known}.", NO_TASK)
    made = fitting[0]
    made.settings.update(_options(made.extension, options))
    if password is not None and made.extension == "ftp":
        made.settings["Password"] = password
    return of_plan(made, None, "toml")


def parsed(dest: str) -> tuple[str, dict[str, Any]]:
    """The section and the settings that a URL says. ConfigError, which never repeats a password."""
    scheme, _, rest = dest.partition(":")
    place, _, path = rest.removeprefix("//").partition("/")
    login, at, address = place.rpartition("@")
    if ":" in login:
        raise ConfigError(
            "DEST", "it has a password in it, which every process on this machine can read, and your shell remembers",
            "Leave it out, and give it by --password-file or PYSUBTASK_PASSWORD. If it was a real one, change it.",
        )  # fmt: skip
    if scheme == "dropbox":
        return "dropbox", {"UseDropbox": True, "HostPath": unquote(rest).strip("/")}
    if scheme not in SCHEMES or not rest.startswith("//"):
        raise ConfigError("DEST", f"{scheme!r} is not known", _REMEDY)
    if "?" in rest or "#" in rest:
        raise ConfigError("DEST", "a ? or # has a meaning of its own in a URL", "Write %3F for ? and %23 for #.")
    host, port = _address(address)
    if not host:
        raise ConfigError("DEST", "it names no host", _REMEDY)
    values: dict[str, Any] = {"UseFTP": True, "UseSFTP": scheme == "sftp", "Host": host, "HostPath": unquote(path)}
    if at:
        values["User"] = unquote(login)
    if port is not None:
        values["HostPort"] = port
    if scheme == "ftps":
        values["UseTLS"] = "implicit" if port == _IMPLICIT_TLS else "explicit"
    return "ftp", values


def _address(text: str) -> tuple[str, int | None]:
    """Host and port; not by urllib, which writes the host in small letters, and ssh's configuration knows the difference."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        return (host or port).strip("[]"), None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError("DEST", f"{port!r} is not a port", "Give a number from 1 to 65535, or leave it out.")
    return host.strip("[]"), int(port)


def _options(section: str, options: Sequence[str]) -> dict[str, Any]:
    rows = {**ROWS["base"], **ROWS[section]}
    values = {}
    for option in options:
        key, sign, text = option.partition("=")
        if not sign:
            raise ConfigError("--set", f"{key!r} has no value", "Write it as KEY=VALUE, such as RateLimit=50k.")
        if key not in rows:
            raise unknown_key("--set", key, rows)
        if rows[key].secret:
            raise ConfigError(f"--set {key}", "a secret is never an option: every process on this machine can read it",
                              "Use --password-file, PYSUBTASK_PASSWORD, or a task of a config.")  # fmt: skip
        values[key] = rows[key].read(section, text)
    return values
