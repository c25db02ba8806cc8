"""Which files a config makes this program's own: the config's, those its settings name, the logs, and modules with a secret."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common.config import Section, Setting, is_secret
from ..common.entries import Entry
from ..common.never_sent import NeverSent, of_task
from ..common.own_names import LOG
from ..common.problem import Problems

if TYPE_CHECKING:
    from .child_config import Plan

CONFIG = "the config itself"
_KEY_HALVES = (".pub", "-cert.pub")
_LEAST_SECRET = 4  # characters; a shorter one is found in anything
_LONGEST_MODULE = 4 * 1024 * 1024  # bytes; source with a secret typed into it is shorter
_MOST_SECS = 0.002
_OPENED = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""No call of the app lists a folder again for configs where that took longer: the child does."""


def of_settings(section: str, rows: Iterable[Setting], settings: Mapping[str, Any]) -> dict[str, str]:
    """The files that the settings of a child name (absolute path -> what it is); relative paths begin in the working folder."""
    found: dict[str, str] = {}
    for row in rows:
        value = settings.get(row.key)
        if not isinstance(value, str) or not value:
            continue
        if row.names == "log":
            found[os.path.abspath(value)] = LOG
        elif row.names == "file" and value.lower() != "none" and (row.default is None or os.sep in value):
            path = os.path.abspath(os.path.expanduser(value))
            found.update(
                _with_halves(path, f"named by {section}.{row.key}")
                if row.key == "KeyFile"
                else {path: f"named by {section}.{row.key}"}
            )
    return found


def of_command(words: Sequence[str] | None) -> dict[str, str]:
    """The programs that ``alerts.Command`` names by a path: a script may have a token in it. Its other files may well be data."""
    if words is None:
        return {}
    named = [word for word in words[1:] if os.path.isfile(word) and os.access(word, os.X_OK)]
    return {word: "named by alerts.Command" for word in [words[0], *named] if os.path.isabs(word)}


def _with_halves(key: str, why: str) -> dict[str, str]:
    """A private key, its public half and its certificate, whichever of them was named."""
    for ending in reversed(_KEY_HALVES):
        key = key.removesuffix(ending)
    return {key: why} | {key + ending: f"it belongs to the key {why}" for ending in _KEY_HALVES}


def of_config(config: Any, file: str) -> dict[str, str]:
    """The files that hold a config: ``file`` ('' for an app's own), or the module it is or is defined in, with those of the
    packages around it."""
    found = {file: CONFIG} if file else {}
    if isinstance(config, (Mapping, types.SimpleNamespace)):
        parts = config if isinstance(config, Mapping) else vars(config)
        for part in parts.values():
            if isinstance(part, types.ModuleType):
                found.update(of_config(part, ""))
        return found
    if config is None or isinstance(config, Section):
        return found
    if isinstance(config, types.ModuleType):
        name: Any = config.__name__
        if isinstance(path := getattr(config, "__file__", None), str):
            found[os.path.abspath(path)] = CONFIG
    else:
        name = getattr(config, "__module__", None)
    while isinstance(name, str) and name:
        path = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(path, str):
            found.setdefault(os.path.abspath(path), CONFIG)
        name = name.rpartition(".")[0]
    return found


def of_modules(entries: Sequence[Entry], settings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Modules of this program, in a watched folder, that have a secret of the settings written in them."""
    secrets = {
        value.encode()
        for each in settings
        for key, value in each.items()
        if is_secret(key) and isinstance(value, str) and len(value) >= _LEAST_SECRET
    }
    if not secrets:
        return {}
    roots = {os.path.join(os.path.realpath(entry.path), "") for entry in entries if entry.kind == "dir"}
    roots |= {os.path.join(os.path.realpath(os.path.dirname(entry.path)), "") for entry in entries if entry.kind == "file"}
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__dict__", {}).get("__file__")
        if not isinstance(path, str) or not os.path.realpath(path).startswith(tuple(roots)):
            continue
        try:
            # A user who may write the folder may put a pipe there, and opening it must not block the app.
            with open(path, "rb", opener=lambda path, flags: os.open(path, flags | _OPENED)) as file:
                text = file.read(_LONGEST_MODULE)
        except (OSError, ValueError):
            continue
        if any(secret in text for secret in secrets):
            found[os.path.abspath(path)] = "a module with a password or token in it"
    return found


def all_own(entries: Sequence[Entry], plans: Iterable[Plan], logs: Iterable[str], beside: Mapping[str, str]) -> NeverSent:
    """All files of a task that are no data. ``logs``: absolute paths; ``beside``: those that the plans do not know."""
    plans = list(plans)
    found = dict.fromkeys(logs, LOG)
    for plan in plans:
        found.update(plan.own)
    found.update(of_modules(entries, [plan.settings for plan in plans]))
    return of_task({**found, **beside}, entries, _MOST_SECS)


def check_entries(entries: Sequence[Entry], own: NeverSent) -> None:
    """ConfigError for each entry that names a file which is never sent."""
    problems = Problems()
    for index, entry in enumerate(entries):
        why = own.why_named(entry.path) if entry.kind == "file" else ""
        if why:
            remedy = "Remove this entry; name the files with your data."
            problems.add(("watchfilesdirs", index, "file"), f"{entry.path} is never sent: it is {why}", remedy)
    problems.raise_all()
