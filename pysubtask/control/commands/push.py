"""``pysubtask push``: upload files once, now.

UsageError where no file is named, ConfigError where the destination or a setting cannot be used.
"""

from __future__ import annotations

import os

import click

from ...common import address
from ..config.setting_values import forget_secrets
from ..exit_status import FAILED, OK
from ..terminal import say

_INTERRUPTED = 130


@click.command(short_help="Upload files once, now.")
@click.argument("words", nargs=-1, required=True, metavar="FILE... DEST")
@click.option("--as", "name", metavar="NAME", help="The name on the server, of a single FILE.")
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    metavar="N",
    help="Give up after so many tries in a row without progress (default: RetryCount).",
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECS", help="Give up after so many seconds.")
@click.option("--password-file", metavar="FILE", help="File with the password in its first line, for you alone.")
@click.option("-c", "--config", metavar="CONFIG", help="The config that DEST is a task of, where it is not in its usual place.")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the destination (docs/config.md); may be given again.",
)
def command(
    words: tuple[str, ...],
    name: str | None,
    tries: int | None,
    timeout: float | None,
    password_file: str | None,
    config: str | None,
    options: tuple[str, ...],
) -> int:
    """Upload files under their own names: temp name, verified, renamed, as a task does it. Cut off or ended, it goes on where
    it was when the same command is run again. The exit status is 0 when every file is there.

    DEST is sftp://user@host:port/folder, ftp://..., ftps://..., dropbox:/folder, user@host:folder as scp takes it (that is
    SFTP), or the name of a task of a config, whose destination and settings are taken. A folder is relative to the one a login
    starts in (with // from the root). Host keys are verified. A password comes from --password-file or PYSUBTASK_PASSWORD, never
    from the URL; on a terminal it is asked for where one is needed.

    \b
    pysubtask push report.pdf sftp://station7@files.example.org/incoming
    pysubtask push report.pdf station7@files.example.org:incoming
    pysubtask push *.csv roof --timeout 600
    """
    from ...transports import transport_class
    from ..config.secrets import read_secret
    from ..push import files, place
    from ..push.password import VARIABLE, Password
    from ..push.record import Record
    from ..push.sender import Limits, Sender
    from ..push.show import show_for
    from ..push.words import in_words_of_a_push

    *paths, dest = words
    if not paths:
        raise click.UsageError("Name at least one file, and then where it goes: pysubtask push FILE sftp://user@host/folder")
    environ = dict(os.environ)
    password = environ.get(VARIABLE) or None
    if password_file is not None:
        password = read_secret("--password-file", password_file)
    if address.is_address(dest):
        target = place.of_url(dest, options, password, environ)
    else:
        target = place.of_task(dest, config, options, password, environ)
    for variable in (VARIABLE, *place.TOKENS.values()):
        os.environ.pop(variable, None)
    forget_secrets(os.environ)
    uploads = files.named(paths, name)
    destination = transport_class(target.transport).identity(target.settings)
    asked = Password(target.section, target.settings, destination)
    if asked.is_missing():
        target.settings["Password"] = asked.ask()
    record = Record(destination, [own for _, own in uploads])
    keep = True
    try:
        with show_for(destination, in_words_of_a_push if address.is_address(dest) else str) as show:
            limits = Limits(tries or int(target.settings["RetryCount"]), timeout)
            asked.pause = show.clear
            sender = Sender(target, uploads, record, limits, show)
            outcomes = sender.run(asked)
            keep = sender.worth_keeping()
    except KeyboardInterrupt:
        click.echo("pysubtask: broken off. Run the same command again, and it goes on.", err=True)
        return _INTERRUPTED
    finally:
        record.close(keep=keep)
    missing = [outcome for outcome in outcomes if outcome.error]
    if missing:
        hint = " Run the same command again, and it goes on." if keep else ""
        say([f"pysubtask: {len(missing)} of {len(outcomes)} not delivered.{hint}"], error=True)
    return FAILED if missing else OK
