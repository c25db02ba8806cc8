"""``pysubtask pause``: stop sending a task's files, or some of them, until ``resume``."""

from __future__ import annotations

import os

import click

from ..tasks.send_request import command_line, send_request, tasks_option


@click.command(short_help="Send nothing, or these files not, until 'resume'.")
@tasks_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(tasks: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Pause a task, or some of its files (remote names or paths): they stay in the queue and are not sent until
    'pysubtask resume'. What is moving is called back; it goes on from where it was. Kept over restarts.

    \b
    pysubtask pause                     the only task there is
    pysubtask pause -t roof big.avi     one file of the task 'roof'
    """
    return send_request(tasks, "pause", {"names": list(names), "cwd": os.getcwd()}, command_line())
