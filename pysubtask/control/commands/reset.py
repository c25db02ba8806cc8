"""``pysubtask reset``: have a task drop its connection and start over."""

from __future__ import annotations

import click

from ..tasks.send_request import command_line, refuse_without_master, send_request, tasks_option


@click.command(short_help="Have a task begin anew.")
@tasks_option
def command(tasks: tuple[str, ...]) -> int:
    """Have a task drop its connection and begin anew, with the settings of its config (and those kept by 'set --keep').
    Nothing that is queued is lost.

    \b
    pysubtask reset -t roof
    """
    return send_request(tasks, "reset", {}, command_line(), may_be_dead=True, if_dead=refuse_without_master)
