"""``pysubtask retry``: offer refused and waiting files again at once."""

from __future__ import annotations

from typing import Any

import click

from ..steer import command_line, give, task_option
from ..text import files


@click.command(short_help="Offer refused and waiting files again at once.")
@task_option
@click.argument("names", nargs=-1, metavar="[FILE]...")
def command(task: str | None, names: tuple[str, ...]) -> int:
    """Offer these files (remote names or paths), or all, to the server again at once: also those that it refused. Paused ones
    stay paused.

    \b
    pysubtask retry
    pysubtask retry -t roof big.avi
    """
    return give(task, "retry", {"names": list(names)}, command_line(), words=_words)


def _words(result: Any) -> str:
    return f"{files(result['offered'])} offered again" if result["offered"] else "nothing waits"
