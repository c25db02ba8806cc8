"""``pysubtask set``: change settings of a running task.

CommandError where an argument is not KEY=VALUE.
"""

from __future__ import annotations

import click

from ..exit_status import USAGE, CommandError
from ..tasks.send_request import command_line, send_request, tasks_option


@click.command(short_help="Change settings of a running task.")
@tasks_option
@click.option("--keep", is_flag=True, help="Keep the values over restarts, until the config says something else.")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...")
def command(tasks: tuple[str, ...], keep: bool, settings: tuple[str, ...]) -> int:
    """Change settings at once: all of them, or none where one is wrong. 'pysubtask get' shows which can be set.

    \b
    pysubtask set RateLimit=50k
    pysubtask set -t roof --keep TimerIntervalSecs=10 HeartbeatIntervalSecs=600
    """
    values = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise CommandError(f"{word!r} is no setting: write it as KEY=VALUE, without blanks around the '='.", USAGE)
        values[key] = value
    return send_request(tasks, "set", {"settings": values, "keep": keep}, command_line(), words=_words)


def _words(result: dict[str, object]) -> str:
    changed = result["changed"]
    if not isinstance(changed, list) or not changed:
        return "nothing changed: the values were these already"
    words = ", ".join(f"{row['key']} = {row['new']} (was {row['old']})" for row in changed)
    return words + (", kept over restarts" if result["kept"] else ", until the next restart")
