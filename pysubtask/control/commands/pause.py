"""``pysubtask pause``: send nothing, or these files not, until ``resume``."""

from __future__ import annotations

import click

from ..steer import command_line, give, task_option


@click.command(short_help="Send nothing, or these files not, until 'resume'.")
@task_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(task: str | None, names: tuple[str, ...]) -> int:
    """Pause a task, or some of its files (remote names or paths): they stay in the queue and are not sent until
    'pysubtask resume'. What is moving is called back; it goes on from where it was. Kept over restarts.

    \b
    pysubtask pause                     the only task there is
    pysubtask pause -t roof big.avi     one file of the task 'roof'
    """
    return give(task, "pause", {"names": list(names)}, command_line())
