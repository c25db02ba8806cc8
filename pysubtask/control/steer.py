"""What the commands that give orders share: which task is meant, the order, the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from . import tasks
from .exits import FAILED, OK
from .output import say
from .tasks import Task

task_option = click.option("-t", "--task", metavar="TASK", help="The task (or task/extension, or a watched folder) that is meant.")


def command_line() -> str:
    """What was typed, for the record of who did what."""
    return " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])[:200]


def meant(task: str | None) -> list[Task]:
    """The children of one task: of that one, or of the only one there is. CommandError otherwise."""
    found = tasks.find([task] if task else [])
    if len({child.task for child in found}) != 1:
        tasks.one([task] if task else [])  # says what there is
    return found


def give(
    task: str | None, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0,
    words: Callable[[Any], str] | None = None, may_be_dead: bool = False,
) -> int:  # fmt: skip
    """Give an order to every child of one task and show the answers, in ``words``; the exit status. ``may_be_dead``: wait
    for a child that does not live yet."""
    worst = OK
    for child in meant(task):
        reply = child.order(op, args, command, patience=patience, may_be_dead=may_be_dead)
        if reply.ok:
            say([f"{child.label}: {(words or _words)(reply.result)}"])
        else:
            say([f"pysubtask: {child.label}: {reply.error}"], error=True)
            worst = FAILED
    return worst


def _words(result: Any) -> str:
    if not isinstance(result, dict):
        return json.dumps(result)
    parts = []
    for key, value in result.items():
        if value is True:
            parts.append(key)
        else:
            parts.append(f"{key} {value}" if isinstance(value, (str, int)) else f"{key} {', '.join(map(str, value)) or 'nothing'}")
    return "; ".join(parts)
