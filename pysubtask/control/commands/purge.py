"""``pysubtask purge``: remove what pysubtask keeps of a task.

CommandError where no task is named, and where nobody can be asked for consent and ``--yes`` is missing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ...common import registry
from ...common.text import files
from .. import ask
from ..exit_status import FAILED, OK, USAGE, CommandError
from ..run import unit_files
from ..tasks.find import Task, find
from ..tasks.task_choice import grouped, name_of, several
from ..terminal import say

if TYPE_CHECKING:
    from ..run.purging import Left


@click.command(short_help="Remove what pysubtask keeps of a task: queue, receipts, logs; never a data file.")
@click.option("-t", "--task", "options", metavar="TASK", multiple=True, help="The same as TASK.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--with-queue", is_flag=True, help="Also of a task that has undelivered files in its queue: their copies are lost.")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
def command(options: tuple[str, ...], yes: bool, with_queue: bool, tasks: tuple[str, ...]) -> int:
    """List what pysubtask keeps of these tasks, ask, and remove it: the state folder with queue, receipts and events, the
    snapshots, the record by which commands find the task, that of its alerts, its logs, and the empty .notify files of what it
    watches. A data file is never removed, nor is a config or a unit ('pysubtask service --uninstall').

    A TASK is a label, a name, a watched folder, or a config: then all of its tasks. Nothing is removed of one that runs, or whose
    app or 'pysubtask run' lives. A queue with undelivered files stays, with all that belongs to it, unless --with-queue is given.
    Root removes a user's with that user's rights.

    \b
    pysubtask purge demo
    pysubtask purge /etc/pysubtask --yes
    """
    words = (*options, *tasks)
    if not words:
        raise CommandError("Name the tasks of which everything is to go.", USAGE)
    meant = _meant(words)
    status = OK
    for children, name in meant:
        status = max(status, _purge(children, name, yes, with_queue))
    return status


def _meant(words: Sequence[str]) -> list[tuple[list[Task], str]]:
    """The children of each task that is meant, with the name of the task. CommandError where a word that is no path fits
    several."""
    found: dict[tuple[int, str], list[Task]] = {}
    for word in words:
        groups = grouped(find([word], missing=True))
        if len(groups) > 1 and not os.path.exists(word):
            raise several(word, groups)
        found.update(((group[0].place[0], group[0].key), group) for group in groups)
    return [(group, name_of(group[0])) for group in found.values()]


def _purge(children: list[Task], name: str, yes: bool, with_queue: bool) -> int:
    from ..run import purging

    first = children[0]
    why = first.ask(lambda: purging.refusal(children))
    if why:
        say([f"pysubtask: {name} {why}. Nothing of it was removed."], error=True)
        return FAILED
    rows, kept = first.ask(lambda: purging.plan(children, with_queue=with_queue))
    found = [purging.Left(kind, place, tuple(paths)) for kind, place, paths in rows]
    for label, count, state_dir in kept:
        what = "a queue that cannot be read" if count < 0 else f"{files(count)} in its queue not delivered"
        say(
            [f"pysubtask: {label} has {what}, so it stays: {state_dir}. --with-queue removes it, and what was not sent is lost."],
            error=True,
        )
    if found:
        say([f"{name}: this is removed:", *(f"  {_line(row)}" for row in found)])
    elif not kept:
        say([f"{name}: nothing is kept of it"])
    say(
        [
            f"  (stays: the unit {unit.path}; 'pysubtask service --uninstall --name {unit.name}' removes it)"
            for unit in _units(children)
        ]
    )
    if found and not yes:
        if not ask.is_interactive():
            raise CommandError("Nobody is there to be asked, so nothing was removed. --yes removes it.", FAILED)
        if not ask.for_consent(f"Remove it, for good, of {name}?"):
            say(["Nothing was removed."])
            return FAILED
    if found:
        problems = first.ask(lambda: purging.remove(children, with_queue=with_queue, agreed=found))
        for child in children:
            if not kept and child.owner is not None:
                registry.forget(child.record)  # root may have a record of the same task in its own registry
        say([f"pysubtask: it could not all be removed: {problem}" for problem in problems], error=True)
        say([f"{name}: removed" if not problems else f"{name}: removed in part"])
        return FAILED if problems or kept else OK
    return FAILED if kept else OK


def _line(row: Left) -> str:
    return f"{row.kind}: {row.place}" + (f" ({files(len(row.paths))})" if row.paths else "")


def _units(children: Sequence[Task]) -> list[unit_files.Unit]:
    """The units that run this task. A unit does not name its tasks, so the folder that both watch decides."""
    folders = {child.folder for child in children}
    found = [*unit_files.installed(), *unit_files.installed(unit_files.user_units())]
    return [unit for unit in found if folders & set(unit.folders)]
