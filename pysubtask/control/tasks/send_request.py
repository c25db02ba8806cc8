"""What the commands that give orders share: which task is meant, the order, the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from ..exit_status import FAILED, OK, CommandError
from ..terminal import say
from . import offline_request
from .find import Task, names_here
from .task_choice import Pick, lives, meant

IfDead = Callable[[Task, str], tuple[int, str] | None]
"""What to do for a child that does not live, whose name is given, instead of keeping the order: exit status and what to say;
None keeps it."""
_MEANT = "The task that is meant: its label, label/extension, name, watched folder, or config file."
tasks_option = click.option(
    "-t", "--task", "tasks", metavar="TASK", multiple=True, help=f"{_MEANT} May be given again, for several."
)
task_option = click.option("-t", "--task", metavar="TASK", help=_MEANT)


def command_line() -> str:
    """What was typed, for the record of who did what."""
    return " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])[:200]


def give(
    tasks: Sequence[str],
    op: str,
    args: Mapping[str, Any],
    command: str,
    *,
    patience: float = 10.0,
    words: Callable[[Any], str] | None = None,
    may_be_dead: bool = False,
    pick: Pick = lives,
    if_dead: IfDead | None = None,
    also: Callable[[Task], str] | None = None,
) -> int:
    """Give an order to every child of the tasks that are meant and show the answers, in ``words``; the exit status.
    ``may_be_dead``: wait for a child that does not live yet. ``also``: what to say besides of a child, looked for before the
    order."""
    worst = OK
    children = meant(tasks, pick)
    for child, name in zip(children, names_here(children), strict=True):
        try:
            more = also(child) if also is not None else ""
            worst = max(worst, _give(child, name, op, args, command, patience, words or _words, may_be_dead, if_dead))
        except CommandError as exc:
            # The next child must hear of it all the same.
            say([f"pysubtask: {exc}"], error=True)
            worst = max(worst, exc.status)
            continue
        if more:
            say([f"{name}: {more}"])
    return worst


def _give(
    child: Task,
    name: str,
    op: str,
    args: Mapping[str, Any],
    command: str,
    patience: float,
    words: Callable[[Any], str],
    may_be_dead: bool,
    if_dead: IfDead | None,
) -> int:
    if not child.lives():
        refusal = offline_request.refusal(child, op, args)
        if refusal:
            raise CommandError(f"{name}: {refusal}", FAILED)
        instead = if_dead(child, name) if if_dead is not None else None
        if instead is not None:
            status, text = instead
            say([text if status == OK else f"pysubtask: {text}"], error=status != OK)
            return status
    reply = child.order(op, args, command, patience=patience, may_be_dead=may_be_dead, name=name)
    if not reply.ok:
        raise CommandError(f"{name}: {reply.error}", FAILED)
    say([f"{name}: {words(reply.result)}"])
    return OK


def nobody_starts(child: Task, name: str) -> tuple[int, str] | None:
    """For orders that need somebody who starts the child: whether there is nobody."""
    if child.master() is not None:
        return None
    return FAILED, f"{name}: {child.nobody_starts()}"


def _words(result: Any) -> str:
    if not isinstance(result, dict):
        return json.dumps(result)
    parts = []
    for key, value in result.items():
        if value is True:
            parts.append(key)
        elif value is not None and not isinstance(value, dict):
            parts.append(f"{key} {value}" if isinstance(value, (str, int)) else f"{key} {', '.join(map(str, value)) or 'nothing'}")
    return "; ".join(parts)
