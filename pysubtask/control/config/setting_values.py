"""The settings of one task, each with the place where it was written, so that an error can name the place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from ...common.alert_command import absolute
from ...common.config import ALONE, MASK, SECTIONS, Setting, rows_of, unknown_key
from ...common.errors import ConfigError
from ...common.problem import Path, key_of
from ...defaults_config import SETTINGS
from . import secrets
from .env_overrides import Override, overrides, variable_name
from .problems import LocatedProblem, Where, located, of_error, problem_at

ROWS: dict[str, dict[str, Setting]] = {
    name: {row.key: row for row in SETTINGS[name]} if name in ALONE else rows_of(SETTINGS, name) for name in SECTIONS
}
"""The settings that are allowed in each section, by key."""
SECRET_FILES = {
    name: {secrets.file_key(row): row.key for row in rows.values() if row.secret and secrets.file_key(row) not in rows}
    for name, rows in ROWS.items()
}
"""For each section: a key that names a file with a secret -> the key of the secret."""
KEYS = {name: (*ROWS[name], *SECRET_FILES[name]) for name in SECTIONS}
_NONE_IS_A_WORD = {("ftp", "SSHConfigFile")}
"""Settings whose text "none" is a value of its own and not the absence of a value."""


def is_path(key: str) -> bool:
    """Whether a setting is a path, which is relative to the folder of the config."""
    return key.endswith("File")


def value_of(section: str, row: Setting, value: Any) -> Any:
    """A value of a TOML file, checked: the text "none" becomes None, and a number may be a text with k, M or G. ConfigError where
    the setting does not accept it."""
    if isinstance(value, str):
        if value.lower() == "none" and row.optional and (section, row.key) not in _NONE_IS_A_WORD:
            return None
        if row.kind in (int, float):
            return row.read(section, value)
    return row.check(section, value)


class Values:
    """The settings of one task: ``sections`` holds the values. ``folder``: relative paths start there. Mistakes are appended to
    ``problems``; no method raises for them."""

    def __init__(self, folder: str, problems: list[LocatedProblem]) -> None:
        self.sections: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._problems = problems
        self._where: dict[tuple[str, str], Where] = {}
        self._files: dict[tuple[str, str], tuple[str, Where]] = {}
        self.secret_files: dict[str, str] = {}
        """The secret, as ``ftp.Password`` -> the file that it is read from."""

    def copy(self, problems: list[LocatedProblem], folder: str | None = None) -> Values:
        """A copy that can be changed without a change here. ``folder``: the base of relative paths that are added later (None: the
        same)."""
        copied = Values(self._folder if folder is None else folder, problems)
        copied.sections = {name: dict(values) for name, values in self.sections.items()}
        copied._where, copied._files = dict(self._where), dict(self._files)
        return copied

    def where(self, section: str, key: str) -> Where | None:
        """The place where a setting was written, in its own section or else in ``base``; None where it has its default."""
        return self._where.get((section, key)) or self._where.get(("base", key))

    def take(self, section: str, table: Any, at: Callable[..., Where], header: Path) -> None:
        """Take the settings of a section. ``table``: the parsed value, which may be of a wrong type; ``at``: from the parts of a
        key to where it is written; ``header``: the section as the file names it, such as ``("tasks", "roof", "ftp")``."""
        if not isinstance(table, dict):
            remedy = f"Write it as a table: [{key_of(header)}], and its settings below."
            self._problems.append(problem_at(at(*header), header, "it is no table", remedy))
            return
        self.sections.setdefault(section, {})
        for key, value in table.items():
            self._set(section, key, value, at(*header, key), header, value_of)

    def override(self, one: Override) -> None:
        """Take the value of an environment variable, which counts before that of a file."""
        where = Where(one.variable)
        if one.section not in SECTIONS:
            self._problems.append(unknown_section(where, (one.section,), SECTIONS))
            return
        if (one.section, one.key) == ("base", "TaskName"):
            self._problems.append(
                problem_at(where, ("base", "TaskName"), "a variable cannot rename its task", "Set it in the file.")
            )
            return
        self._set(one.section, one.key, one.text, where, (one.section,), _from_text)

    def _set(
        self, section: str, key: str, value: Any, where: Where, header: Path, read: Callable[[str, Setting, Any], Any]
    ) -> None:
        secret_key = SECRET_FILES[section].get(key)
        row = ROWS[section].get(key)
        try:
            if secret_key is not None:
                if not isinstance(value, str) or not value:
                    remedy = "Give the path of a file with the secret in its first line."
                    raise ConfigError((section, key), "it is no path", remedy)
                self._forget_inherited(section, secret_key, where)
                self._files[section, secret_key] = (self._path(value), where)
                return
            if row is None:
                raise unknown_key((section,), key, KEYS[section])
            found = read(section, row, value)
        except ConfigError as exc:
            self._problems.append(of_error(where, exc, (*header, key)))
            return
        if isinstance(found, str) and found and is_path(key) and found.lower() != "none":
            found = self._path(found)
        elif found is not None and (section, key) == ("alerts", "Command"):
            found = absolute(found, self._folder)
        self._forget_inherited(section, key, where)
        self.sections.setdefault(section, {})[key] = found
        self._where[section, key] = where

    def _forget_inherited(self, section: str, key: str, where: Where) -> None:
        """Where one file has a secret and another file names a secret file for it, drop the older one: the file that was read last
        counts (the drop-in, which is read after ``pysubtask.toml``)."""
        named = self._files.get((section, key))
        if named is not None and named[1].place != where.place and where.line is not None:
            del self._files[section, key]
        written = self._where.get((section, key))
        if written is not None and written.place != where.place and where.line is not None:
            del self._where[section, key]
            self.sections[section].pop(key, None)

    def _path(self, text: str) -> str:
        return os.path.normpath(os.path.join(self._folder, os.path.expanduser(text)))

    def fetch_secrets(self, task: str, environ: Mapping[str, str], *, needed: bool = True) -> None:
        """Read the secrets of ``task`` from systemd's credentials and from the files that ``*File`` keys name. For a task that is
        not ``needed`` the paths are noted and no file is opened, because this user may have no right to read it."""
        if not needed:
            for (section, key), (path, _) in self._files.items():
                self.secret_files[f"{section}.{key}"] = path
                if section == "dropbox":
                    self.sections.setdefault(section, {})[key] = MASK  # so that the checks of the section do not miss the secret
            token = self.sections.get("dropbox", {}).get("RefreshTokenFile")
            if isinstance(token, str):
                self.secret_files["dropbox.RefreshToken"] = token
            return
        for section in SECTIONS:
            for key, row in ROWS[section].items():
                if row.secret or key == "KeyFile":
                    try:
                        self._fetch(section, row, secrets.credential(environ, task, section, key))
                    except ConfigError as exc:
                        where = self._files[section, key][1] if (section, key) in self._files else Where(secrets.DIRECTORY)
                        self._problems.append(of_error(where, exc))
        self._check_private_files()

    def _fetch(self, section: str, row: Setting, given: str | None) -> None:
        values, key = self.sections.get(section, {}), row.key
        name = f"{section}.{key}"
        named, where = self._files.get((section, key), (None, None))
        written = self._where.get((section, key))
        if written is not None and named is not None and written.line is not None:
            raise ConfigError(name, f"{key} and {secrets.file_key(row)} are both set", "Remove one of the two.")
        if row.secret and named is not None:
            self.secret_files[name] = named
        if written is not None and written.line is None:
            return  # a variable counts before a credential and before a file
        if given is not None:
            values = self.sections.setdefault(section, {})
            values[key] = read_credential(name, given) if row.secret else given
            self._where[section, key] = Where(given)
            values.pop(secrets.file_key(row), None)  # RefreshTokenFile is a setting too, and would contradict the token
        elif named is not None and where is not None:
            file_name = f"{section}.{secrets.file_key(row)}"
            self.sections.setdefault(section, {})[key] = secrets.read_secret(file_name, named)
            self._where[section, key] = where

    def _check_private_files(self) -> None:
        """Check the secret file that the child reads later by itself (``RefreshTokenFile``); it may not exist yet."""
        path = self.sections.get("dropbox", {}).get("RefreshTokenFile")
        if isinstance(path, str):
            self.secret_files["dropbox.RefreshToken"] = path
            try:
                if os.path.exists(path):
                    secrets.check_private("dropbox.RefreshTokenFile", path, os.stat(path))
            except (ConfigError, OSError) as exc:
                if isinstance(exc, ConfigError):
                    where = self.where("dropbox", "RefreshTokenFile") or Where(path)
                    self._problems.append(of_error(where, exc))

    def check_written_secrets(self) -> None:
        """Check that nobody else may read a config file that a secret is written in itself."""
        for (section, key), where in self._where.items():
            row = ROWS[section].get(key)
            if where.line is None or row is None or not row.secret or (section, key) in self._files:
                continue
            if self.sections.get(section, {}).get(key):
                try:
                    secrets.check_private(f"{section}.{key}", where.place, os.stat(where.place))
                except ConfigError as exc:
                    self._problems.append(of_error(where, exc))


def read_credential(name: str, path: str) -> str:
    """The secret in a credential file of systemd. ``name``: the setting, for errors. ConfigError as in
    :func:`secrets.read_secret`."""
    return secrets.read_secret(name, path, guarded=False)


def unknown_section(where: Where, path: Path, known: Sequence[str]) -> LocatedProblem:
    """The problem for a section nobody knows; the last part of ``path`` is its name."""
    (unknown,) = unknown_key((), str(path[-1]), known).problems
    return located(where, unknown._replace(what="this section is not known"), path)


def for_task(found: Sequence[Override], task: str) -> list[Override]:
    """Those of the variables that are for this task."""
    return [one for one in found if one.task == variable_name(task)]


def _from_text(section: str, row: Setting, text: str) -> Any:
    if (section, row.key) in _NONE_IS_A_WORD:
        return row.check(section, text)
    return row.read(section, text)


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove the variables that may hold a secret from an environment: child processes inherit it, and other programs can read
    it."""
    for one in overrides(environ, KEYS):
        row = ROWS.get(one.section, {}).get(one.key)
        if row is None or row.secret:
            environ.pop(one.variable, None)
