"""From the error of a login by ssh to the cause and the remedy. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...common import advice
from ...common.errors import LoginRefused
from ...transports.shared.key_file import KeyFault
from ...transports.ssh.algorithms import for_an_rsa_key, offered_alone
from ...transports.ssh.errors import AS_WELL, BETWEEN
from .finding import Finding, fail, port_of

LOCKED = re.compile(r"\b(?:lock(?:ed)?|disabled|suspended|blocked|banned|expired|deactivated)\b", re.IGNORECASE)
"""What servers of any protocol say of an account that is locked."""
_METHODS = re.compile(r"Permission denied \(([a-z0-9,.@-]+)\)")
SLOW = "A slow link needs a longer ConnectTimeoutSecs; a way that swallows large packets (MTU) looks the same, mostly with a VPN."
_NEW_KEY = "~/.ssh/id_pysubtask"
_STRICT_MODES = (
    "Where all of that is right: sshd ignores keys without a word while the account's home, ~/.ssh or authorized_keys "
    "there can be written by the group or others (StrictModes); have who runs the server look."
)
_QUESTION = re.compile(r"\((?:ssh|the server) asked .+?, which is not answered from here\)")


def of_ssh(
    reason: str, exc: Exception, settings: Mapping[str, Any], missing_key: str, named: tuple[str, str], public: bool, rsa: bool
) -> Finding:
    """Why a login by ssh failed, of which the error's text is ``reason``. The others are as for ``causes.login_finding``."""
    if "offers no SFTP" in reason:
        return fail(
            "login",
            "no-sftp",
            "the login works, but the server offers no SFTP to it",
            words="Have who runs the server put  Subsystem sftp internal-sftp  into its sshd_config, above the first "
            "Match, and reload sshd.",
        )
    if "does not speak SFTP" in reason:
        return fail(
            "login",
            "login-script-prints",
            f"the login works, but a login script of the account prints something: {reason}",
            words="On the server, let ~/.bashrc (or what the account runs) print nothing unless a person is there: "
            "put  case $- in *i*) ;; *) return;; esac  at its top.",
        )
    if "does not take its configuration" in reason:
        return fail("login", "ssh-config", reason, ("SSHConfigFile", "none"))
    if "no algorithm" in reason:
        unread = str(settings.get("SSHConfigFile") or "").lower() == "none" and offered_alone(reason) is not None
        return fail(
            "login",
            "no-common-algorithm",
            reason,
            *([("SSHConfigFile", None)] if unread else []),
            commands=[advice.install_ssh(upgrade=True)] if offered_alone(reason) is None else [],
            words="Better: update the older of the two.",
        )
    if BETWEEN in reason:
        return fail(
            "login",
            "proxy-command",
            reason,
            commands=[advice.log_in_aloud(str(settings.get("User") or ""), str(settings.get("Host") or ""), _port(settings))],
            words="This line shows what that program does.",
        )
    if isinstance(exc, LoginRefused):
        if isinstance(seen := exc.seen, KeyFault):
            return fail("login", seen.cause, exc.cause, commands=seen.commands, words=seen.words)
        return _refused_by_ssh(reason, settings, missing_key, named, public, rsa)
    if "no login within" in reason:
        return fail(
            "login",
            "server-silent",
            f"the server says its name, and no login comes about ({reason})",
            words=f"It is overloaded or hangs: have it restarted. {SLOW}",
        )
    return fail(
        "login", "connection-lost", reason, words="Try again; if it stays so, ask who runs the server to look into its log."
    )


def _refused_by_ssh(
    reason: str, settings: Mapping[str, Any], missing_key: str, named: tuple[str, str], public: bool, rsa: bool
) -> Finding:
    user = str(settings.get("User") or "")
    if _QUESTION.search(reason):
        return fail(
            "login",
            "another-question",
            f"the server asks something that no program can answer: {reason}",
            words="A one-time code or the like is no way for a station: have who runs the server let this account log in "
            "by key alone, or by password alone.",
        )
    found = _METHODS.search(reason)
    if "too many keys" in reason:
        return fail(
            "login",
            "too-many-keys",
            reason,
            ("KeyFile", "~/.ssh/id_ed25519"),
            words="ssh offers each key that its agent has, and the server ends the login before the right one comes: "
            "name that one.",
        )
    if found is None:
        return fail("login", "login-refused", reason)
    methods = found.group(1).split(",")
    host, port = str(settings.get("Host") or ""), _port(settings)
    if LOCKED.search(reason):
        return fail(
            "login",
            "account-locked",
            f"the server says that the account is locked: {reason}",
            words="Have it unlocked by who runs the server.",
        )
    if AS_WELL in reason:
        return _another_step_needed(reason, settings, named)
    takes_password = bool({"password", "keyboard-interactive"} & set(methods))
    key = str(settings.get("KeyFile") or "")
    offered = f"it takes only {', '.join(methods)}"
    if settings.get("Password") and not takes_password:
        return fail(
            "login",
            "server-takes-keys-only",
            f"the server takes no passwords; {offered}",
            ("KeyFile", key or _NEW_KEY),
            ("Password", None),
            commands=[advice.new_key(_NEW_KEY)] if not key else [],
            words="All of it: make a key, have its .pub put into ~/.ssh/authorized_keys of the account, set KeyFile. Take "
            "Password away last: some servers want it besides the key, and leave it then.",
        )
    if settings.get("Password"):
        return fail(
            "login",
            "password-refused",
            f"the server refuses the login of {user or 'this user'!s} with this password; {offered}",
            commands=[advice.log_in(user, host, port)],
            words=f"Check {' and '.join(named)} by hand; a server never says which of the two is wrong.",
        )
    if "publickey" not in methods:
        return fail(
            "login",
            "server-takes-passwords-only",
            f"the server takes no keys; {offered}",
            ("Password", "..."),
            words="Then let nobody else read the config.",
        )
    if key:
        return fail(
            "login",
            "key-refused",
            f"the server does not accept the key {key} for {user or 'this user'}; {offered}",
            commands=[advice.send_key(f"{key}.pub", user, host, port) if public else advice.show_public(key)],
            words=f"Have the {'.pub' if public else 'public half, which this line shows,'} put "
            f"into ~/.ssh/authorized_keys of that account; check User, too. {_STRICT_MODES}"
            + (f" {for_an_rsa_key(host)}" if rsa else ""),
        )
    if missing_key:
        return _without_a_key(missing_key, offered, takes_password, user, host, port)
    return fail(
        "login",
        "no-key-accepted",
        f"the server accepts none of the keys ssh has for {user or 'this user'}; {offered}",
        ("KeyFile", "~/.ssh/id_ed25519"),
        ("Password", "..."),
        commands=[advice.log_in_aloud(user, host, port)],
        words=f"Name the key, or the password, and check User. {_STRICT_MODES}",
    )


def _another_step_needed(reason: str, settings: Mapping[str, Any], named: tuple[str, str]) -> Finding:
    """The server accepted one step of the login (a key or a password) and requires the other one."""
    if "wants a key" in reason:
        return fail(
            "login",
            "key-wanted-too",
            reason,
            *([] if settings.get("KeyFile") else [("KeyFile", _NEW_KEY)]),
            words="Both are wanted: leave the password, and have the .pub of the key put into ~/.ssh/authorized_keys there.",
        )
    if settings.get("Password"):
        return fail("login", "password-refused", reason, words=f"The key is right; check {named[1]}.")
    return fail(
        "login",
        "password-wanted-too",
        reason,
        ("Password", "..."),
        words="Both are wanted: leave KeyFile as it is. Then let nobody else read the config.",
    )


def _without_a_key(path: str, offered: str, takes_password: bool, user: str, host: str, port: int | None) -> Finding:
    """A new account: this machine has no key that the server could know."""
    text = f"there is no key here yet that the server could know; {offered}"
    if takes_password:
        return fail(
            "login",
            "no-key",
            text,
            ("Password", "..."),
            commands=[advice.new_key(path), advice.send_key(f"{path}.pub", user, host, port)],
            words="The two lines to run make a key and have the server know it, which asks for the account's password. "
            "Or give that password to the config.",
        )
    return fail(
        "login",
        "no-key",
        text,
        commands=[advice.new_key(path)],
        words=f"Make a key, and have who runs the server put {path}.pub into ~/.ssh/authorized_keys of the account.",
    )


def _port(settings: Mapping[str, Any]) -> int | None:
    return port_of(settings) if int(settings.get("HostPort", -1)) > 0 else None
