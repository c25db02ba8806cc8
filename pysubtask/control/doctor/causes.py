"""From a transport's error to the cause and the remedy. Pure.

The functions search the error's text for the words of pysubtask's own transports (which quote the server) and of common
servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...common import advice
from ...common.errors import ConfigError, LoginRefused, TransportError, TransportLost
from ...transports.ftp.arrival import TEXT_MODE
from ...transports.shared.key_file import KeyFault
from ...transports.shared.standstill import MTU, PROBE
from ...transports.ssh.algorithms import for_an_rsa_key, offered_alone
from ...transports.ssh.errors import AS_WELL, BETWEEN
from .finding import Finding, fail, port_of

_LOCKED = re.compile(r"\b(?:lock(?:ed)?|disabled|suspended|blocked|banned|expired|deactivated)\b", re.IGNORECASE)
_METHODS = re.compile(r"Permission denied \(([a-z0-9,.@-]+)\)")
_NO_ROOM = re.compile(
    r"full disk or a quota|disk (?:is )?full|no space|not enough .{0,15}space|insufficient|quota|has no room|"
    r"\b(?:552|452)\b|too large",
    re.IGNORECASE,
)
_SLOW = "A slow link needs a longer ConnectTimeoutSecs; a way that swallows large packets (MTU) looks the same, mostly with a VPN."
_NEW_KEY = "~/.ssh/id_pysubtask"
STRICT_MODES = (
    "Where all of that is right: sshd ignores keys without a word while the account's home, ~/.ssh or authorized_keys "
    "there can be written by the group or others (StrictModes); have who runs the server look."
)
_CROWD_OF_CONNECTIONS = re.compile(
    r"too many.{0,40}connect|connections?.{0,40}(?:limit|maximum|too many)|"
    r"kex_exchange_identification",
    re.IGNORECASE,
)
_NO_FILE = re.compile(r"no such file|not found|does not exist", re.IGNORECASE)
_QUESTION = re.compile(r"\((?:ssh|the server) asked .+?, which is not answered from here\)")
_CROWDED = re.compile(r"\b421\b|too many|no more logins|takes no connection now|maximum", re.IGNORECASE)


def login_finding(
    exc: Exception,
    settings: Mapping[str, Any],
    *,
    missing_key: str = "",
    named: tuple[str, str] = ("User", "Password"),
    public: bool = True,
    rsa: bool = False,
) -> Finding:
    """Why a login by SFTP or FTP failed. ``missing_key``: the file for a first key, where ssh has no key at all; ``named``: the
    config's names of user and password; ``public``: whether the public half lies beside KeyFile; ``rsa``: whether KeyFile is
    an RSA key."""
    if isinstance(exc, ConfigError):
        return fail("login", "config-wrong", f"{exc.key}: {exc.problem}", words=exc.remedy)
    reason = str(exc)
    if MTU in reason:
        return of_mtu("login", exc, settings)
    if settings.get("UseSFTP", True):
        return _of_ssh(reason, exc, settings, missing_key, named, public, rsa)
    return _of_ftp(reason, exc, settings, named)


def may_be_overload(exc: Exception) -> bool:
    """Whether the server may have refused the connection because of other connections, before it saw a password or a key. Such
    a login can be tried again without the risk of a locked account."""
    return isinstance(exc, TransportLost) and bool(_CROWD_OF_CONNECTIONS.search(str(exc)))


def of_mtu(check: str, exc: Exception, settings: Mapping[str, Any]) -> Finding:
    """The path to the server drops large packets."""
    cause = exc.cause if isinstance(exc, TransportError) else str(exc)
    return fail(
        check,
        "mtu",
        cause if MTU in cause else f"{MTU} ({cause})",
        commands=[PROBE, f"ip route get {advice.word(str(settings.get('Host') or ''))}"],
        words="The first line has this machine find out how large they may be (until the next boot). Or set a smaller MTU "
        "(1280 passes nearly everywhere) for the device that the second line shows, where its network is configured. "
        "Mostly a tunnel, a modem or a VPN is in between; the server is well.",
    )


def _of_ssh(
    reason: str, exc: Exception, settings: Mapping[str, Any], missing_key: str, named: tuple[str, str], public: bool, rsa: bool
) -> Finding:
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
            words=f"It is overloaded or hangs: have it restarted. {_SLOW}",
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
    if _LOCKED.search(reason):
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
            f"into ~/.ssh/authorized_keys of that account; check User, too. {STRICT_MODES}"
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
        words=f"Name the key, or the password, and check User. {STRICT_MODES}",
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


def _of_ftp(reason: str, exc: Exception, settings: Mapping[str, Any], named: tuple[str, str]) -> Finding:
    if "the server wants TLS" in reason:
        return fail("login", "tls-wanted", f"the server takes no login without TLS ({reason})", ("UseTLS", "explicit"))
    if "offers no TLS" in reason:
        return fail(
            "login",
            "tls-not-offered",
            f"the server offers no TLS ({reason})",
            ("UseTLS", None),
            words="Better have TLS switched on there; without it password and data travel in the clear.",
        )
    if "is not TLS" in reason:
        return fail("login", "tls-not-implicit", f"the port does not speak TLS from the start ({reason})", ("UseTLS", "explicit"))
    if "in the clear only" in reason:
        return fail("login", "data-not-protected", reason, words="Have protected data connections (PROT P) switched on there.")
    if "speaks SSH" in reason:
        return fail("login", "ssh-on-ftp-port", reason, ("UseSFTP", True))
    if isinstance(exc, LoginRefused) and _LOCKED.search(reason):
        return fail(
            "login",
            "account-locked",
            f"the server says that the account is locked: {reason}",
            words="Have it unlocked by who runs the server; with a wrong password it would soon be locked again.",
        )
    if isinstance(exc, LoginRefused):
        return fail(
            "login",
            "password-refused",
            f"the server refuses user and password ({reason})",
            words=f"Check {' and '.join(named)} by hand; some servers want the name as user@domain.",
        )
    if _CROWDED.search(reason):
        return fail(
            "login",
            "server-full",
            f"the server takes no more connections ({reason})",
            ("Connections", 1),
            words="End other programs that are logged in there, or have its limit raised.",
        )
    if "no login within" in reason or "no answer" in reason:
        return fail(
            "login",
            "server-silent",
            f"the server takes the connection and then says nothing ({reason})",
            words=f"It is overloaded or hangs: have it restarted. {_SLOW}",
        )
    return fail(
        "login", "connection-lost", reason, words="Try again; if it stays so, ask who runs the server to look into its log."
    )


def dropbox_finding(exc: Exception) -> Finding:
    """Why a login at Dropbox failed."""
    reason = str(exc)
    login = "python -m pysubtask.dropbox --login"
    if isinstance(exc, ConfigError):
        return fail("login", "config-wrong", f"{exc.key}: {exc.problem}", words=exc.remedy)
    if "certificate is not trusted" in reason:
        return fail(
            "login",
            "certificate-untrusted",
            reason,
            ("CAFile", "/path/of/the/proxy's/ca.pem"),
            words="A proxy on the way signs with its own authority: set CAFile to its certificate (PEM).",
        )
    if "has expired" in reason:
        return fail(
            "login",
            "token-expired",
            reason,
            ("RefreshToken", "..."),
            ("AccessToken", None),
            commands=[login],
            words="All of it: access tokens end after four hours; a refresh token does not.",
        )
    if "may not do this" in reason:
        return fail(
            "login",
            "permission-missing",
            reason,
            commands=[login],
            words="Switch the permission on in the Dropbox App Console (Permissions), then log in anew.",
        )
    if isinstance(exc, LoginRefused):
        return fail(
            "login",
            "token-refused",
            reason,
            ("RefreshToken", "..."),
            commands=[login],
            words="The token is wrong or was withdrawn, or AppKey is of another app: log in anew.",
        )
    if "through the proxy" in reason:
        return fail("login", "proxy-closed", reason, ("Proxy", None), words="Check Proxy, or ask who runs it.")
    return fail("login", "connection-lost", reason, words="Try again in a while; https://status.dropbox.com says how Dropbox is.")


def file_finding(check: str, exc: Exception, settings: Mapping[str, Any], folder: str) -> Finding:
    """Why a server did not take a small file. ``folder``: the destination's folder, as the server names it."""
    reason = str(exc)
    if MTU in reason:
        return of_mtu(check, exc, settings)
    place = f"the folder {folder!r}" if folder else "the login's own folder"
    if ("data connection" in reason and "broke" not in reason) or "passive port" in reason or "does not connect to here" in reason:
        return _data_connection(reason, settings)
    if TEXT_MODE in reason:
        return fail(check, "text-mode", reason, ("UseSFTP", True))
    if _NO_ROOM.search(reason):
        return fail(
            check,
            "no-room",
            f"the server has no room: its disk or the account's quota is full ({reason})",
            words="Free some space there, or have the quota raised. Nothing here helps.",
        )
    if re.search(r"\b(?:426|451)\b|data connection broke", reason):
        return fail(
            check,
            "transfer-broken-off",
            f"the server takes the file and breaks off in the middle ({reason})",
            words="A full disk or quota there is the usual reason, or a program that checks what comes in.",
        )
    if "went away before it could be renamed" in reason or ("renaming it into place" in reason and _NO_FILE.search(reason)):
        return fail(
            check,
            "temp-taken",
            f"something on the server takes a temporary file away before it gets its name ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have what takes files there leave those alone whose names "
            "begin with a dot, or end in .part.",
        )
    if "renaming it into place" in reason:
        return fail(
            "rename over",
            "rename-refused",
            f"the server takes the file, but does not let it be renamed ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have renaming allowed for this account.",
        )
    if "making the temporary file" in reason and "StoreInPlace" in reason:
        return fail(
            check,
            "temp-refused",
            f"the server takes no temporary file, whatever it is called ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have any name allowed in that folder.",
        )
    if "not a folder below" in reason or "leaves the" in reason:
        return fail(check, "folder-wrong", reason)
    if "writing it to the server's disk" in reason:
        return fail(
            check,
            "sync-refused",
            f"the server cannot put the file on its disk ({reason})",
            words="Have its disk looked at: it may be broken.",
        )
    if re.search(r"permission|553|550|read.?only|denied|may not write", reason, re.IGNORECASE) and not isinstance(
        exc, LoginRefused
    ):
        return fail(
            check,
            "no-permission",
            f"the login works, but it may not write into {place} ({reason})",
            words=f"Have who runs the server allow writing there to {settings.get('User') or 'this login'} (the whole "
            "server may be read-only), or take another folder:",
        )
    if isinstance(exc, LoginRefused):
        return login_finding(exc, settings)
    if isinstance(exc, TransportError) and "no answer" in reason:
        return fail(
            check, "server-silent", f"the server stopped answering ({reason})", words="It is overloaded, or the link is dead."
        )
    return fail(check, "write-failed", reason)


def _data_connection(reason: str, settings: Mapping[str, Any]) -> Finding:
    """FTP's second connection, which carries the files (RFC 959, section 3.2), failed."""
    if re.search(r"session.{0,20}reuse|reuse.{0,20}session|\b522\b", reason, re.IGNORECASE):
        return fail(
            "session reuse",
            "session-reuse",
            f"the server wants its TLS session continued for data, and did not get it ({reason})",
            words="On the server: require_ssl_reuse=NO (vsftpd), TLSOptions NoSessionReuseRequired (ProFTPD), or the box "
            "'Require TLS session resumption' (FileZilla Server).",
        )
    if re.search(r"TLS failed|CERTIFICATE|handshake", reason):
        return fail(
            "passive mode",
            "data-tls",
            f"TLS fails on the data connection ({reason})",
            words="Something between here and the server cuts or changes it: a firewall that looks into FTP.",
        )
    if not settings.get("PassiveMode", True):
        return fail(
            "passive mode", "active-blocked", f"the server cannot connect back to this machine ({reason})", ("PassiveMode", True)
        )
    host = settings.get("Host")
    return fail(
        "passive mode",
        "data-blocked",
        f"the login works, but no data connection: the files cannot pass ({reason})",
        ("PassiveMode", False),
        ("UseSFTP", True),
        words=f"In front of {host} open its passive ports (pasv_min_port to pasv_max_port) in the firewall, and forward "
        f"them "
        "where there is NAT. Else: PassiveMode = False where this machine can be reached from there, or SFTP, which needs "
        "one port only.",
    )
