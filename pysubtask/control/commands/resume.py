"""``pysubtask resume``: end pauses."""

from __future__ import annotations

import os
from typing import Any

import click

from ...common.text import plain
from ..tasks.send_request import command_line, send_request, tasks_option
from ..view.request_result import connection_first


@click.command(short_help="Go on with what was paused.")
@tasks_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(tasks: tuple[str, ...], names: tuple[str, ...]) -> int:
    """End the pause of some files, or, without a name, every pause of the task.

    \b
    pysubtask resume -t roof big.avi
    """
    return send_request(tasks, "resume", {"names": list(names), "cwd": os.getcwd()}, command_line(), words=_words)


def _words(result: Any) -> str:
    return connection_first(result, f"resumed {', '.join(map(plain, result['resumed'])) or 'nothing'}")
