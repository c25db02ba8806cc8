"""The needs of an SFTP login on this machine: a program that speaks ssh, its configuration, the key file, known_hosts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...common import account, advice
from ...common.program import for_others
from ...transports.shared.ssh_login import login_of, show_words
from . import login_files
from .finding import Finding, fail, ok

_SHOW_SECS = 5.0  # for ssh -G, which a Match exec in the configuration can delay
_FIRST_KEY = "id_ed25519"


class Endpoint(NamedTuple):
    """Where the connection really goes: ssh's configuration may name another ``host``, ``port`` and ``user`` than the settings.
    ``direct``: no jump host and no program is in between, so that host and port can be probed from here. ``known_hosts``:
    the files in which ssh searches for the host key. ``missing_key``: the file for a first key, where ssh has none at all;
    '' where it has one, or that is not known."""

    host: str
    port: int
    user: str = ""
    direct: bool = True
    known_hosts: tuple[str, ...] = ()
    missing_key: str = ""


def check(settings: Mapping[str, Any]) -> list[Finding]:
    """The findings about the programs and files of an SFTP login."""
    return [*_program(settings), *login_files.check(settings)]


def _program(settings: Mapping[str, Any]) -> list[Finding]:
    if settings.get("SFTPLibrary"):
        name = str(settings["SFTPLibrary"])
        if importlib.util.find_spec(name) is None:
            return [
                fail(
                    "ssh program",
                    "library-missing",
                    f"{name} is not installed",
                    ("SFTPLibrary", None),
                    commands=[advice.install(name)],
                )
            ]
        return [ok("ssh program", f"{name} (SFTPLibrary) speaks SFTP")]
    requested = str(settings.get("SSHProgram") or "ssh")
    found = shutil.which(requested)
    if found is not None:
        return [_for_this_user(found)]
    if importlib.util.find_spec("asyncssh") is not None:
        text = f"there is no program {requested!r}: asyncssh is used instead, which reads no configuration of ssh"
        return [ok("ssh program", text)]
    setting = [("SSHProgram", "ssh")] if requested != "ssh" and shutil.which("ssh") else []
    return [
        fail(
            "ssh program",
            "ssh-missing",
            f"there is no program {requested!r}, and no asyncssh either",
            *setting,
            commands=[advice.install_ssh(), advice.install("asyncssh")],
            words="One of the two is enough.",
        )
    ]


def _for_this_user(program: str) -> Finding:
    """ssh reads the password database by uid, and refuses to run for a uid without an entry."""
    if account.has_entry():
        return ok("ssh program", program)
    problem = f"{program} does nothing for a user without an entry in /etc/passwd (uid {account.uid()})"
    if importlib.util.find_spec("asyncssh") is not None:
        return ok("ssh program", f"{problem}: asyncssh is used instead, which reads no configuration of ssh")
    return fail(
        "ssh program",
        "no-account",
        f"{problem}: 'No user exists for uid {account.uid()}'",
        commands=[advice.install("asyncssh")],
        words="asyncssh needs no entry. Or give the user one; in the recipe of a container:  "
        f"{advice.container_user(account.uid())}  (or run it as a user who has one).",
    )


def endpoint(settings: Mapping[str, Any]) -> Endpoint:
    """The endpoint of the login, as ``ssh -G`` prints it; that of the settings where there is no ssh. Blocks for up to
    ``_SHOW_SECS``. Raises ConfigError for settings that cannot be used."""
    login = login_of(settings)
    plain = Endpoint(login.host, login.port or 22, login.user, True, (login.known_hosts,) if login.known_hosts else ())
    program = shutil.which(str(settings.get("SSHProgram") or "ssh"))
    if program is None or settings.get("SFTPLibrary"):
        return plain
    try:
        result = subprocess.run(
            show_words(program, login),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHOW_SECS,
            check=False,
            env=for_others(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return plain
    if result.returncode:
        return plain  # the login reports the error in ssh's configuration
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    words = dict(line.partition(" ")[::2] for line in lines)
    between = any(words.get(key, "none") != "none" for key in ("proxyjump", "proxycommand"))
    files = (login.known_hosts,) if login.known_hosts else tuple(words.get("userknownhostsfile", "").split())
    port = words.get("port", "")
    keys = [line.partition(" ")[2] for line in lines if line.startswith("identityfile ")]
    return Endpoint(
        words.get("hostname") or login.host,
        int(port) if port.isdigit() else plain.port,
        words.get("user") or login.user,
        not between,
        files,
        "" if settings.get("KeyFile") else _missing_key(keys),
    )


def _missing_key(names: Sequence[str]) -> str:
    """The key file to create, of those that ssh tries; '' where one of them exists, or an agent has a key."""
    if any(os.path.exists(os.path.expanduser(name)) for name in names) or login_files.agent_has_keys():
        return ""
    return next((name for name in names if os.path.basename(name) == _FIRST_KEY), f"~/.ssh/{_FIRST_KEY}" if not names else names[0])
