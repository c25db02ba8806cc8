"""``pysubtask service``: print or install a systemd unit for a config.

CommandError where this system has no systemd, where systemd does not accept a name or a credential, and where the rights do not
allow the service; UsageError where options do not go together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import click

from ...common import advice, effective_user, named_files, registry, trust
from ...common.errors import ConfigError
from ...common.place import existing
from ...common.program import here, interpreter
from ...common.run_as import Identity, identity, not_root
from ..config.config_file import Config, load
from ..config.task_config import TaskConfig
from ..exit_status import FAILED, OK, USAGE, CommandError
from ..run import program_runner, unit_files, unit_install
from ..run.exposure import exposure
from ..run.run_as import of_option, of_tasks
from ..run.systemd_unit import Service, credentials, unit, unit_of_program
from ..tasks.owners import Owner
from ..terminal import say

_ONLY_ROOT = "Only root can make a service for another user. Run it with sudo, or leave --run-as out."


@click.command(short_help="Print, install or remove a systemd unit for a config.")
@click.argument("config", required=False, metavar="[CONFIG|MODULE:CLASS]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
@click.option("--install", is_flag=True, help="Write it to where systemd finds it, instead of printing it.")
@click.option("--uninstall", is_flag=True, help="Stop the service, and remove the unit that --install wrote.")
@click.option("--name", default="pysubtask", show_default=True, metavar="NAME", help="What the service is called.")
@click.option(
    "--run-as",
    metavar="USER",
    help="Whose rights it has, as a name or 'uid:gid' (only root can choose; default: "
    "RunAs in the config, or the first folder's owner).",
)
@click.option(
    "--may-write",
    "writable",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="With MODULE:CLASS: a folder that it may write, besides the one you are in (may be given again).",
)
def command(
    config: str | None,
    names: tuple[str, ...],
    install: bool,
    uninstall: bool,
    name: str,
    run_as: str | None,
    writable: tuple[str, ...],
) -> int:
    """Print a systemd unit that runs CONFIG (found as by 'pysubtask run') with a watchdog. Secrets that the config names files
    for are handed over by systemd (LoadCredential). Root gets a unit of the system, which may write to the watched folders
    and what pysubtask keeps, and nowhere else; others get one of their own manager, which cannot close off the file system.

    MODULE:CLASS is a program of your own, as 'pysubtask run' takes it, found from the folder you are in.

    --uninstall stops and disables the service and removes its unit, where 'service --install' wrote it. Config, data and state
    stay, and it says where they are.

    \b
    pysubtask service station.toml > pysubtask.service
    sudo pysubtask service --install    the config in /etc/pysubtask
    sudo pysubtask service --uninstall
    """
    if not hasattr(os, "geteuid"):
        raise CommandError("This system has no systemd. Start 'pysubtask run' by its own means.", FAILED)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise CommandError(f"{name!r} is no name of a service. Use letters, digits, '-' and '_'.", FAILED)
    if uninstall:
        if install or config is not None or names or run_as is not None:
            raise click.UsageError("--uninstall goes with --name alone.")
        unit_install.uninstall(name)
        return OK
    if config is not None and program_runner.is_meant(config):
        if names:
            raise click.UsageError("--task is for a config.")
        service, notes = _of_program(name, config, run_as, writable)
        text = unit_of_program(service, os.getcwd(), [os.path.abspath(folder) for folder in writable])
    else:
        if writable:
            raise click.UsageError("--may-write is for MODULE:CLASS; a config names its folders.")
        found = load(config, os.environ, names)
        tasks = found.named(names)
        for credential, path in credentials(tasks):
            if re.search(r"[:%/\s]", credential) or ":" in path:
                raise CommandError(f"systemd takes no credential {credential!r} from {path}. Rename the task, or the file.", FAILED)
        place = os.path.abspath(os.path.expanduser(config)) if config is not None else found.place
        service, notes = _service(name, place, names, run_as, tasks, found)
        text = unit(service, tasks)
    level = exposure(f"{name}.service", text) if service.user else None
    if level is not None:
        notes.append(f"systemd-analyze security gives it {level} (0 is closed off, 10 is open)")
    if not install:
        say(text.removesuffix("\n").split("\n"))
    else:
        notes += unit_install.install(service, text)
    for note in notes:
        say([f"note: {note}"], error=True)
    return OK


def _service(
    name: str, place: str, names: tuple[str, ...], run_as: str | None, tasks: Sequence[TaskConfig], found: Config
) -> tuple[Service, list[str]]:
    notes = [
        f"the variable {one} counts here and now, not in the service: put it into the config"
        for one in sorted(os.environ)
        if re.fullmatch(r"PYSUBTASK_.+__.+__.+", one)
    ]
    configured = of_tasks(tasks, of_option(run_as))
    if effective_user.now() != 0:
        if run_as is not None:
            raise CommandError(_ONLY_ROOT, FAILED)
        if configured is not None and not configured.is_this_process:
            raise not_root(configured)
        return _of_user(name, place, names), notes
    owner = configured or _owner(_folders(tasks)[0])
    service = _of_system(name, place, names, owner, _folders(tasks))
    user = service.user
    for path in found.files:
        info = os.stat(path)
        run = "".join(f" Run: {line}" for line in advice.hand_over_config(path, user))
        if info.st_uid not in (0, owner.uid):
            notes.append(f"the config {path} belongs to another user, whom {user} does not obey.{run}")
        elif owner.uid not in (0, info.st_uid) and not info.st_mode & 0o004:
            notes.append(f"the user {user} may not read the config {path}.{run}")
    for task in tasks:
        for entry in task.entries:
            folder = entry.path if entry.kind == "dir" else os.path.dirname(entry.path)
            if not os.path.isdir(folder):
                notes.append(f"the service starts only once there is the folder {folder}")
    return service, notes


def _of_program(name: str, word: str, run_as: str | None, writable: Sequence[str]) -> tuple[Service, list[str]]:
    """The service of a MODULE:CLASS and notes about it. The module is not imported: its source is searched for the class."""
    folder = os.getcwd()
    if effective_user.now() != 0:
        if run_as is not None:
            raise CommandError(_ONLY_ROOT, FAILED)
        program_runner.check_source(word, folder)
        return _of_user(name, word, ()), []
    owner = of_option(run_as) or _owner(folder)
    service = _of_system(name, word, (), owner, [folder, *writable])
    if owner.uid == 0:
        program_runner.check_source(word, folder)
    else:
        Owner(owner.uid, service.registry).ask(lambda: _check_source(word, folder))
    return service, [f"it may write {' and '.join([folder, *writable])} alone: name others that it watches with --may-write"]


def _check_source(word: str, folder: str) -> None:
    try:
        program_runner.check_source(word, folder)
    except ConfigError as exc:
        raise CommandError(str(exc), USAGE) from exc


def _of_user(name: str, what: str, names: tuple[str, ...]) -> Service:
    return Service(name, what, names, "", os.path.expanduser("~"), registry.folder(), _program())


def _of_system(name: str, what: str, names: tuple[str, ...], owner: Identity, folders: Sequence[str]) -> Service:
    if owner.uid == 0:
        _check_for_root(folders, _program()[0])
    homeless = not os.environ.get(registry.VARIABLE) and owner.uid != 0 and not _has_home(owner)
    records = (
        os.path.join(unit_files.SYSTEM_STATE, name, "tasks")
        if homeless
        else (os.environ.get(registry.VARIABLE) or os.path.join(owner.home, ".local/state/pysubtask/tasks"))
    )
    group = str(owner.gid) if owner.pair or not owner.name else ""
    return Service(name, what, names, owner.name or str(owner.uid), owner.home, records, _program(), group, homeless)


def _has_home(owner: Identity) -> bool:
    try:
        return os.stat(owner.home).st_uid == owner.uid
    except OSError:
        return False


def _program() -> tuple[str, ...]:
    return (interpreter(here()), "-P", "-m", "pysubtask")


def _owner(folder: str) -> Identity:
    """The owner of a folder; where it does not exist, that of the nearest folder above it."""
    found = os.stat(existing(folder))
    try:
        return identity(str(found.st_uid))
    except ConfigError:
        return identity(f"{found.st_uid}:{found.st_gid}")


def _folders(tasks: Sequence[TaskConfig]) -> list[str]:
    return [entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for task in tasks for entry in task.entries]


def _check_for_root(folders: Sequence[str], program: str) -> None:
    """CommandError where another user could change what a service with root's rights does: its folders or its program."""
    for folder in folders:
        there = existing(folder)
        doubt = trust.doubt_about(there)
        if doubt is not None:
            below = "" if doubt.folder == os.path.realpath(there) else f", which is above {there},"
            raise CommandError(
                f"A service of root's does not watch {folder}: {doubt.folder}{below} {doubt.problem}. Name the user "
                "whose rights it is to have (--run-as USER, or RunAs in the config), such as one that was made "
                "for it.",
                FAILED,
            )
    found = named_files.doubt_about(program)
    if found is not None:
        raise CommandError(
            f"A service of root's is not started with {program}: {found.problem}. Install pysubtask where only root "
            "writes, as in a virtual environment below /opt, or name a user with --run-as.",
            FAILED,
        )
