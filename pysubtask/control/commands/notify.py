"""``pysubtask notify``: files have news."""

from __future__ import annotations

import os

import click

from ..steer import command_line, give, task_option


@click.command(short_help="Say that files have news.")
@task_option
@click.argument("files", nargs=-1, metavar="[FILE]...")
def command(task: str | None, files: tuple[str, ...]) -> int:
    """Notify these files, or, without a name, every file that the task names one by one (folders are watched by
    themselves). The same as a touch of FILE.notify, but it says when a file is not watched.

    \b
    pysubtask notify -t roof data/today.csv
    """
    return give(task, "notify", {"files": list(files), "cwd": os.getcwd()}, command_line())
