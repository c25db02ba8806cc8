"""``pysubtask alerts``: run the program of [alerts] once, as a test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import click

from ...common.alert_command import check_command, display
from ...common.entries import first_folder, read_entries
from ...common.errors import ConfigError
from ...common.text import plain
from ...master.child_config import Plan, check_config, plan, switched_on
from ...transports import transport_class
from ..alerts.kinds import KINDS
from ..alerts.trial import run_test, test_message
from ..config.config_file import load
from ..doctor.source import load_python
from ..exit_status import FAILED, OK
from ..preview.dry_run import transport_of
from ..run.run_as import turn_into_users_of
from ..terminal import say


class _Tried(NamedTuple):
    """The first child of a task, and the first folder that it watches."""

    name: str
    plan: Plan
    folder: str


@click.command(short_help="Try the program that is run when something goes wrong ([alerts]).")
@click.argument("what", type=click.Choice(["test"]))
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
@click.option(
    "--kind", type=click.Choice(KINDS), default=KINDS[0], metavar="KIND", help=f"What the test says is wrong: {', '.join(KINDS)}."
)
def command(what: str, config: str | None, names: tuple[str, ...], kind: str) -> int:
    """Run the program that CONFIG names in [alerts] as it would be run for a task that is in trouble, but with 'test' as its event,
    and show what it wrote and how it ended. CONFIG is found as by 'pysubtask run', or is a Python file or module with
    the sections. Nothing else is run, asked or changed.

    Exit status 0: the program of each task has taken it; 1: it has failed, or no program is named.

    \b
    pysubtask alerts test station.toml
    pysubtask alerts test station.toml --kind "disk low"
    """
    tasks = list(_tasks(config, names))
    status = OK
    for task in tasks:
        settings = task.plan.alerts
        if settings["Command"] is None:
            say([plain(f"{task.name}: no program is named: set Command in [alerts]")], error=True)
            status = FAILED
            continue
        check_command(settings["Command"])
        say([plain(f"{task.name}: runs {display(settings['Command'])}")])
        destination = transport_class(transport_of(task.plan)).identity(task.plan.settings)
        ended = run_test(settings, test_message(task.plan, destination, task.folder, kind, time.time()))
        say([f"  {plain(line)}" for line in ended.output.splitlines()])
        if ended.problem:
            say([plain(f"{task.name}: failed: {ended.problem}")], error=True)
            status = FAILED
        else:
            say([plain(f"{task.name}: taken, in {ended.secs:.1f} s")])
    return status


def _tasks(config: str | None, names: tuple[str, ...]) -> Iterator[_Tried]:
    if config is not None and not os.path.isdir(config) and not config.endswith(".toml") and _is_python(config):
        found = load_python(config)
        sections = check_config(found.sections)
        folder = first_folder(read_entries(found.watch, cwd=found.folder)) if found.watch is not None else found.folder
        first = switched_on(sections)[0]
        first_plan = plan(first, f"pysubtask.{first}", sections, folder)
        if names:
            raise ConfigError("--task", "a Python config has one task", "Leave --task out.")
        yield _Tried(first_plan.label, first_plan, folder)
        return
    config = turn_into_users_of(config, os.environ, names)
    for task in load(config, os.environ).named(names):
        yield _Tried(task.name, task.plans[0], first_folder(task.entries))


def _is_python(word: str) -> bool:
    """Whether a config is a Python file or module, and no file of another name."""
    return word.endswith(".py") or not os.path.exists(word)
