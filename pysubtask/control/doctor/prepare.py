"""What an SFTP login needs on this machine: a program that speaks ssh, its configuration, the key file, known_hosts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.program import for_others
from ...transports.ssh_login import Login, login_of
from .finding import Finding, fail, ok, shell_word, warn

_SHOW_SECS = 5.0


class Endpoint(NamedTuple):
    """Where the connection really goes: ssh's configuration may say another host than ours. ``direct``: no jump host and
    no program in between, so that it can be looked at from here. ``known_hosts``: the files ssh looks in."""

    host: str
    port: int
    user: str = ""
    direct: bool = True
    known_hosts: tuple[str, ...] = ()


def look(settings: Mapping[str, Any]) -> list[Finding]:
    """The programs and files of an SFTP login."""
    return [*_program(settings), *_key_file(settings), *_known_hosts(settings)]


def _program(settings: Mapping[str, Any]) -> list[Finding]:
    if settings.get("SFTPLibrary"):
        name = str(settings["SFTPLibrary"])
        if importlib.util.find_spec(name) is None:
            return [fail("ssh program", "library-missing", f"{name} is not installed", ("SFTPLibrary", None),
                         commands=[f"pip install 'pysubtask[{name}]'"])]
        return [ok("ssh program", f"{name} (SFTPLibrary) speaks SFTP")]
    wanted = str(settings.get("SSHProgram") or "ssh")
    found = shutil.which(wanted)
    if found is not None:
        return [ok("ssh program", found)]
    if importlib.util.find_spec("asyncssh") is not None:
        text = f"there is no program {wanted!r}: asyncssh is used instead, which reads no configuration of ssh"
        return [ok("ssh program", text)]
    setting = [("SSHProgram", "ssh")] if wanted != "ssh" and shutil.which("ssh") else []
    return [fail("ssh program", "ssh-missing", f"there is no program {wanted!r}, and no asyncssh either", *setting,
                 commands=["sudo apt-get install openssh-client", "pip install 'pysubtask[asyncssh]'"],
                 words="One of the two is enough.")]


def _key_file(settings: Mapping[str, Any]) -> list[Finding]:
    given = settings.get("KeyFile")
    if not given:
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    shown = shell_word(path)
    try:
        found = os.stat(path)
        with open(path, "rb") as file:
            head = file.read(200)
    except FileNotFoundError:
        near = [name for name in _own_keys() if os.path.basename(name) != os.path.basename(path)]
        return [fail("key file", "key-file-missing", f"there is no file {path}", *[("KeyFile", name) for name in near[:1]],
                     commands=[f"ssh-keygen -t ed25519 -N '' -f {shown}"],
                     words="Name the file of your private key, or make a new key and have its .pub put on the server.")]
    except OSError as exc:
        return [fail("key file", "key-file-unreadable", f"{path} cannot be read: {exc.strerror}",
                     commands=[f"sudo chown $(id -un) {shown}", f"chmod 600 {shown}"])]
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        return [fail("key file", "key-file-open", f"others may read {path}, so ssh does not use "
                                                  f"it", commands=[f"chmod 600 {shown}"])]
    if head.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        private = path.removesuffix(".pub")
        return [fail("key file", "key-file-public", f"{path} is the public half", ("KeyFile", private))]
    if _has_passphrase(path):
        return [fail("key file", "key-has-passphrase", f"{path} is locked by a passphrase, which nobody can type in for a child",
                     ("KeyFile", None), commands=[f"ssh-keygen -p -N '' -f {shown}"],
                     words="Take the passphrase off, or leave the key to ssh-agent and KeyFile unset.")]
    return [ok("key file", path)]


def _own_keys() -> list[str]:
    """Private keys that ssh itself would try."""
    names = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
    return [name for name in names if os.path.exists(os.path.expanduser(name))]


def _has_passphrase(path: str) -> bool:
    program = shutil.which("ssh-keygen")
    if program is None:
        return False
    try:
        said = subprocess.run([program, "-y", "-P", "", "-f", path], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=_SHOW_SECS, check=False, env={**for_others(), "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode != 0 and b"passphrase" in said.stderr


def _known_hosts(settings: Mapping[str, Any]) -> list[Finding]:
    """Only a file that the config names: that ssh's own is missing shows in the login."""
    given = settings.get("KnownHostsFile")
    if not given or settings.get("HostKey"):
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    if os.path.exists(path):
        return []
    if settings.get("HostKeyPolicy") == "accept-new":
        return [warn("known_hosts", "known-hosts-missing", f"there is no {path} yet: the first server that answers is taken for "
                                                           f"the "
                     "right one and written into it")]
    return [warn("known_hosts", "known-hosts-missing", f"there is no file {path}, so no server is known",
                 ("KnownHostsFile", None), words="Take ssh's own file, or pin the key that the login tells below.")]


def endpoint(settings: Mapping[str, Any]) -> Endpoint:
    """Where the login goes, as ``ssh -G`` tells it; what the settings say where there is no ssh. Blocks for a moment.
    ConfigError for what cannot be used."""
    login = login_of(settings)
    plain = Endpoint(login.host, login.port or 22, login.user, True, (login.known_hosts,) if login.known_hosts else ())
    program = shutil.which(str(settings.get("SSHProgram") or "ssh"))
    if program is None or settings.get("SFTPLibrary"):
        return plain
    try:
        said = subprocess.run(_show(program, login), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SHOW_SECS, check=False,
                              env=for_others())
    except (OSError, subprocess.TimeoutExpired):
        return plain
    if said.returncode:
        return plain  # the login will tell what is wrong with its configuration
    words = dict(line.partition(" ")[::2] for line in said.stdout.decode("utf-8", "replace").splitlines())
    between = any(words.get(key, "none") != "none" for key in ("proxyjump", "proxycommand"))
    files = (login.known_hosts,) if login.known_hosts else tuple(words.get("userknownhostsfile", "").split())
    port = words.get("port", "")
    return Endpoint(words.get("hostname") or login.host, int(port) if port.isdigit() else plain.port,
                    words.get("user") or login.user, not between, files)


def _show(program: str, login: Login) -> list[str]:
    argv = [program, "-G"]
    if login.config_file is not None:
        argv += ["-F", login.config_file]
    if login.user:
        argv += ["-l", login.user]
    if login.port is not None:
        argv += ["-p", str(login.port)]
    return [*argv, "--", login.host]
