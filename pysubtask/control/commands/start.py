"""``pysubtask start``: start a stopped task again."""

from __future__ import annotations

import click

from ..steer import command_line, give, task_option


@click.command(short_help="Start a task that was stopped.")
@task_option
def command(task: str | None) -> int:
    """Start a task that 'pysubtask stop' has stopped. Its app, or 'pysubtask run', must be running: that is who starts it.

    \b
    pysubtask start -t roof
    """
    return give(task, "start", {}, command_line(), may_be_dead=True)
