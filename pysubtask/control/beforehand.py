"""What can be said of an order for a child that does not live, before it is kept for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tasks import Task

_OF_FILES = ("pause", "resume", "retry", "drop")


def refusal(child: Task, op: str, args: Mapping[str, Any]) -> str:
    """Why the next child would refuse this order, as far as that is known now; '' where nothing speaks against it."""
    if op == "set":
        from ..subtask.look import wrong_setting

        return wrong_setting(child.state_dir, child.extension, args["settings"])
    if op in _OF_FILES and args.get("names"):
        from ..subtask.look import stranger

        name = stranger(child.state_dir, args["names"], args.get("cwd") or "")
        if name is not None:
            return f"{name!r} is neither in the queue nor paused; 'pysubtask queue' shows what is"
    return ""
