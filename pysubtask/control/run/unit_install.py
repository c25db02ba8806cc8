"""Writes a unit to where systemd finds it, and removes it again. Units that pysubtask did not write are left alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from ...common import advice, as_user, effective_user
from ...common.program import for_others
from ..exit_status import FAILED, CommandError
from ..terminal import say
from . import unit_files
from .systemd_unit import Service, quoted

_SYSTEMCTL_SECS = 120.0
"""Seconds for one call of systemctl: a stop waits until the children have sent what is due."""


def install(service: Service, text: str) -> list[str]:
    """Write the unit and have systemd read it; notes for the user. CommandError where the unit cannot be written, or where a unit
    of this name exists that pysubtask did not write."""
    system = bool(service.user)
    folder = _folder(system)
    path = _path(folder, service.name)
    try:
        if os.path.lexists(path) and unit_files.text_of(path) is None:
            raise CommandError(f"{path} was made by somebody else, and stays. Give another --name.", FAILED)
        os.makedirs(folder, exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path + ".part", 0o644)
        os.replace(path + ".part", path)
    except OSError as exc:
        raise CommandError(f"{path} cannot be written ({exc.strerror}). Print it instead, without --install.", FAILED) from exc
    say([f"Written: {path}"])
    notes = make_registry(service) if system and not service.is_homeless else []
    problem = _systemctl(system, "daemon-reload")
    if problem:
        notes.append(f"systemd does not know of it yet ({problem}). Run: {' '.join(_words(system))} daemon-reload")
    say([f"Start it, now and at every boot:  {' '.join(_words(system))} enable --now {quoted(service.name)}"])
    if not system:
        say([f"It ends when you log out, unless you run:  {advice.STAY_AFTER_LOGOUT}"])
    return notes


def make_registry(service: Service) -> list[str]:
    """Create the folder in which the user's commands find the tasks, since the sandbox of the service does not allow it there. This
    is done with the user's rights, as root must not write into a folder that the user controls. A note where that fails."""
    if sys.platform == "win32":
        raise NotImplementedError
    import pwd

    owner = int(service.user) if service.user.isdecimal() else pwd.getpwnam(service.user).pw_uid

    def make() -> None:
        # makedirs applies a mode to the last folder only; the umask keeps those above private as well.
        os.umask(0o077)
        os.makedirs(service.registry, exist_ok=True)

    try:
        as_user.run(owner, make)
    except OSError as exc:
        return [
            f"commands without a config will not find these tasks: {service.registry} cannot be made as {service.user} "
            f"({exc.strerror})"
        ]
    return []


def uninstall(name: str) -> None:
    """Stop and disable a service, remove its unit and the drop-ins that pysubtask wrote, and print what stays. The service is
    stopped first: while it runs, nothing is removed. CommandError where there is no such unit, where pysubtask did not write it,
    where the service cannot be stopped, and where a file cannot be removed."""
    system = effective_user.now() == 0
    folder = _folder(system)
    path = _path(folder, name)
    unit = unit_files.read(path)
    if unit is None:
        if os.path.lexists(path):
            raise CommandError(f"{path} was not made by 'pysubtask service --install', and stays.", FAILED)
        others = ", ".join(one.name for one in unit_files.installed(folder))
        raise CommandError(f"There is no unit {path}.{f' Name one of these with --name: {others}.' if others else ''}", FAILED)
    problem = _systemctl(system, "stop", f"{name}.service")
    if problem and not _systemctl(system, "is-active", "--quiet", f"{name}.service"):
        raise CommandError(f"The service {name} cannot be stopped ({problem}), so nothing was removed.", FAILED)
    if not problem:
        say([f"Stopped: {name}"])
    if _systemctl(system, "disable", f"{name}.service"):
        _remove_links(folder, path)
    ours, others_too = unit_files.drop_ins(path)
    try:
        unit_files.remove([*ours, path])
    except OSError as exc:
        raise CommandError(f"{exc.filename} cannot be removed ({exc.strerror}).", FAILED) from exc
    if ours and not others_too:
        with contextlib.suppress(OSError):  # a folder that is not empty holds files of others, and stays
            os.rmdir(f"{path}.d")
    _systemctl(system, "daemon-reload")
    say([f"Removed: {one}" for one in (path, *ours)])
    say(_what_stays(unit, others_too, system))


def _what_stays(unit: unit_files.Unit, drop_ins: list[str], system: bool) -> list[str]:
    lines = [f"Stays: {path}, which somebody else made" for path in drop_ins]
    lines += [f"Stays: what it ran: {unit.config}"] if unit.config else []
    lines += [
        f"Stays: {path}, with the data and what pysubtask keeps in it (.pysubtask, copies of files that wait, *.notify)"
        for path in unit.folders
    ]
    base = unit_files.SYSTEM_STATE if system else os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    state = os.path.join(base, unit.state)
    if unit.state and os.path.lexists(state):
        lines.append(f"Stays: {state}, with state and records of tasks that are not kept elsewhere")
    return [*lines, "'pysubtask purge' removes what pysubtask keeps of a task, and never a data file."]


def _remove_links(folder: str, path: str) -> None:
    """Remove the links that 'systemctl enable' has created, where systemctl itself is missing or fails."""
    for wants in ("multi-user.target.wants", "default.target.wants"):
        link = os.path.join(folder, wants, os.path.basename(path))
        with contextlib.suppress(OSError):
            if os.path.islink(link) and os.path.join(folder, wants, os.readlink(link)) == path:
                os.unlink(link)


def _folder(system: bool) -> str:
    return unit_files.SYSTEM_UNITS if system else unit_files.user_units()


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.service")


def _words(system: bool) -> list[str]:
    return ["systemctl", *([] if system else ["--user"])]


def _systemctl(system: bool, *words: str) -> str:
    """Run systemctl; the reason where it fails, on one line, else ''."""
    try:
        done = subprocess.run(
            [*_words(system), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SYSTEMCTL_SECS,
            check=False,
            env=for_others(),
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return ("; ".join(done.stderr.strip().splitlines()) or f"exit status {done.returncode}") if done.returncode else ""
