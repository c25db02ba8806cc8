"""``pysubtask resume``: end pauses."""

from __future__ import annotations

import click

from ..steer import command_line, give, task_option


@click.command(short_help="Go on with what was paused.")
@task_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(task: str | None, names: tuple[str, ...]) -> int:
    """End the pause of some files, or, without a name, every pause of the task.

    \b
    pysubtask resume -t roof big.avi
    """
    return give(task, "resume", {"names": list(names)}, command_line())
