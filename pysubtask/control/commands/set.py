"""``pysubtask set``: change settings of a running task.

CommandError where an argument is not KEY=VALUE.
"""

from __future__ import annotations

import click

from ...daemon.proxy import set_items
from ..daemons import complete, words
from ..daemons.meant import daemons_meant
from ..exit_status import OK, USAGE, CommandError
from ..tasks.send_request import command_line, send_request, tasks_option
from ..terminal import say


@click.command(short_help="Change settings of a running task.")
@tasks_option
@click.option("--keep", is_flag=True, help="Keep the values over restarts, until the config says something else.")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...", shell_complete=complete.items_to_set)
def command(tasks: tuple[str, ...], keep: bool, settings: tuple[str, ...]) -> int:
    """Change settings at once: all of them, or none where one is wrong. 'pysubtask get' shows which can be set. Of a named daemon
    (-t Dome) items are set; one that is slow is waited for.

    \b
    pysubtask set RateLimit=50k
    pysubtask set -t roof --keep TimerIntervalSecs=10 HeartbeatIntervalSecs=600
    pysubtask set -t Dome azimuth=180
    """
    values = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise CommandError(f"{word!r} is no setting: write it as KEY=VALUE, without blanks around the '='.", USAGE)
        values[key] = value
    if names := daemons_meant(tasks):
        for name in names:
            with words.asking():
                proxy = words.daemon(name)
                done = set_items(proxy, words.values_of(proxy.describe(), values))
            say([f"{name}: {', '.join(f'{key} = {value}' for key, value in done.items())}"])
        return OK
    return send_request(tasks, "set", {"settings": values, "keep": keep}, command_line(), words=_words)


def _words(result: dict[str, object]) -> str:
    changed = result["changed"]
    if not isinstance(changed, list) or not changed:
        return "nothing changed: the values were these already"
    words = ", ".join(f"{row['key']} = {row['new']} (was {row['old']})" for row in changed)
    return words + (", kept over restarts" if result["kept"] else ", until the next restart")
