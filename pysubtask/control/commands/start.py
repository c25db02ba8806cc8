"""``pysubtask start``: start a stopped task again."""

from __future__ import annotations

import click

from ..tasks.send_request import command_line, refuse_without_master, send_request, tasks_option
from ..tasks.task_choice import waits_for_a_start


@click.command(short_help="Start a task that was stopped.")
@tasks_option
def command(tasks: tuple[str, ...]) -> int:
    """Start a task that 'pysubtask stop' has stopped. Its app, or 'pysubtask run', must be running: that is who starts it.
    Without -t it is the only task that is stopped and can be started.

    \b
    pysubtask start -t roof
    """
    return send_request(tasks, "start", {}, command_line(), may_be_dead=True, pick=waits_for_a_start, if_dead=refuse_without_master)
