"""``pysubtask retry``: offer refused and waiting files again at once."""

from __future__ import annotations

import os
from typing import Any

import click

from ...common.text import files
from ..tasks.find import Task
from ..tasks.send_request import command_line, send_request, tasks_option
from ..view.request_result import connection_first
from ..view.task_status import unread


@click.command(short_help="Offer refused and waiting files again at once.")
@tasks_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(tasks: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Offer these files (remote names or paths), or all, to the server again at once: also those that it refused. Paused ones
    stay paused. A wait for the next connection ends, too; after a refused login there is one extra try a minute, so that no
    account gets locked, and the answer says when.

    \b
    pysubtask retry
    pysubtask retry -t roof big.avi
    """
    return send_request(tasks, "retry", {"names": list(names), "cwd": os.getcwd()}, command_line(), words=_words, also=_unread)


def _unread(child: Task) -> str:
    """A line about a file that was changed since a held child read it; '' where there is none. Such a child does not read it again
    by itself."""
    return child.ask(lambda: unread(child, child.page() or {})) if child.holder() is not None else ""


def _words(result: Any) -> str:
    return connection_first(result, f"{files(result['offered'])} offered again" if result["offered"] else "nothing waits")
