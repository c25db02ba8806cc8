"""The files that a login needs and the config names: keys, known_hosts, authorities. Looked at only; no server is asked."""

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
from .local import near_names

_HEAD = 200
_MOST_LOOKED_AT = 200
_KEY, _CHECK = "KeyFile", "key file"


def of_plan(plan: Plan) -> list[Finding]:
    """What is found about the files that a destination's settings name."""
    return look(plan.settings) if plan.extension == "ftp" and plan.settings["UseSFTP"] else look_for_ftp(plan.settings)


def look(settings: Mapping[str, Any]) -> list[Finding]:
    """What is found about each file that an SFTP login is told to use."""
    by_ssh = not settings.get("SFTPLibrary") and shutil.which(str(settings.get("SSHProgram") or "ssh")) is not None
    found = key_file(settings.get(_KEY), by_ssh=by_ssh, other_way=bool(settings.get("Password")))
    if any(one.cause in (keys.LOCKED, keys.PUBLIC) for one in found) and (agent := _agent_of(settings)) is not None:
        found = key_file(settings.get(_KEY), by_ssh=by_ssh, agent=agent, other_way=bool(settings.get("Password")))
    return [*found, *_ssh_config(settings), *_known_hosts(settings)]


def look_for_ftp(settings: Mapping[str, Any]) -> list[Finding]:
    """The same for FTP and Dropbox: the authority that is trusted."""
    return _authority(settings.get("CAFile"))


def key_file(given: Any, *, by_ssh: bool = True, agent: str | None = None, other_way: bool = False) -> list[Finding]:
    """Whether a private key can be used; the first thing that is wrong with it. ``by_ssh`` and ``agent``: see
    ``transports.key_file.check``; ``other_way``: there is another way to log in, so that it works without the key, too."""
    if not given:
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    found = keys.check(path, by_ssh=by_ssh, agent=agent) or keys.certificate_trouble(path)
    if found is None:
        doubt = doubt_about(path)
        if doubt is not None:
            return [warn(_CHECK, "key-file-of-others", doubt.problem, words=doubt.remedy)]
        return [ok(_CHECK, path)]
    made = _finding(path, found)
    return [made._replace(state=WARN) if found.works or (other_way and by_ssh) else made]


def _finding(path: str, found: keys.Trouble) -> Finding:
    """With what else could have been meant: other keys in its folder, and those of ssh."""
    if found.cause == keys.MISSING and not os.path.isdir(path):
        return _missing(path)
    others = [found.key] if found.key else []
    if found.cause == keys.MISSING:
        others = keys_in(path)[:1]
    elif found.cause in (keys.WRONG, keys.PUBLIC) and not others:
        others = near_keys(path)[:1]
    return fail(_CHECK, found.cause, found.text, *[(_KEY, key) for key in others], commands=found.commands, words=found.words)


def _missing(path: str) -> Finding:
    """A name that is mistyped is mended; a new key is offered only where there is none that could be meant."""
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
    """Keys that ssh itself would try."""
    names = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
    there = [name for name in names if os.path.exists(os.path.expanduser(name))]
    return [(_KEY, name) for name in there if os.path.basename(name) != os.path.basename(path)][:1]


def near_keys(path: str) -> list[str]:
    """Private keys in the folder of a file that is none, the likeliest first."""
    folder, name = os.path.split(path)
    keys = [os.path.basename(key) for key in keys_in(folder)]
    stem = name.removesuffix(".pub").removesuffix(".pem").removesuffix(".key")
    return [os.path.join(folder, key) for key in dict.fromkeys([*near_names(stem, keys), *keys]) if key != name]


def keys_in(folder: str) -> list[str]:
    """The private keys of this user in a folder."""
    found = []
    try:
        items = sorted(os.scandir(folder), key=lambda item: item.name)[:_MOST_LOOKED_AT]
    except OSError:
        return []
    for item in items:
        try:
            if item.is_file():
                with open(item.path, "rb") as file:
                    if _is_private(file.read(_HEAD)):
                        found.append(item.path)
        except OSError:
            continue  # not one that could be used
    return found


def _is_private(head: bytes) -> bool:
    return b"-----BEGIN" in head and b"PRIVATE KEY-----" in head


def agent_has_keys() -> bool:
    """Whether ssh-agent has any key."""
    said = ask("ssh-add", "-l") if os.environ.get("SSH_AUTH_SOCK") else None
    return said is not None and said.returncode == 0


def _agent_of(settings: Mapping[str, Any]) -> str | None:
    """The socket of the agent that ssh's own configuration names for this server; None for the one of the environment."""
    program = shutil.which(str(settings.get("SSHProgram") or "ssh"))
    if program is None or settings.get("SFTPLibrary"):
        return None
    try:
        said = ask(*show_words(program, login_of(settings)))
    except ConfigError:
        return None
    lines = said.stdout.decode("utf-8", "replace").splitlines() if said is not None and not said.returncode else []
    named = next((line.partition(" ")[2] for line in lines if line.startswith("identityagent ")), "")
    if named in ("", "SSH_AUTH_SOCK"):
        return None
    return "" if named == "none" else os.path.expanduser(os.environ.get(named[1:], "") if named.startswith("$") else named)


def _known_hosts(settings: Mapping[str, Any]) -> list[Finding]:
    """Only a file that the config names: that ssh's own is missing shows in the login."""
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
        return [fail("CA file", "ca-file-missing", f"{path} cannot be read: {exc.strerror}", commands=[advice.look_at(path)])]
    return [ok("CA file", path)]
