"""``pysubtask service``: print or install a systemd unit for a config."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

import click

from ...common import advice, as_user, named_files, registry, trust
from ...common.errors import ConfigError
from ...common.place import existing
from ...common.program import for_others, here, interpreter
from ...common.run_as import Identity, identity, not_root
from ..config_file import Config, load
from ..config_task import TaskConfig
from ..exits import FAILED, OK, CommandError
from ..exposure import exposure
from ..output import say
from ..run_as import of_option, of_tasks
from ..unit import MADE_BY, Service, credentials, quoted, unit

SYSTEM_UNITS = "/etc/systemd/system"
_RELOAD_SECS = 60


@click.command(short_help="Print or install a systemd unit for a config.")
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
@click.option("--install", is_flag=True, help="Write it to where systemd finds it, instead of printing it.")
@click.option("--name", default="pysubtask", show_default=True, metavar="NAME", help="What the service is called.")
@click.option("--run-as", metavar="USER", help="Whose rights it has, as a name or 'uid:gid' (only root can choose; default: "
              "RunAs in the config, or the first folder's owner).")  # fmt: skip
def command(config: str | None, names: tuple[str, ...], install: bool, name: str, run_as: str | None) -> int:
    """Print a systemd unit that runs CONFIG (found as by 'pysubtask run') with a watchdog, and that may write to the watched
    folders alone. Secrets that the config names files for are handed over by systemd (LoadCredential). Root gets a unit of
    the system, others one of their own manager.

    \b
    pysubtask service station.toml > pysubtask.service
    sudo pysubtask service --install    the config in /etc/pysubtask
    """
    if not hasattr(os, "geteuid"):
        raise CommandError("This system has no systemd. Start 'pysubtask run' by its own means.", FAILED)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise CommandError(f"{name!r} is no name of a service. Use letters, digits, '-' and '_'.", FAILED)
    found = load(config, os.environ)
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
        notes += _install(service, text)
    for note in notes:
        say([f"note: {note}"], error=True)
    return OK


def _service(
    name: str, place: str, names: tuple[str, ...], run_as: str | None, tasks: Sequence[TaskConfig], found: Config
) -> tuple[Service, list[str]]:
    notes = [f"the variable {one} counts here and now, not in the service: put it into the config" for one in sorted(os.environ)
             if re.fullmatch(r"PYSUBTASK_.+__.+__.+", one)]  # fmt: skip
    program = (interpreter(here()), "-P", "-m", "pysubtask")
    said = of_tasks(tasks, of_option(run_as))
    if os.geteuid() != 0:
        if run_as is not None:
            raise CommandError("Only root can make a service for another user. Run it with sudo, or leave --run-as out.", FAILED)
        if said is not None and not said.is_this_process:
            raise not_root(said)
        return Service(name, place, names, "", os.path.expanduser("~"), registry.folder(), program), notes
    owner = said or _owner(tasks)
    if owner.uid == 0:
        _check_for_root(tasks, program[0])
    user = owner.name or str(owner.uid)
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
    tasks_of = os.environ.get(registry.VARIABLE) or os.path.join(owner.home, ".local/state/pysubtask/tasks")
    group = str(owner.gid) if owner.pair or not owner.name else ""
    return Service(name, place, names, user, owner.home, tasks_of, program, group), notes


def _owner(tasks: Sequence[TaskConfig]) -> Identity:
    """Whose the first folder is, or what there is above it."""
    found = os.stat(existing(_folders(tasks)[0]))
    try:
        return identity(str(found.st_uid))
    except ConfigError:
        return identity(f"{found.st_uid}:{found.st_gid}")


def _folders(tasks: Sequence[TaskConfig]) -> list[str]:
    return [entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for task in tasks for entry in task.entries]


def _check_for_root(tasks: Sequence[TaskConfig], program: str) -> None:
    """CommandError where a service of root's would do what somebody else likes."""
    for folder in _folders(tasks):
        there = existing(folder)
        doubt = trust.doubt_about(there)
        if doubt is not None:
            below = "" if doubt.folder == os.path.realpath(there) else f", which is above {there},"
            raise CommandError(f"A service of root's does not watch {folder}: {doubt.folder}{below} {doubt.problem}. Name the user "
                               "whose rights it is to have (--run-as USER, or RunAs in the config), such as one that was made "
                               "for it.", FAILED)  # fmt: skip
    found = named_files.doubt_about(program)
    if found is not None:
        raise CommandError(f"A service of root's is not started with {program}: {found.problem}. Install pysubtask where only root "
                           "writes, as in a virtual environment below /opt, or name a user with --run-as.", FAILED)  # fmt: skip


def _install(service: Service, text: str) -> list[str]:
    system = bool(service.user)
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    folder = SYSTEM_UNITS if system else os.path.join(base, "systemd", "user")
    path = os.path.join(folder, f"{service.name}.service")
    try:
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                if not file.readline().startswith(MADE_BY):
                    raise CommandError(f"{path} was made by somebody else, and stays. Give another --name.", FAILED)
        os.makedirs(folder, exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path + ".part", 0o644)
        os.replace(path + ".part", path)
    except OSError as exc:
        raise CommandError(f"{path} cannot be written ({exc.strerror}). Print it instead, without --install.", FAILED) from exc
    say([f"Written: {path}"])
    notes = _make_registry(service) if system else []
    words = ["systemctl", *([] if system else ["--user"])]
    try:
        done = subprocess.run([*words, "daemon-reload"], capture_output=True, text=True, timeout=_RELOAD_SECS, check=False,
                              env=for_others())
        problem = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as exc:
        problem = str(exc)
    if problem:
        notes.append(f"systemd does not know of it yet ({problem}). Run: {' '.join(words)} daemon-reload")
    say([f"Start it, now and at every boot:  {' '.join(words)} enable --now {quoted(service.name)}"])
    if not system:
        say([f"It ends when you log out, unless you run:  {advice.STAY_AFTER_LOGOUT}"])
    return notes


def _make_registry(service: Service) -> list[str]:
    """The folder where the user's commands find the tasks: the service itself may not make it. In the user's home it is made with
    his rights alone."""
    import pwd

    owner = int(service.user) if service.user.isdecimal() else pwd.getpwnam(service.user).pw_uid

    def make() -> None:
        # Every folder that is missing is for this user alone; makedirs would leave those above to the umask.
        os.umask(0o077)
        os.makedirs(service.registry, exist_ok=True)

    try:
        as_user.run(owner, make)
    except OSError as exc:
        return [f"commands without a config will not find these tasks: {service.registry} cannot be made as {service.user} "
                f"({exc.strerror})"]  # fmt: skip
    return []
