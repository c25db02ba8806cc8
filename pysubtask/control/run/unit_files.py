"""The units that ``pysubtask service --install`` wrote, recognized by their first line."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from typing import NamedTuple

from ...common import effective_user, registry
from .systemd_unit import GENERATED_BY, unquoted, words_of

SYSTEM_UNITS = "/etc/systemd/system"
SYSTEM_STATE = "/var/lib"
"""The folder in which the system's manager creates a StateDirectory."""
_ENDING = ".service"
_MOST_BYTES = 1024 * 1024


class Unit(NamedTuple):
    """A unit that ``service --install`` wrote. ``path``: its file; ``name``: of the service; ``user``: whose rights it has, '' in a
    user's own manager; ``registry``: where its records are, '' for the user's usual place; ``state``: its StateDirectory, a name;
    ``folders``: what it watches; ``config``: what it runs."""

    path: str
    name: str
    user: str
    registry: str
    state: str
    folders: tuple[str, ...]
    config: str


def user_units() -> str:
    """The folder with the units of this user's own manager."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "systemd", "user")


def installed(folder: str = "") -> list[Unit]:
    """The units that pysubtask wrote into the system's folder, or into ``folder``, sorted by name."""
    folder = folder or SYSTEM_UNITS
    found = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            unit = read(os.path.join(folder, name)) if name.endswith(_ENDING) else None
            if unit is not None:
                found.append(unit)
    return found


def read(path: str) -> Unit | None:
    """The unit in this file; None where there is none, or where pysubtask did not write it."""
    text = text_of(path)
    if text is None:
        return None
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values.setdefault(key, []).append(value)
    environ = dict(word.partition("=")[::2] for line in values.get("Environment", []) for word in [unquoted(line)])
    command = values.get("ExecStart", [""])[0]
    return Unit(
        path,
        os.path.basename(path).removesuffix(_ENDING),
        next(iter(values.get("User", [])), "").replace("%%", "%"),
        environ.get(registry.VARIABLE, ""),
        next(iter(values.get("StateDirectory", [])), "").replace("%%", "%"),
        tuple(word for value in values.get("RequiresMountsFor", []) for word in words_of(value)),
        command.partition(" run ")[2],
    )


def text_of(path: str) -> str | None:
    """The text of a unit that pysubtask wrote; None where the file is another's, a link, or no regular file of root or this
    user."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, effective_user.now()):
            return None
        text = file.read(_MOST_BYTES).decode("utf-8", "surrogateescape")
    return text if text.startswith(GENERATED_BY) else None


def drop_ins(unit_path: str) -> tuple[list[str], list[str]]:
    """The drop-ins of a unit: those that pysubtask wrote, and those of others."""
    folder = f"{unit_path}.d"
    ours: list[str] = []
    others: list[str] = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            (ours if text_of(path) is not None else others).append(path)
    return ours, others


def uid_of(unit: Unit) -> int | None:
    """The uid whose rights the service has; None where the system does not know the user."""
    if sys.platform == "win32":
        raise NotImplementedError
    import pwd

    if unit.user.isdecimal():
        return int(unit.user)
    try:
        return pwd.getpwnam(unit.user).pw_uid
    except KeyError:
        return None


def remove(paths: Iterable[str]) -> None:
    """Remove those of these files that pysubtask wrote; others stay. OSError where one cannot be removed."""
    for path in paths:
        if text_of(path) is not None:
            os.unlink(path)
