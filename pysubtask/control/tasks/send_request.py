"""The common part of the commands that send requests: choose the task, send the request, show the reply."""

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
"""Called with a dead child and its name: the exit status and the line to print in place of the request, or None to keep the request
for the next child."""
_MEANT = "The task that is meant: its label, label/extension, name, watched folder, or config file."
tasks_option = click.option(
    "-t", "--task", "tasks", metavar="TASK", multiple=True, help=f"{_MEANT} May be given again, for several."
)
task_option = click.option("-t", "--task", metavar="TASK", help=_MEANT)


def command_line() -> str:
    """The command line as it was typed, 200 characters at most, for the record of who has sent a request."""
    return " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])[:200]


def send_request(
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
    """Send a request to every child of the tasks that are meant, and print the replies; the highest exit status.

    ``op``, ``args``: the request; ``command``: the command line, for the record; ``patience``: seconds until a reply must come;
    ``words``: puts a result into words; ``may_be_dead``: wait for a child that is about to be started; ``pick``: chooses among
    several tasks; ``if_dead``: as for :data:`IfDead`; ``also``: gives one more line about a child, and is called before the request
    changes anything. CommandError where no task, or several, are meant.
    """
    worst = OK
    children = meant(tasks, pick)
    for child, name in zip(children, names_here(children), strict=True):
        try:
            more = also(child) if also is not None else ""
            worst = max(worst, _send(child, name, op, args, command, patience, words or _words, may_be_dead, if_dead))
        except CommandError as exc:
            # A task may have several children: an error of one does not keep the request from the others.
            say([f"pysubtask: {exc}"], error=True)
            worst = max(worst, exc.status)
            continue
        if more:
            say([f"{name}: {more}"])
    return worst


def _send(
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
    reply = child.request(op, args, command, patience=patience, may_be_dead=may_be_dead, name=name)
    if not reply.ok:
        raise CommandError(f"{name}: {reply.error}", FAILED)
    say([f"{name}: {words(reply.result)}"])
    return OK


def refuse_without_master(child: Task, name: str) -> tuple[int, str] | None:
    """An :data:`IfDead` for requests that need a living master: an error where no process is there to start the child."""
    if child.master() is not None:
        return None
    return FAILED, f"{name}: {child.no_master_message()}"


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
