"""What can be said of an order for a child that does not live, before it is kept for the next one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from .. import defaults_config
from ..common.errors import ConfigError
from .tasks import Task

_OF_FILES = ("pause", "resume", "retry", "drop")


def refusal(child: Task, op: str, args: Mapping[str, Any]) -> str:
    """Why the next child would refuse this order, as far as that is known now; '' where nothing speaks against it."""
    if op == "set":
        return _of_settings(child, args["settings"])
    if op in _OF_FILES and args.get("names"):
        from ..subtask.look import stranger

        name = stranger(child.state_dir, args["names"], args.get("cwd") or "")
        if name is not None:
            return f"{name!r} is neither in the queue nor paused; 'pysubtask queue' shows what is"
    return ""


def _of_settings(child: Task, wanted: Mapping[str, Any]) -> str:
    from ..subtask.live import Live

    section = child.extension if child.extension in defaults_config.SETTINGS else "base"
    settings = {row.key: row.default for name in ("base", section) for row in defaults_config.SETTINGS[name]}
    try:
        Live(child.extension, settings | _as_written(child)).change(wanted)
    except ConfigError as exc:
        return str(exc)
    return ""


def _as_written(child: Task) -> dict[str, Any]:
    try:
        with open(os.path.join(child.state_dir, "settings.json"), "rb") as file:
            found = json.load(file)["settings"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
