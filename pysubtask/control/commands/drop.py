"""``pysubtask drop``: take files out of the queue."""

from __future__ import annotations

import os
from typing import Any

import click

from ...common.text import plain
from ..tasks.send_request import command_line, send_request, tasks_option


@click.command(short_help="Take files out of the queue: they are not sent.")
@tasks_option
@click.argument("names", nargs=-1, required=True, metavar="FILE...")
def command(tasks: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Take these files (remote names or paths) out of the queue. The data files are left alone, and are sent again when they
    change or are notified. One that is on its way is paused first: 'pysubtask pause FILE'.

    \b
    pysubtask drop big.avi
    """
    return send_request(tasks, "drop", {"names": list(names), "cwd": os.getcwd()}, command_line(), words=_words)


def _words(result: Any) -> str:
    return f"dropped {', '.join(map(plain, result['dropped'])) or 'nothing'}"
