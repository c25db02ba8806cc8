"""``pysubtask init``: the first config, from a URL, from a few questions, or as a template.

CommandError where a file would be written over, with the commands that go on from there, and where words of the command line
contradict each other; UsageError where options do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence

import click

from ...common import address, advice
from ...common.text import plain
from .. import ask
from ..config.config_file import default_file, find_files, load
from ..config.config_names import MAIN_FILE
from ..config.secrets import read_secret
from ..doctor import watch_paths
from ..exit_status import FAILED, OK, USAGE, CommandError
from ..setup import first_config, first_questions
from ..setup.first_config import Destination, Files, Secret
from ..setup.first_name import task_name
from ..setup.template import short, template
from ..terminal import say

_PASSWORD, _TOKEN = "PYSUBTASK_PASSWORD", "PYSUBTASK_REFRESH_TOKEN"
Line = tuple[str, str, str]


@click.command(short_help="Write the first config: from a URL and what to watch, or by a few questions.")
@click.argument("words", nargs=-1, metavar="[FILE.toml] [URL] [FOLDER|FILE]...")
@click.option("--full", is_flag=True, help="A template with every setting, its meaning, range and default.")
@click.option("--key", metavar="FILE", help="SFTP: the private key to log in with.")
@click.option("--password-file", metavar="FILE", help="A file of yours with the password in its first line; it stays where it is.")
@click.option("--app-key", metavar="KEY", help="Dropbox: the key of your app.")
@click.option("--no-doctor", is_flag=True, help="Do not look whether the way to the server works.")
def command(
    words: tuple[str, ...], full: bool, key: str | None, password_file: str | None, app_key: str | None, no_doctor: bool
) -> int:
    """Write a config of a dozen lines for URL (sftp://user@host:port/folder, ftp://..., ftps://..., dropbox:/folder, or
    user@host:folder as scp takes it) and the folders and files to watch, then look whether it works, as 'pysubtask doctor' does.
    On a terminal the password is asked for, and so is whatever else is missing; without one it comes from PYSUBTASK_PASSWORD.
    It is stored beside the config in a file for you alone. Nothing that is there already is written over.

    Without FILE.toml the config goes where 'pysubtask run' looks for it. FILE.toml alone gets a template with two lines to fill
    in; '-' instead of it shows what would be written, and nothing is stored. The exit status is 1 where the doctor finds what
    must be mended.

    \b
    pysubtask init ftp://web1234@files.example.org/public_html camera/ weather.csv
    pysubtask init station.toml sftp://station7@files.example.org/incoming camera/ --key ~/.ssh/station7
    pysubtask init
    pysubtask init station.toml
    pysubtask init --full -
    """
    file, url, watch = _sort_words(words)
    path = _path_of(file)
    try:
        return _first(file, path, url, watch, full, key, password_file, app_key, no_doctor)
    except first_config.IsThere as exc:
        options = {"--key": key, "--password-file": password_file, "--app-key": app_key}
        raise CommandError("\n".join([str(exc), *_choices(exc.path, path, file, url, watch, full, options)]), exc.status) from None


def _first(
    file: str | None,
    path: str | None,
    url: str | None,
    watch: list[str],
    full: bool,
    key: str | None,
    password_file: str | None,
    app_key: str | None,
    no_doctor: bool,
) -> int:
    if full or (url is None and not watch and (file is not None or not ask.is_interactive())):
        if full and (url is not None or watch):
            raise click.UsageError("--full gives a template: fill in its two lines. Leave the URL and what to watch out.")
        return _template(file, path, full)
    if path is not None:
        first_config.refuse_what_is_there(path)
    if url is None and not ask.is_interactive():
        raise first_questions.missing("URL", f"Say where to: {address.FORMS}.")
    asks_all = url is None
    to = first_questions.where_to() if url is None else first_config.destination(url)
    place = path or os.path.join(os.getcwd(), MAIN_FILE)
    more, secret = _login(to, place, key, password_file, app_key, asks_all=asks_all, keeps=path is not None)
    if not watch and not ask.is_interactive():
        raise first_questions.missing("What to watch", "Name a folder or a file behind the URL.")
    watched, notes = first_config.entries(watch or first_questions.what_to_watch(), os.path.dirname(place), os.getcwd())
    text = first_config.text_of(
        place,
        watched,
        to,
        more,
        stored=secret is not None or to.section == "dropbox" or (path is None and to.needs_password and password_file is None),
    )
    if path is None:
        say(map(plain, text.splitlines()))
        return OK
    written = _write(path, text, to, secret)
    for note in notes:
        say([f"note: {note}"], error=True)
    if no_doctor:
        for wide in filter(None, (watch_paths.too_wide(entry) for task in load(path, {}).tasks for entry in task.entries)):
            say([f"note: {plain(wide.text)}. {wide.remedy.words}"], error=True)
    for variable in (_PASSWORD, _TOKEN):
        os.environ.pop(variable, None)
    return _finish(written, file, examine=not no_doctor)


def _choices(
    there: str, path: str | None, file: str | None, url: str | None, watch: list[str], full: bool, options: Mapping[str, str | None]
) -> list[str]:
    """The choices where the file ``there`` exists already, each as a command line to type."""
    folder = os.path.dirname(file) if file else ""
    names = ["other", *(f"other{number}" for number in range(2, 100))]
    free = next(
        (
            name
            for name in names
            if not any(os.path.lexists(os.path.join(folder, name + ending)) for ending in (".toml", ".password", ".token"))
        ),
        "other",
    )
    other = os.path.join(folder, f"{free}.toml")
    given = [*(["--full"] if full else []), *(word for name, value in options.items() if value for word in (name, value))]
    asked = [url or "sftp://user@host/folder", *(watch or ["camera/"])] if url or watch or file is None else []
    another = [f"  pysubtask init {shlex.join([other, *asked, *given])}", f"  pysubtask run {shlex.quote(other)}"]
    first: list[str] = []
    if there == path:
        first = [f"To change it, edit that file: {advice.word(there)}"]
    elif there.endswith(".password") and not options["--password-file"]:
        named = shlex.join([*([file] if file else []), *asked, *given, "--password-file", there])
        first = ["To use the password in it:", f"  pysubtask init {named}"]
    return [*first, "For another config, with a name of its own:", *another]


def _sort_words(words: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """Sort the words of the command line into the config file, the URL, and the folders and files to watch. CommandError where
    there are two URLs or two configs, and where a server is named without a folder."""
    urls = [word for word in words if address.is_address(word)]
    if len(urls) > 1:
        raise CommandError("Two URLs are given. Name one; for several servers make a config for each.", USAGE)
    rest = [word for word in words if word not in urls]
    for word in rest:
        if not urls and "@" in word and "/" not in word and not os.path.lexists(word):
            raise CommandError(
                f"{word!r} names a server and no folder. Write {word}: with a colon and the folder behind it, "
                f"as scp takes it, or sftp://{word}.",
                USAGE,
            )
    named = [word for word in rest if word == "-" or word.endswith(".toml")]
    if len(named) > 1:
        raise CommandError(f"Two configs are named: {named[0]} and {named[1]}. Name one.", USAGE)
    return (named[0] if named else None), (urls[0] if urls else None), [word for word in rest if word not in named]


def _path_of(file: str | None) -> str | None:
    """The path for the config; None where it is only printed."""
    if file == "-":
        return None
    path = default_file(os.environ) if file is None else os.path.abspath(os.path.expanduser(file))
    return os.path.join(path, MAIN_FILE) if os.path.isdir(path) else path


def _template(file: str | None, path: str | None, full: bool) -> int:
    if path is None:
        say((template() if full else short()).removesuffix("\n").split("\n"))
        return OK
    named = shlex.quote(path)
    first_config.write_new(path, template(named) if full else short(named, task_name(path, [])))
    argument = _config_argument(path, file)
    say([f"Written: {path}"])
    click.echo("Fill in the two lines marked with <== (the folder, and the server), then:")
    say([f"  pysubtask check{argument}    is the config right, and what would be sent"])
    say([f"  pysubtask doctor{argument}   does the way to the server work"])
    say([f"  pysubtask run{argument}      send, and go on sending"])
    return OK


def _config_argument(path: str, file: str | None) -> str:
    """The config as an argument for the next commands, with a space before it; '' where those commands find it by themselves."""
    if file is None:
        try:
            if find_files(None, os.environ) == [path]:
                return ""
        except CommandError:
            pass
    return f" {shlex.quote(file if file is not None and os.path.abspath(file) == path else path)}"


# ---- how to log in


def _login(
    to: Destination, config: str, key: str | None, password_file: str | None, app_key: str | None, *, asks_all: bool, keeps: bool
) -> tuple[list[Line], Secret | None]:
    """The config lines for the login, and the secret that is to be stored. UsageError for an option of another protocol."""
    if to.section == "dropbox":
        return _dropbox(config, key, password_file, app_key, keeps=keeps)
    if app_key is not None:
        raise click.UsageError("--app-key is for Dropbox.")
    if key is not None and not to.settings["UseSFTP"]:
        raise click.UsageError("--key is for SFTP. FTP logs in with a password.")
    if key is None and asks_all and to.settings["UseSFTP"] and password_file is None:
        key = first_questions.key_file()
    lines = [("KeyFile", _beside(key, config), "")] if key is not None else []
    if password_file is not None:
        found = os.path.abspath(os.path.expanduser(password_file))
        read_secret("--password-file", found)
        return [*lines, ("PasswordFile", _beside(password_file, config), "the password, for you alone")], None
    typed = os.environ.get(_PASSWORD) or None
    if typed is None and keeps and to.may_need_password and key is None:
        if ask.is_interactive():
            first_config.refuse_what_is_there(first_config.secret_file(config, to.section))
            typed = first_questions.password(to)
        elif to.needs_password:
            raise first_questions.missing("The password", f"Give it by {_PASSWORD} or --password-file.")
    return lines, None if typed is None else Secret(typed)


def _dropbox(
    config: str, key: str | None, password_file: str | None, app_key: str | None, *, keeps: bool
) -> tuple[list[Line], Secret | None]:
    if key is not None or password_file is not None:
        raise click.UsageError("--key and --password-file are for SFTP and FTP. Dropbox has --app-key.")
    token = os.environ.get(_TOKEN)
    if keeps and not (token and app_key):
        if not ask.is_interactive():
            raise first_questions.missing("The login", f"Give --app-key, and the token by {_TOKEN}.")
        store = first_config.secret_file(config, "dropbox")
        first_config.refuse_what_is_there(store)
        os.makedirs(os.path.dirname(store), exist_ok=True)
        app_key = first_questions.dropbox_login(app_key, store)
    lines = [("AppKey", app_key or "", "of your Dropbox app")]
    return lines, Secret(token) if token and keeps else None


def _beside(file: str, config: str) -> str:
    """The path of a file as it is written into the config: relative below the config's folder, absolute elsewhere; ``~`` is
    kept."""
    if file.startswith("~"):
        return file
    path, folder = os.path.abspath(file), os.path.dirname(config)
    return os.path.relpath(path, folder) if path.startswith(os.path.join(folder, "")) else path


def _write(path: str, text: str, to: Destination, secret: Secret | None) -> Files:
    written = first_config.write(path, text, to.section, secret)
    beside = first_config.secret_file(path, to.section)
    name = os.path.basename(beside)
    kept = f", and beside it {name} with the {'password' if to.section == 'ftp' else 'login'}" if f'"{name}"' in text else ""
    say((f"Written, for you alone: {path}{kept}.\n").split("\n"))
    say(map(plain, text.splitlines()))
    return written


# ---- what comes next


def _finish(written: Files, file: str | None, *, examine: bool) -> int:
    """Examine the new config as ``pysubtask doctor`` does, and print the next steps; the exit status."""
    argument = _config_argument(written.config, file)
    status = OK
    if examine:
        from .doctor import command as doctor

        click.echo()
        status = doctor.main([written.config], prog_name="pysubtask doctor", standalone_mode=False)
    click.echo()
    if status != OK:
        say(["The config stays. Mend what is said above, then:"])
        say([f"  pysubtask doctor{argument}   once more", f"  pysubtask run{argument}      send, and go on sending"])
        if written.secret is not None:
            say([f"The password is the first line of {plain(written.secret)}."])
        return FAILED
    words = [*([written.config] if argument else []), "--install", *_service_name(written.config, bool(argument))]
    steps = [(f"run{argument}", "send, and go on sending, until Ctrl-C"), ("status", "from another terminal: what was sent")]
    if shutil.which("systemctl") is not None:
        steps.append((f"service {shlex.join(words)}", "have systemd run it, at every boot"))
    wide = max(len(step) for step, _ in steps)
    say(["Next:", *(f"  pysubtask {step:<{wide}}   {what}" for step, what in steps)])
    if len(steps) < 3:
        return OK
    if ask.is_interactive() and ask.for_consent("Install that service now?"):
        from .service import command as install

        return int(install.main(words, prog_name="pysubtask service", standalone_mode=False) or OK)
    return OK


def _service_name(config: str, named: bool) -> list[str]:
    """The --name option for the service of this config: a second config on the machine must not take the name of the first."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", os.path.splitext(os.path.basename(config))[0])
    return ["--name", f"pysubtask-{stem}"] if named and stem != "pysubtask" else []
