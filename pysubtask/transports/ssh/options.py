"""The command line of the system's ssh: pure, from settings to argv. Never a secret in it.

Options are those of ssh_config(5). An option of the command line wins over the user's configuration files, so only
those that the transport depends on are set; keys, agent, jump hosts and aliases stay the user's choice.
"""

from __future__ import annotations

import math

from ..shared.ssh_login import Login

NOT_PINNED = "pysubtask: the key shown is"
# Run by ssh with: the pinned fingerprint, and of each key the server shows %f %H %t %K (all NONE when ssh only
# asks which kinds are known). What it prints is a known_hosts line. No quote and no percent sign of its own.
_PINNED = f'if [ "$1" = "$2" ]; then echo "$3 $4 $5"; elif [ "$2" != NONE ]; then echo "{NOT_PINNED} $4 $2" >&2; fi'


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
        "LogLevel": "DEBUG1" if login.loud else "VERBOSE",  # the reasons for a failure are read from stderr
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


def shell_argv(argv: list[str]) -> list[str]:
    """The same command line for a shell, not SFTP."""
    at = argv.index("-s")
    return [*argv[:at], *argv[at + 1 : -1], "sh"]


def show_argv(argv: list[str]) -> list[str]:
    """The same command line, asking ssh only to show what it makes of it (``ssh -G``)."""
    at = argv.index("-s")
    return [*argv[:at], "-G", *argv[at + 1 : -1]]
