"""What ``pysubtask init`` asks a person: where to, how to log in, what to watch. Nothing is asked without a terminal."""

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
    """What nobody can be asked for."""
    return CommandError(f"{what} is missing, and here is no terminal to ask for it. {how}", USAGE)


def where_to() -> Destination:
    """Protocol, server, login name and folder."""
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
    """The key of an SFTP login, where it is not left to ssh."""
    return ask.for_text("Key file (Enter: a password, or what ssh chooses)") or None


def password(to: Destination) -> str | None:
    """The password; None where nothing was typed."""
    where = f"{to.user}@{to.settings['Host']}" if to.user else str(to.settings["Host"])
    return ask.for_secret(f"Password for {where}" + ("" if to.needs_password else " (Enter: log in by key)")) or None


def what_to_watch() -> list[str]:
    """Folders and files, at least one."""
    found = [_needed("Folder or file to watch")]
    while more := ask.for_text("Another folder or file (Enter: no more)"):
        found.append(more)
    return found


def dropbox_login(app_key: str | None, store: str) -> str:
    """Let this machine into a Dropbox, by the program that does that; the app key. The token goes into the file ``store``.
    CommandError where it does not work."""
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
