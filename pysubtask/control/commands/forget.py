"""``pysubtask forget``: take tasks that do not run any more off the list.

CommandError where neither tasks nor ``--dead`` is given, or both are, and where a record cannot be removed.
"""

from __future__ import annotations

import os

import click

from ...common import registry
from ..exit_status import FAILED, OK, USAGE, CommandError
from ..tasks.find import Task, find, names_here, own
from ..terminal import say


@click.command(short_help="Take tasks that do not run any more off the list that 'status' shows.")
@click.option("--dead", is_flag=True, help="All tasks that do not run and have nothing queued.")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
def command(dead: bool, tasks: tuple[str, ...]) -> int:
    """Take these tasks off the list. Nothing else is changed: the state folder with its queue and the data stay where they are,
    and a task that is started again is on the list again. One that runs, or that its app is about to start again, is not
    forgotten; one that has files queued only where it is named.

    \b
    pysubtask forget demo
    pysubtask forget --dead
    """
    if dead == bool(tasks):
        raise CommandError("Name the tasks to forget, or give --dead for all that do not run and have nothing queued.", USAGE)
    meant = find(tasks, missing=True) if tasks else own()
    status = OK
    for task, name in zip(meant, names_here(meant), strict=True):
        why = _why_not(task)
        left = _queued(task)
        if dead and (why or left):
            continue
        if why:
            say([f"pysubtask: {name} {why}"], error=True)
            status = FAILED
            continue
        try:
            task.ask(lambda task=task: registry.forget(task.record))  # type: ignore[misc]
            registry.forget(task.record)  # root may have a record of the same task in its own registry
        except OSError as exc:
            raise CommandError(f"{name}: it cannot be taken off the list: {exc}") from exc
        kept = f", with {left} queued file{'s' if left > 1 else ''}" if left else ""
        say([f"{name}: forgotten; its state{kept} stays in {task.state_dir}"])
    return status


def _why_not(task: Task) -> str:
    if task.lives():
        return "runs: 'pysubtask stop' ends it"
    if task.master() is not None and task.state() != "stopped":
        return "belongs to an app that runs and would start it again: end that first"
    return ""


def _queued(task: Task) -> int:
    """How many files the task has left in its queue, counted with the rights of its user."""
    return task.ask(lambda: queued(task.state_dir))


def queued(state_dir: str) -> int:
    """How many files a dead child has left in the queue of this state folder; 0 where the queue cannot be read."""
    from ...subtask.offline.offline_queue import read_queue

    found = read_queue(state_dir, 0) if os.path.isdir(state_dir) else None
    return 0 if found is None else found.counts.waiting + found.counts.sending + found.counts.parked
