"""The files that a login needs and the config names: keys, known_hosts, authorities. The checks only read files and ask no
server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from ...common import advice
from ...common.errors import ConfigError
from ...common.named_files import doubt_about
from ...master.child_config import Plan
from ...transports.shared import key_file as keys
from ...transports.shared.key_file import ask
from ...transports.shared.ssh_login import login_of, show_words
from .finding import WARN, Finding, fail, ok, warn
from .watch_paths import near_names

_HEAD = 200  # bytes: the first lines of a key file
_MOST_FILES = 200  # KeyFile may lie in a folder with very many files
_KEY, _CHECK = "KeyFile", "key file"


def of_plan(plan: Plan) -> list[Finding]:
    """The findings about the files that a destination's settings name."""
    return check(plan.settings) if plan.extension == "ftp" and plan.settings["UseSFTP"] else check_ftp(plan.settings)


def check(settings: Mapping[str, Any]) -> list[Finding]:
    """The findings about each file that the settings name for an SFTP login."""
    by_ssh = not settings.get("SFTPLibrary") and shutil.which(str(settings.get("SSHProgram") or "ssh")) is not None
    found = key_file(settings.get(_KEY), by_ssh=by_ssh, other_login=bool(settings.get("Password")))
    if any(one.cause in (keys.LOCKED, keys.PUBLIC) for one in found) and (agent := _agent_of(settings)) is not None:
        found = key_file(settings.get(_KEY), by_ssh=by_ssh, agent=agent, other_login=bool(settings.get("Password")))
    return [*found, *_ssh_config(settings), *_known_hosts(settings)]


def check_ftp(settings: Mapping[str, Any]) -> list[Finding]:
    """The findings for FTP and Dropbox: their only file is the trusted authority (CAFile)."""
    return _authority(settings.get("CAFile"))


def key_file(given: Any, *, by_ssh: bool = True, agent: str | None = None, other_login: bool = False) -> list[Finding]:
    """Whether a private key can be used; the finding is about its first defect. ``by_ssh`` and ``agent``: see
    ``transports.shared.key_file.check``; ``other_login``: whether the login has another means (a password), so that a bad key
    is only a warning."""
    if not given:
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    found = keys.check(path, by_ssh=by_ssh, agent=agent) or keys.certificate_trouble(path)
    if found is None:
        doubt = doubt_about(path)
        if doubt is not None:
            return [warn(_CHECK, "key-file-of-others", doubt.problem, words=doubt.remedy)]
        return [ok(_CHECK, path)]
    finding = _finding(path, found)
    return [finding._replace(state=WARN) if found.works or (other_login and by_ssh) else finding]


def _finding(path: str, found: keys.KeyFault) -> Finding:
    """The finding for a key's defect, with the keys that may have been meant: others in its folder, and those of ssh."""
    if found.cause == keys.MISSING and not os.path.isdir(path):
        return _missing(path)
    others = [found.key] if found.key else []
    if found.cause == keys.MISSING:
        others = keys_in(path)[:1]
    elif found.cause in (keys.WRONG, keys.PUBLIC) and not others:
        others = near_keys(path)[:1]
    return fail(_CHECK, found.cause, found.text, *[(_KEY, key) for key in others], commands=found.commands, words=found.words)


def _missing(path: str) -> Finding:
    """A missing key file. A new key is offered only where no existing key can have been meant."""
    folder = os.path.dirname(path)
    near = near_keys(path)
    if near:
        return fail(
            _CHECK,
            "key-file-missing",
            f"there is no file {path}; did you mean {near[0]}?",
            *[(_KEY, key) for key in near[:3]],
            words="Name the file of your private key.",
        )
    if not os.path.isdir(folder):
        return fail(
            _CHECK,
            "key-file-missing",
            f"there is no file {path}, nor the folder {folder}",
            *_of_ssh(path),
            words="Name the file of your private key.",
        )
    return fail(
        _CHECK,
        "key-file-missing",
        f"there is no file {path}",
        *_of_ssh(path),
        commands=[advice.new_key(path)],
        words="Name the file of your private key, or make a new key and have its .pub put on the server.",
    )


def _of_ssh(path: str) -> list[tuple[str, Any]]:
    """The first existing key that ssh would try by default."""
    names = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
    there = [name for name in names if os.path.exists(os.path.expanduser(name))]
    return [(_KEY, name) for name in there if os.path.basename(name) != os.path.basename(path)][:1]


def near_keys(path: str) -> list[str]:
    """The private keys in the folder of ``path``, which is no private key; the likeliest first."""
    folder, name = os.path.split(path)
    keys = [os.path.basename(key) for key in keys_in(folder)]
    stem = name.removesuffix(".pub").removesuffix(".pem").removesuffix(".key")
    return [os.path.join(folder, key) for key in dict.fromkeys([*near_names(stem, keys), *keys]) if key != name]


def keys_in(folder: str) -> list[str]:
    """The paths of the private keys in a folder that this user can read; of ``_MOST_FILES`` files at most."""
    found = []
    try:
        items = sorted(os.scandir(folder), key=lambda item: item.name)[:_MOST_FILES]
    except OSError:
        return []
    for item in items:
        try:
            if item.is_file():
                with open(item.path, "rb") as file:
                    if _is_private(file.read(_HEAD)):
                        found.append(item.path)
        except OSError:
            continue  # an unreadable file is no usable key
    return found


def _is_private(head: bytes) -> bool:
    return b"-----BEGIN" in head and b"PRIVATE KEY-----" in head


def agent_has_keys() -> bool:
    """Whether ssh-agent has at least one key."""
    result = ask("ssh-add", "-l") if os.environ.get("SSH_AUTH_SOCK") else None
    return result is not None and result.returncode == 0


def _agent_of(settings: Mapping[str, Any]) -> str | None:
    """The socket of the agent that ssh's configuration names for this server; None where the agent is that of the environment,
    '' for no agent."""
    program = shutil.which(str(settings.get("SSHProgram") or "ssh"))
    if program is None or settings.get("SFTPLibrary"):
        return None
    try:
        result = ask(*show_words(program, login_of(settings)))
    except ConfigError:
        return None
    lines = result.stdout.decode("utf-8", "replace").splitlines() if result is not None and not result.returncode else []
    named = next((line.partition(" ")[2] for line in lines if line.startswith("identityagent ")), "")
    if named in ("", "SSH_AUTH_SOCK"):
        return None
    return "" if named == "none" else os.path.expanduser(os.environ.get(named[1:], "") if named.startswith("$") else named)


def _known_hosts(settings: Mapping[str, Any]) -> list[Finding]:
    """The finding about a known_hosts file that the config names. The login shows whether ssh's own file is missing."""
    given = settings.get("KnownHostsFile")
    if not given or settings.get("HostKey"):
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    if os.path.exists(path):
        return []
    if settings.get("HostKeyPolicy") == "accept-new":
        return [
            warn(
                "known_hosts",
                "known-hosts-missing",
                f"there is no {path} yet: the first server that answers is taken for the right one and written into it",
            )
        ]
    return [
        warn(
            "known_hosts",
            "known-hosts-missing",
            f"there is no file {path}, so no server is known",
            ("KnownHostsFile", None),
            words="Take ssh's own file, or pin the server's key (HostKey).",
        )
    ]


def _ssh_config(settings: Mapping[str, Any]) -> list[Finding]:
    given = settings.get("SSHConfigFile")
    if not given or str(given).lower() == "none" or settings.get("SFTPLibrary"):
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    if os.path.isfile(path):
        return []
    return [
        fail(
            "ssh config",
            "ssh-config-missing",
            f"there is no file {path}",
            ("SSHConfigFile", None),
            ("SSHConfigFile", "none"),
            words="Take the user's own ssh configuration (first line), or none at all (second).",
        )
    ]


def _authority(given: Any) -> list[Finding]:
    if not given:
        return []
    import ssl

    path = os.path.abspath(os.path.expanduser(str(given)))
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        return [fail("CA file", "ca-file-missing", f"there is no file {path}", ("CAFile", None))]
    except ssl.SSLError:
        return [
            fail(
                "CA file",
                "ca-file-wrong",
                f"{path} holds no certificate in PEM",
                words="It begins with -----BEGIN CERTIFICATE-----; ask who runs the server for that form.",
            )
        ]
    except OSError as exc:
        return [fail("CA file", "ca-file-missing", f"{path} cannot be read: {exc.strerror}", commands=[advice.list_path(path)])]
    return [ok("CA file", path)]
