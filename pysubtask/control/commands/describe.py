"""``pysubtask describe``: the items, methods and events of a daemon."""

from __future__ import annotations

import json

import click

from ...daemon.find import daemons
from ..daemons import complete, words
from ..terminal import say


@click.command(short_help="Show the items, methods and events of a daemon.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete.daemon_names)
def command(as_json: bool, names: tuple[str, ...]) -> None:
    """Show what these daemons have, or all that run: items with type, unit and range, methods with their arguments, and events.

    \b
    pysubtask describe Dome
    """
    with words.asking():
        found = [words.daemon(name).describe() for name in names or [one.name for one in daemons()]]
    if as_json:
        say(json.dumps(found, indent=1).split("\n"))
        return
    say([line for one in found for line in words.description(one)] or ["No daemon runs."])
