"""The command line of the system's ssh: pure, from settings to argv. Never a secret in it.

Options are those of ssh_config(5). What stands here wins over the user's configuration files, so only
what the transport depends on stands here; keys, agent, jump hosts and aliases stay the user's.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9_.:\[][A-Za-z0-9_.:%\[\]-]*\Z")
_USER_BAD = re.compile(r"[\x00-\x20\x7f'`\";&<>|(){}$%]|\A-|\\\Z|\A\Z")  # what ssh itself refuses, and what it would expand
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?\Z")

KEY_SHOWN = "pysubtask: the key shown is"
# Run by ssh with: the pinned fingerprint, and of each key the server shows %f %H %t %K (all NONE when ssh only
# asks which kinds are known). What it prints is a known_hosts line. No quote and no percent sign of its own.
_PINNED = f'if [ "$1" = "$2" ]; then echo "$3 $4 $5"; elif [ "$2" != NONE ]; then echo "{KEY_SHOWN} $4 $2" >&2; fi'


class Login(NamedTuple):
    """Where to, as whom, and how the server is known; checked, so that no value can become an option."""

    host: str
    port: int | None
    user: str
    key_file: str | None
    host_key: str | None
    accept_new: bool
    known_hosts: str | None
    config_file: str | None
    connect_secs: float
    alive_secs: int
    alive_count: int
    has_password: bool
    without: tuple[str, ...] = ()
    """Kinds of host keys that the server shall not show: it showed them, and the pinned one is another."""


def login_of(settings: Mapping[str, Any]) -> Login:
    """The checked login settings. ConfigError names what cannot be used."""
    host = str(settings.get("Host") or "")
    if not host:
        raise ConfigError("ftp.Host", "no server is named", "Set it to the server's name or address.")
    if not _HOST.match(host):
        raise ConfigError("ftp.Host", f"{host!r} is no host name", "Use letters, digits, dots and dashes, or an address.")
    user = str(settings.get("User") or "")
    if user and _USER_BAD.search(user):
        raise ConfigError("ftp.User", f"{user!r} has a character that ssh does not take in a login name", "Use another login name.")
    host_key = settings.get("HostKey")
    if host_key is not None and not _FINGERPRINT.match(str(host_key)):
        raise ConfigError("ftp.HostKey", f"{host_key!r} is no fingerprint",
                          "It looks like SHA256:... (43 characters); 'ssh-keygen -lf' of the server's key file shows it.")
    port = int(settings.get("HostPort", -1))
    return Login(
        host=host.strip("[]"),
        port=None if port < 0 else port,
        user=user,
        key_file=_file("KeyFile", settings.get("KeyFile")),
        host_key=str(host_key).rstrip("=") if host_key is not None else None,
        accept_new=settings.get("HostKeyPolicy", "strict") == "accept-new",
        known_hosts=_file("KnownHostsFile", settings.get("KnownHostsFile")),
        config_file=_file("SSHConfigFile", settings.get("SSHConfigFile"), also="none"),
        connect_secs=float(settings.get("ConnectTimeoutSecs", 20)),
        alive_secs=int(settings.get("KeepAliveSecs", 15)),
        alive_count=int(settings.get("KeepAliveCount", 3)),
        has_password=bool(settings.get("Password")),
    )


def _file(key: str, value: Any, also: str | None = None) -> str | None:
    """A file's path, absolute: '~' is the user's home. ConfigError for one that ssh would read as something else."""
    if value is None or value == "":
        return None
    if also is not None and str(value).lower() == also:
        return also
    path = os.path.abspath(os.path.expanduser(str(value)))
    if '"' in path or "${" in path or "\\" in path or any(ord(char) < 32 for char in path):
        raise ConfigError(f"ftp.{key}", f"{path!r} has a character that ssh does not take in a path", "Use another path.")
    return path


def _quoted(path: str) -> str:
    """A path as ssh_config wants it: percent signs are tokens, spaces end a word."""
    return '"' + path.replace("%", "%%") + '"'


def ssh_argv(program: str, login: Login) -> list[str]:
    """``ssh ... -s -- host sftp``."""
    options = {
        "ControlMaster": "no",
        "ControlPath": "none",
        "RemoteCommand": "none",
        "PermitLocalCommand": "no",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "Tunnel": "no",
        "EscapeChar": "none",
        "LogLevel": "INFO",  # the reasons for a failure are read from stderr
        "ConnectTimeout": str(max(1, math.ceil(login.connect_secs))),
        "ServerAliveInterval": str(login.alive_secs),
        "ServerAliveCountMax": str(login.alive_count),
        "NoHostAuthenticationForLocalhost": "no",
        "StrictHostKeyChecking": "accept-new" if login.accept_new else "yes",
    }
    if login.host_key is not None:
        options |= {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": "/dev/null",
            "GlobalKnownHostsFile": "/dev/null",
            "VerifyHostKeyDNS": "no",
            "UpdateHostKeys": "no",
            "KnownHostsCommand": f"/bin/sh -c '{_PINNED}' - {login.host_key} %f %H %t %K",
        }
        if login.without:
            options["HostKeyAlgorithms"] = "-" + ",".join("*rsa*" if "rsa" in kind else f"{kind}*" for kind in login.without)
    elif login.known_hosts is not None:
        options |= {"UserKnownHostsFile": _quoted(login.known_hosts), "GlobalKnownHostsFile": "/dev/null", "UpdateHostKeys": "no"}
    if login.key_file is not None:
        options["IdentitiesOnly"] = "yes"
    if login.has_password:
        methods = "password,keyboard-interactive"
        options |= {
            "BatchMode": "no",
            "NumberOfPasswordPrompts": "1",
            "PubkeyAuthentication": "yes" if login.key_file is not None else "no",
            "PreferredAuthentications": f"publickey,{methods}" if login.key_file is not None else methods,
        }
    else:
        options["BatchMode"] = "yes"
    argv = [program, "-T", "-x", "-a"]
    if login.config_file is not None:
        argv += ["-F", login.config_file]
    for key, value in options.items():
        argv += ["-o", f"{key}={value}"]
    if login.key_file is not None:
        argv += ["-i", login.key_file.replace("%", "%%")]
    if login.user:
        argv += ["-l", login.user]
    if login.port is not None:  # else ssh's configuration may name one for this host, or it is 22
        argv += ["-p", str(login.port)]
    return [*argv, "-s", "--", login.host, "sftp"]


def show_argv(argv: list[str]) -> list[str]:
    """The same command line, asking ssh only to show what it makes of it (``ssh -G``)."""
    at = argv.index("-s")
    return [*argv[:at], "-G", *argv[at + 1 : -1]]
