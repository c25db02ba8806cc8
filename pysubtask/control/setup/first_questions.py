"""The questions of ``pysubtask init``: the destination, the login, and the folders to watch. They need a terminal."""

from __future__ import annotations

import subprocess

import click

from ...common import address
from ...common.program import here, interpreter
from .. import ask
from ..exit_status import USAGE, CommandError
from ..terminal import say
from .first_config import Destination, destination

_APP_KEY = """\
An app key is free: at https://www.dropbox.com/developers/apps create an app with "Scoped access" and "App folder". Under
"Permissions" tick files.content.write and files.metadata.read, press Submit; "Settings" shows the App key."""
_PROTOCOLS = ("sftp", "ftp", "ftps", "dropbox")


def missing(what: str, how: str) -> CommandError:
    """The error where something is missing and no terminal is there to ask for it. ``how``: the way to give it."""
    return CommandError(f"{what} is missing, and here is no terminal to ask for it. {how}", USAGE)


def where_to() -> Destination:
    """Ask for protocol, server, login name and folder. A wrong address is asked for again."""
    protocol = ask.for_choice("Protocol (your provider says which)", _PROTOCOLS, "sftp")
    if protocol == "dropbox":
        return Destination("dropbox", {"HostPath": ask.for_text("Folder in Dropbox (Enter: the app's own)").strip("/")})
    found: Destination | None = None
    while found is None:
        host = _needed("Server (name, or name:port)")
        try:
            found = destination(host if address.is_address(host) else f"{protocol}://{host}")
        except ValueError as exc:
            say([str(exc)], error=True)
    settings = dict(found.settings)
    if not found.user:
        default = "ssh's own choice" if settings["UseSFTP"] else "anonymous"
        settings["User"] = ask.for_text(f"User name (Enter: {default})")
    if not settings["HostPath"]:
        settings["HostPath"] = ask.for_text("Folder on the server (Enter: where the login starts)")
    return Destination("ftp", settings)


def key_file() -> str | None:
    """Ask for the key file of an SFTP login; None leaves the choice to ssh."""
    return ask.for_text("Key file (Enter: a password, or what ssh chooses)") or None


def password(to: Destination) -> str | None:
    """Ask for the password; None where nothing was typed."""
    where = f"{to.user}@{to.settings['Host']}" if to.user else str(to.settings["Host"])
    return ask.for_secret(f"Password for {where}" + ("" if to.needs_password else " (Enter: log in by key)")) or None


def what_to_watch() -> list[str]:
    """Ask for the folders and files to watch, at least one."""
    found = [_needed("Folder or file to watch")]
    while more := ask.for_text("Another folder or file (Enter: no more)"):
        found.append(more)
    return found


def dropbox_login(app_key: str | None, store: str) -> str:
    """Log in to Dropbox by ``python -m pysubtask.dropbox --login``, which writes the token into the file ``store``; the app key,
    which is asked for where it is not given. CommandError where the login fails."""
    if not app_key:
        say(_APP_KEY.split("\n"), error=True)
        app_key = _needed("App key")
    words = [interpreter(here()), "-P", "-m", "pysubtask.dropbox", "--login", "--app-key", app_key, "--store", store]
    if subprocess.run(words, check=False).returncode != 0:
        raise CommandError("There is no login to Dropbox yet, so no config was written. Run the same command again.")
    click.echo("These lines are written for you.\n", err=True)
    return app_key


def _needed(what: str) -> str:
    while True:
        found = ask.for_text(what)
        if found:
            return found
