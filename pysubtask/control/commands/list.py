"""``pysubtask list``: tasks and daemons by name, running or not."""

from __future__ import annotations

import json

import click

from ...daemon.find import daemons
from ..daemons import words
from ..tasks.find import find, names_here
from ..terminal import say


@click.command(short_help="List tasks and daemons by name.")
@click.option("--all", "everything", is_flag=True, help="Also daemons that run no more, with their end and error.")
@click.option("--type", "kind", metavar="CLASS", default="", help="Only daemons of this class.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def command(everything: bool, kind: str, as_json: bool) -> None:
    """List the tasks and the named daemons of this user on this machine, and whether they run.

    \b
    pysubtask list
    pysubtask list --all --type Dome
    """
    found = daemons(type=kind, all=everything)
    tasks = [] if kind else find([])
    names = dict(zip(names_here(tasks), tasks, strict=True))
    if as_json:
        rows = [{"name": name, "kind": "task", "state": task.state()} for name, task in names.items()]
        say(json.dumps([*rows, *({"kind": "daemon", **one._asdict()} for one in found)], indent=1).split("\n"))
        return
    lines = [*(f"{name}  task, {task.state()}" for name, task in names.items()), *map(words.known, found)]
    say(lines or ["There is none. 'pysubtask run' starts tasks and daemons."])
