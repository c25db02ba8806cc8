"""``pysubtask init``: write a config with every setting explained."""

from __future__ import annotations

import os
import shlex

import click

from ..config_file import default_file
from ..exits import FAILED, OK, CommandError
from ..output import say
from ..template import template


@click.command(short_help="Write a config with every setting explained.")
@click.argument("file", required=False, metavar="[FILE]")
def command(file: str | None) -> int:
    """Write a config with every setting, its meaning, range and default, and two lines to fill in: the server, and the folder
    that is watched. Never writes over a file. Without FILE it goes where 'pysubtask run' looks for it; '-' shows it.

    \b
    pysubtask init
    pysubtask init station.toml
    """
    if file == "-":
        say(template().removesuffix("\n").split("\n"))
        return OK
    path = default_file(os.environ) if file is None else os.path.abspath(os.path.expanduser(file))
    if os.path.isdir(path):
        path = os.path.join(path, "pysubtask.toml")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        raise CommandError(f"{path} is there already, and stays as it is. Name another file, or edit that one.", FAILED) from None
    except OSError as exc:
        raise CommandError(f"{path} cannot be written ({exc.strerror}). Name a file in a folder of yours.", FAILED) from exc
    shown = shlex.quote(path)
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        written.write(template(shown))
    say([f"Written: {path}"])
    click.echo("Fill in the two lines marked with <== (the folder, and the server), then:")
    if file is not None and os.path.abspath(file) == path:
        shown = shlex.quote(file)
    say([f"  pysubtask check {shown}    is the config right, and what would be sent"])
    say([f"  pysubtask doctor {shown}   does the way to the server work"])
    say([f"  pysubtask run {shown}      send, and go on sending"])
    return OK
