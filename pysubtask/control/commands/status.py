"""``pysubtask status``: what each task does, and why it does nothing."""

from __future__ import annotations

import time

import click

from ..exits import NO_TASK, OK, CommandError
from ..glance import glance
from ..output import colour, coloured, say, say_json, width
from ..shown import status
from ..tasks import NONE_KNOWN, find, names_here


@click.command(short_help="Show what is queued, moving, delivered and failing, and why.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
def command(as_json: bool, tasks: tuple[str, ...]) -> int:
    """Show these tasks, or all of this machine and user: alive or dead, what is queued, moving, delivered, the last error, and
    in a sentence why nothing moves. Works when the child is dead, too. What is counted is counted since the child's start:
    NEW bytes of files that were not on the server before, bytes of files SENT, and bytes ON the WIRE with everything that the
    link has carried.

    STATE is idle, resting (quiet, so disconnected), connecting, sending, stalled (nothing is acknowledged), waiting (for the next
    try), held (the login is refused, or the server not trusted), paused, parked (the server refuses files), unreadable (files
    cannot be taken), disk low, missing (a watched folder is not there), starting, stopping, stopped, failed (it could not start
    or go on), dead, frozen (by a signal) or never run. Files that are due and have no room count as QUEUED.

    \b
    pysubtask status
    pysubtask status roof --json
    """
    meant = find(tasks, missing=True)
    found = [glance(task, time.time(), name) for task, name in zip(meant, names_here(meant), strict=True)]
    if as_json:
        say_json({"tasks": [one.as_json() for one in found]})
        return OK
    if not found:
        raise CommandError(NONE_KNOWN, NO_TASK)
    lines = status(found, width())
    say(map(colour, lines) if coloured() else lines)
    return OK
