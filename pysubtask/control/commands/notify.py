"""``pysubtask notify``: tell a task that files have changed."""

from __future__ import annotations

import os
from typing import Any

import click

from ...common.text import plain
from ..tasks.send_request import command_line, send_request, tasks_option
from ..view.request_result import connection_first


@click.command(short_help="Say that files have news.")
@tasks_option
@click.argument("files", nargs=-1, metavar="[FILE]...")
def command(tasks: tuple[str, ...], files: tuple[str, ...]) -> int:
    """Notify these files, or, without a name, every file that the task names one by one (folders are watched by
    themselves). The same as a touch of FILE.notify, but it says when a file is not watched.

    \b
    pysubtask notify -t roof data/today.csv
    """
    return send_request(tasks, "notify", {"files": list(files), "cwd": os.getcwd()}, command_line(), words=_words)


def _words(result: Any) -> str:
    return connection_first(result, f"notified {', '.join(map(plain, result['notified'])) or 'nothing'}")
