"""Settings that can be changed while a child runs: checked as at the start, returned in the reply, kept over restarts on
request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ... import defaults_config
from ...common.config import rows_of, unknown_key
from ...common.errors import ConfigError


class Change(NamedTuple):
    """A setting that was changed: its ``key``, the value before (``old``) and now (``new``)."""

    key: str
    old: Any
    new: Any


def _section(extension: str) -> str:
    return extension if extension in defaults_config.SETTINGS else "base"


def defaults_of(extension: str) -> dict[str, Any]:
    """The default values of all settings of the child ``extension``."""
    return {key: row.default for key, row in rows_of(defaults_config.SETTINGS, extension).items()}


class LiveSettings:
    """The settings of the child ``extension``, some of which can be changed.

    ``current``: all settings by their keys; no mapping is ever changed, each change makes a new one, so any thread may read one.
    A kept value overrides the config value that it replaced. Where the config was changed since, the config wins.
    """

    def __init__(self, extension: str, settings: Mapping[str, Any]) -> None:
        self._section = _section(extension)
        self.current: Mapping[str, Any] = MappingProxyType(dict(settings))
        self._config = self.current
        self.rows = rows_of(defaults_config.SETTINGS, extension)
        self.kept: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """The settings that can be changed, with their present values."""
        return {key: self.current[key] for key, row in self.rows.items() if row.live and key in self.current}

    def change(self, requested: Mapping[str, Any]) -> list[Change]:
        """Set all of these, or none: raises ConfigError for the first that is unknown, fixed or wrong. A text is parsed as a
        person writes it ('50k', 'true'). A setting that has the requested value already is left out of the result."""
        checked = {}
        for name, value in requested.items():
            key = self._key(name)
            row = self.rows[key]
            checked[key] = row.read(self._section, value) if isinstance(value, str) else row.check(self._section, value)
        changes = [Change(key, self.current[key], value) for key, value in checked.items() if self.current[key] != value]
        self._replace(checked)
        return changes

    def _replace(self, values: Mapping[str, Any]) -> None:
        self.current = MappingProxyType({**self.current, **values})

    def _key(self, name: str) -> str:
        section, dot, key = name.rpartition(".")
        if dot and section not in ("base", self._section):
            raise ConfigError(name, f"this child has no section {section!r}", f"It has base and {self._section}.")
        if key not in self.rows:
            raise unknown_key(section or self._section, key, [key for key, row in self.rows.items() if row.live])
        if not self.rows[key].live:
            remedy = "Change it in the config and restart (or reload) the task."
            raise ConfigError(f"{self._section}.{key}", "a running child does not take it", remedy)
        return key

    # -- over restarts ------------------------------------------------------------------------------------

    def keep(self, changes: Mapping[str, Any]) -> str:
        """Keep the present values of these keys over restarts; the text to store."""
        for name in changes:
            key = self._key(name)
            self.kept[key] = [self.current[key], self._config[key]]
        return json.dumps(self.kept)

    def recall(self, text: str) -> tuple[list[Change], list[str]]:
        """Apply kept values after a restart: the changes, and the keys of the values that a changed config has overruled."""
        changes, overruled = [], []
        try:
            stored = json.loads(text or "{}")
            pairs = {str(key): (value[0], value[1]) for key, value in stored.items()}
        except (ValueError, AttributeError, LookupError, TypeError):
            return [], []
        for key, (value, over) in pairs.items():
            try:
                self._key(key)
                checked = self.rows[key].check(self._section, value)
            except ConfigError:
                continue  # set by a version that knew or allowed more
            if self._config[key] != over:
                overruled.append(key)
                continue
            self.kept[key] = [checked, over]
            if self.current[key] != checked:
                changes.append(Change(key, self.current[key], checked))
                self._replace({key: checked})
        return changes, overruled
