"""``pysubtask status``: what each task does, and why it does nothing.

UsageError where options do not go together, CommandError where no task is known. With ``--check`` a missing task is no
error but the level UNKNOWN.
"""

from __future__ import annotations

import time

import click

from ..exit_status import NO_TASK, OK, CommandError
from ..span_type import SPAN
from ..tasks.find import NONE_KNOWN, find, names_here
from ..terminal import colour, coloured, say, say_json, width
from ..view.health import UNKNOWN, unknown_line, verdict
from ..view.status_view import status
from ..view.task_status import of_all


@click.command(short_help="Show what is queued, moving, delivered and failing, and why.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.option("--check", is_flag=True, help="One line and an exit status for a monitoring system.")
@click.option("--max-age", type=SPAN, metavar="AGE", help="With --check: how old the oldest unsent file may be (90s, 15m, 1h, 2d).")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
def command(as_json: bool, check: bool, max_age: float | None, tasks: tuple[str, ...]) -> int:
    """Show these tasks, or all that this user may see: alive or dead, what is queued, moving, delivered, the last error, and
    in a sentence why nothing moves. Works when the child is dead, too. What is counted is counted since the child's start:
    NEW bytes of files that were not on the server before, bytes of files SENT, and bytes ON the WIRE with everything that the
    link has carried.

    STATE is idle, resting (quiet, so disconnected), connecting, sending, stalled (nothing is acknowledged), waiting (for the next
    try), held (the login is refused, or the server not trusted), paused, parked (the server refuses files), unreadable (files
    cannot be taken), disk low, missing (a watched folder is not there), starting, stopping, stopped, failed (it could not start
    or go on), dead, frozen (by a signal) or never run. Files that are due and have no room count as QUEUED.

    A TASK may also be a config file, or a folder of them: all tasks that were started from it.

    Root sees the tasks of all users, called USER:TASK, and reads and steers each with the rights of its user. Others see their
    own, and those whose StatusGroup they are in.

    With --check the exit status is that of a plugin for Nagios and its kin: 0 OK, 1 WARNING (stopped, paused, parked, unreadable,
    stalled, waiting for the link), 2 CRITICAL (dead, failed, held, missing, frozen, disk low, hanging, or a file that waits longer
    than --max-age), 3 UNKNOWN (no such task, or never run). With --max-age a bad link alone is no warning: the age says
    whether it is one.

    \b
    pysubtask status
    pysubtask status roof --json
    pysubtask status --check --max-age 1h
    """
    if max_age is not None and not check:
        raise click.UsageError("--max-age belongs to --check.")
    if as_json and check:
        raise click.UsageError("--json and --check are two forms: give one of them.")
    if check:
        return _check(tasks, max_age)
    meant = find(tasks, missing=True, shared=True)
    found = of_all(meant, time.time(), names_here(meant))
    if as_json:
        say_json({"tasks": [one.as_json() for one in found]})
        return OK
    if not found:
        raise CommandError(NONE_KNOWN, NO_TASK)
    lines = status(found, width())
    say(map(colour, lines) if coloured() else lines)
    return OK


def _check(words: tuple[str, ...], max_age: float | None) -> int:
    """The line goes to stdout in any case: a monitoring system reads nothing else."""
    try:
        meant = find(words, missing=True, shared=True)
    except CommandError as exc:
        say([unknown_line(str(exc))])
        return UNKNOWN
    found = verdict(of_all(meant, time.time(), names_here(meant)), max_age)
    say([found.line])
    return found.level
