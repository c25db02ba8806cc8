"""What the commands that give orders share: which task is meant, the order, the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from . import tasks
from .exits import FAILED, OK

task_option = click.option("-t", "--task", metavar="TASK", help="The task (or task/extension, or a watched folder) that is meant.")


def command_line() -> str:
    """What was typed, for the record of who did what; the values of settings are told elsewhere."""
    return " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])[:200]


def give(task: str | None, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0) -> int:
    """Give an order to every child of one task and show the answers; the exit status."""
    found = tasks.find([task] if task else [])
    if not task and len({found.task for found in found}) != 1:
        tasks.one([])  # says what there is
    worst = OK
    for child in found:
        reply = child.order(op, args, command, patience=patience)
        if reply.ok:
            click.echo(f"{child.label}: {_words(reply.result)}")
        else:
            click.echo(f"pysubtask: {child.label}: {reply.error}", err=True)
            worst = FAILED
    return worst


def _words(result: Any) -> str:
    if not isinstance(result, dict):
        return json.dumps(result)
    return ", ".join(f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in result.items())
