"""``pysubtask check``: whether a config is right, and what a run with it would do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import click

from ...common.alert_command import check_command, display, why_not_there
from ...common.errors import ConfigError
from ...common.run_as import BY_RUN, stranger
from ...common.text import amount, files, plain, span
from ...master.task_plan import check_state
from ..config.config_file import load
from ..config.task_config import TaskConfig
from ..doctor import login_files, show, watch_paths
from ..doctor.finding import FAIL, WARN
from ..exit_status import FAILED, OK
from ..preview.dry_run import Outlook, dry_run
from ..preview.name_owners import NameOwners
from ..run.run_as import turn_into_users_of
from ..terminal import say

_LISTED_FILES = 10


@click.command(short_help="Is a config right, and what would be sent.")
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
@click.option("-a", "--all", "everything", is_flag=True, help=f"Name every file, not only the first {_LISTED_FILES} of each kind.")
def command(config: str | None, names: tuple[str, ...], everything: bool) -> int:
    """Check CONFIG (found as by 'pysubtask run') and show what would be sent, archived and skipped, and why. The
    files that the config names (keys, known_hosts, certificates) are looked at, too. Nothing is changed, and no server is asked:
    'pysubtask doctor' does that.

    Exit status 0: all right; 1: a file that the config names does not do; 2: the config is wrong.

    \b
    pysubtask check station.toml
    """
    config = turn_into_users_of(config, os.environ, names)
    found = load(config, os.environ, names)
    requested = found.named(names)
    for task in requested:
        check_state(task.plans)
    with NameOwners() as taken:
        # Every task is previewed, because tasks that were not named may own names on the server as well.
        every = {task.name: dry_run(task, time.time(), taken) for task in found.tasks}
    outlooks = [every[task.name] for task in requested]
    files_found = [(plan, login_files.of_plan(plan)) for task in requested for plan in task.plans]
    failed = sum(finding.state == FAIL for _, findings in files_found for finding in findings)
    alert_lines = []
    for task in requested:
        problem, line = _alerts(task)
        failed += problem
        alert_lines += [line] if line else []
    for path in found.files:
        say([f"{plain(path)}: {'all right' if not failed else 'the settings are right, but what they name is not:'}"])
    for plan, findings in files_found:
        for finding in findings:
            if finding.state in (FAIL, WARN):
                for line in show.lines(finding, plan.extension, "toml"):
                    say([plain(line)])
    for wide in filter(None, (watch_paths.too_wide(entry) for task in requested for entry in task.entries)):
        for line in show.lines(wide, "", "toml"):
            say([plain(line)])
    for task in requested:
        strange = stranger(task.entries) if all(plan.settings["RunAs"] is None for plan in task.plans) else None
        if strange is not None:
            say([plain(f"note: started by root it is refused: {strange.problem}. {strange.remedy(BY_RUN)}")])
    for note in found.notes:
        say([f"note: {plain(note)}"])
    for line in alert_lines:
        say([plain(line)])
    for outlook in outlooks:
        for line in lines(outlook, None if everything else _LISTED_FILES):
            say([line])
    return FAILED if failed else OK


def _alerts(task: TaskConfig) -> tuple[bool, str]:
    """Whether the program that alerts cannot be run, and a line about it; '' where none is named."""
    settings = task.plans[0].alerts
    words = settings["Command"]
    if words is None:
        return False, ""
    try:
        check_command(words)
    except ConfigError as exc:
        return True, f"{task.name}: {exc}"
    why = why_not_there(words)
    if why:
        return True, f"{task.name}: alerts.Command: {why}. Install it, or name another program."
    when = f"when it is held, has parked files, lacks disk, or is silent for {span(settings['SilentSecs'])}"
    return False, f"{task.name} alerts by running {display(words)} {when} ('pysubtask alerts test' tries it)"


def lines(outlook: Outlook, limit: int | None) -> Iterator[str]:
    """An outlook as lines for a person; of each list at most ``limit`` rows (None: all)."""
    yield ""
    yield plain(f"{outlook.name} watches:")
    yield from _some([f"{path}: {when}" for path, when in outlook.watched], limit)
    for one in outlook.missing:
        yield plain(f"MISSING {one.path}: {one.why}")
    for child in outlook.children:
        yield ""
        yield plain(f"{child.label} -> {child.destination}")
        if child.held:
            yield f"  {child.held}"
        if child.kept:
            yield plain(f"  its state is kept in {child.kept}")
        total = sum(one.size for one in child.send)
        yield f"  would send {files(len(child.send))}, {amount(total)} at most:" if child.send else "  nothing would be sent"
        yield from _some([f"{one.path} ({amount(one.size)}) as {one.name}: {one.why}" for one in child.send], limit)
        if child.delivered:
            yield f"  delivered as they are: {files(child.delivered)}"
        yield from _skipped([f"{one.path}: {one.why}" for one in child.skipped], limit)
    yield from _skipped([f"{one.path}: {one.why}" for one in outlook.skipped], limit)
    if outlook.root is None:
        yield "  nothing is ever archived: base.ArchiveToFolder is not set in the config"
    elif outlook.archive:
        yield plain(f"  would archive {files(len(outlook.archive))} to {outlook.root}:")
        yield from _some([f"{path}: {why}" for path, why in outlook.archive], limit)
    else:
        yield plain(f"  nothing would be archived to {outlook.root}")


def _skipped(rows: Sequence[str], limit: int | None) -> Iterator[str]:
    if rows:
        yield "  would skip:"
        yield from _some(rows, limit)


def _some(rows: Sequence[str], limit: int | None) -> Iterator[str]:
    for row in rows[:limit]:
        yield f"    {plain(row)}"
    if limit is not None and len(rows) > limit:
        yield f"    and {len(rows) - limit} more (--all shows them)"
