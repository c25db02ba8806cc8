"""Checks of a request to a dead child, before the request is kept for the next one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.entries import from_json
from ...common.settings_file import read_settings_page
from ...common.watched import Watched
from .find import Task

_OF_FILES = ("pause", "resume", "retry", "drop")


def refusal(child: Task, op: str, args: Mapping[str, Any]) -> str:
    """Why the next child would refuse this request, as far as the state folder tells; '' where it tells nothing against it.
    ``op``: the operation; ``args``: its arguments."""
    return child.ask(lambda: _refusal(child, op, args))


def _refusal(child: Task, op: str, args: Mapping[str, Any]) -> str:
    if op == "set":
        from ...subtask.offline.offline_queue import wrong_setting

        return wrong_setting(child.state_dir, child.extension, args["settings"])
    if op == "notify" and args.get("files"):
        return _of_watched(child, [os.path.abspath(os.path.join(args["cwd"], path)) for path in args["files"]])
    if op in _OF_FILES and args.get("names"):
        from ...subtask.offline.offline_queue import stranger

        name = stranger(child.state_dir, args["names"], args.get("cwd") or "")
        if name is not None:
            return f"{name!r} is neither in the queue nor paused; 'pysubtask queue' shows what is"
    return ""


def _of_watched(child: Task, paths: Sequence[str]) -> str:
    """An error for the first of these data files that the last child did not watch; '' where all were watched, or the child has not
    written down what it watches."""
    try:
        found = read_settings_page(child.state_dir)["watched"]
        watched = Watched(from_json(found["entries"]), set(found["closed"]))
    except (ValueError, LookupError, TypeError):
        return ""
    other = next((path for path in paths if not watched.has(path)), None)
    return "" if other is None else f"{other}: this task does not watch it. Name a file of its entries or in its folders."
