"""The lines of a master and of its children in the logging tree of the app."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from .. import defaults_config
from ..common.app_log import LineReader, ToApp, rate
from ..common.config import section_of, values_of
from ..common.errors import ConfigError
from .child_config import UPLOADERS, Plan
from .managed_child import ManagedChild

_LOGS = ("Master_Log_FileName", "Subtask_Log_FileName")


def logger_of(given: object) -> logging.Logger:
    """The logger that ``Logger`` means; ConfigError for anything else than one, or its name."""
    if isinstance(given, logging.Logger):
        return given
    if isinstance(given, str) and given:
        return logging.getLogger(given)
    problem = "it is empty" if given == "" else f"it is of type {type(given).__name__}"
    raise ConfigError("Logger", problem, "Give a logger, as logging.getLogger('station.upload'), or its name.")


def without_default_logs(plan: Plan, config: Any) -> Plan:
    """The plan without log files that neither the config nor the app has set."""
    names = ("base", plan.extension) if plan.extension in UPLOADERS else ("base",)
    asked = {key for name in names for key in values_of(section_of(config, name))}
    for name in names:
        # One that the app has set as a default for the whole program counts.
        rows = {row.key: row.default for row in defaults_config.SETTINGS[name]}
        now = values_of(getattr(defaults_config, name))
        asked |= {key for key in _LOGS if now.get(key) != rows.get(key)}
    return plan._replace(settings=plan.settings | {key: None for key in _LOGS if key not in asked})


class AppLines:
    """Hands the lines on: the master's own at once, those of the children when the app calls the master."""

    def __init__(self, target: logging.Logger) -> None:
        self._target = target
        self._children: Sequence[ManagedChild] = ()
        self._readers: dict[str, LineReader] = {}

    def begin(self, own: logging.Logger, children: Sequence[ManagedChild]) -> None:
        """From here on: ``own`` is the master's logger."""
        handler = ToApp(self._target.getChild("master"))
        handler.addFilter(rate(own))
        own.addHandler(handler)
        self._children = children
        self._readers = {}
        self.read()

    def read(self, *, everything: bool = False) -> None:
        """Hand on the lines that the children have written."""
        for managed in self._children:
            plan = managed.plan
            reader = self._readers.get(plan.extension)
            if reader is None or reader.state_dir != plan.state_dir:
                reader = self._readers[plan.extension] = LineReader(plan.state_dir, self._target.getChild(plan.extension))
            reader.read(everything=everything)
