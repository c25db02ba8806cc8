"""``pysubtask stop``: end a task."""

from __future__ import annotations

import click

from ..steer import command_line, give, task_option


@click.command(short_help="Stop a task; what is queued stays queued.")
@task_option
def command(task: str | None) -> int:
    """Have a task send what is queued, for StopWaitSecs at most, and end. Its app does not start it again by itself;
    'pysubtask start' does, and a start of the app. Files notified meanwhile are sent then.

    \b
    pysubtask stop -t roof
    """
    return give(task, "stop", {}, command_line())
