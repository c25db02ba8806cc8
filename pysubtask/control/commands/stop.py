"""``pysubtask stop``: end a task."""

from __future__ import annotations

import click

from ..exit_status import OK
from ..tasks.find import Task
from ..tasks.send_request import command_line, send_request, tasks_option


@click.command(short_help="Stop a task; what is queued stays queued.")
@tasks_option
def command(tasks: tuple[str, ...]) -> int:
    """Have a task send what is queued, for StopWaitSecs at most, and end. Its app does not start it again by itself;
    'pysubtask start' does, and a start of the app. Files notified meanwhile are sent then. Where no child runs, and nobody is
    about to start one, nothing is ordered.

    \b
    pysubtask stop -t roof
    """
    return send_request(tasks, "stop", {}, command_line(), if_dead=_stopped)


def _stopped(child: Task, name: str) -> tuple[int, str] | None:
    # A request that is kept would stop the child that is started next, perhaps days later: it is kept only while a master lives
    # that is about to start one.
    if child.state() != "stopped" and child.master() is not None:
        return None
    return OK, f"{name}: no child runs, so there is nothing to stop"
