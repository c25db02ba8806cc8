"""The target, the user and the host key of an SSH login: pure, from settings to checked values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...common.advice import SHOW_KEY, show_server_key
from ...common.errors import ConfigError, ServerNotTrusted
from ...common.named_files import check_files

_HOST = re.compile(r"[A-Za-z0-9_.:\[][A-Za-z0-9_.:%\[\]-]*\Z")
_USER_BAD = re.compile(r"[\x00-\x20\x7f'`\";&<>|(){}$%]|\A-|\\\Z|\A\Z")  # what ssh itself refuses, and what it would expand
# "Password: ", "Password for pi@host: ", "pi@host's password: "; nothing in front of it that could make it another one.
_WORDS = re.compile(r"(?:\S+'s )?(?:password|kennwort|mot de passe)(?: for \S+?)?\s*:?\s*", re.IGNORECASE)
_LONGEST_QUESTION = 256  # characters; the time that the search takes is the square of it
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?\Z")


class Login(NamedTuple):
    """The target, the user and the host key of a login; checked, so that no value can become an option of ssh.

    ``host``: a name, an address or an alias of ssh_config(5); ``port``: None for that of ssh's configuration, or 22; ``user``:
    empty for ssh's own choice. ``key_file``, ``known_hosts`` and ``config_file`` are absolute paths, None for ssh's defaults;
    ``config_file`` may be 'none', which reads no configuration. ``host_key``: the pinned fingerprint ('SHA256:...'), None where
    known_hosts decides; ``accept_new``: the key of a server that was never seen before is accepted and stored. ``connect_secs``:
    limit for the connection and the login; ``alive_secs`` and ``alive_count``: ServerAliveInterval and ServerAliveCountMax.
    ``has_password``: a password is set, which is not kept here.
    """

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
    """Kinds of host keys that the server is asked not to present: it has presented them, and they were not the pinned key."""
    loud: bool = False
    """Whether ssh logs in detail (DEBUG1), which names the host key that it refuses."""


def login_of(settings: Mapping[str, Any]) -> Login:
    """The checked login settings. ConfigError for a value that cannot be used."""
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
        raise ConfigError(
            "ftp.HostKey",
            f"{host_key!r} is no fingerprint",
            f"It looks like SHA256:... (43 characters); '{SHOW_KEY}' of the server's key file shows it.",
        )
    check_files("ftp", {key: value for key, value in settings.items() if key != "CAFile"})
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


def show_words(program: str, login: Login) -> list[str]:
    """The command line with which ssh prints its configuration for a login (``ssh -G``)."""
    argv = [program, "-G"]
    if login.config_file is not None:
        argv += ["-F", login.config_file]
    if login.user:
        argv += ["-l", login.user]
    if login.port is not None:
        argv += ["-p", str(login.port)]
    return [*argv, "--", login.host]


def _file(key: str, value: Any, also: str | None = None) -> str | None:
    """The absolute path of a file; '~' is the user's home. ConfigError for a path that ssh would expand or split."""
    if value is None or value == "":
        return None
    if also is not None and str(value).lower() == also:
        return also
    path = os.path.abspath(os.path.expanduser(str(value)))
    if '"' in path or "${" in path or "\\" in path or any(ord(char) < 32 for char in path):
        raise ConfigError(f"ftp.{key}", f"{path!r} has a character that ssh does not take in a path", "Use another path.")
    return path


def asks_for_password(words: str) -> bool:
    """Whether a server's prompt asks for a password and for nothing else. A long prompt does not."""
    return len(words) <= _LONGEST_QUESTION and _WORDS.fullmatch(words.rstrip()) is not None


def is_among(kind: str, kinds: Iterable[str]) -> bool:
    """Whether a kind of key is one of these. An RSA key is ssh-rsa by type and rsa-sha2-... by the algorithm it signs
    with (RFC 8332)."""
    return any(kind == one or ("rsa" in kind and "rsa" in one) for one in kinds)


_SURE = (
    f"Ask who runs the server whether that is its key ('{show_server_key()}' there shows it); "
    "if it is not, somebody sits in between"
)


def unknown_key(where: str, presented: str) -> ServerNotTrusted:
    """The server's host key is not on file. ``presented``: its type and fingerprint, empty where they are not known."""
    return ServerNotTrusted(
        "host key not known",
        f"the host key of {where} is not known here, so nothing was sent; {_fingerprint_text(presented)}",
        f'{_SURE}. If it is, write {_pin(presented)}, or HostKeyPolicy = "accept-new" to take and remember the key of a server '
        "that was never seen before",
    )


def changed_key(where: str, presented: str) -> ServerNotTrusted:
    """Another key is on file for the server. ``presented``: as for ``unknown_key``."""
    return ServerNotTrusted(
        "host key changed",
        f"the server {where} shows another host key than the one on file for it, so nothing was sent; "
        f"{_fingerprint_text(presented)}. Either it was set up anew, or somebody sits in between",
        f"{_SURE}. If it is, write {_pin(presented)}, or put it into known_hosts in the place of the old one",
    )


def revoked_key(where: str, presented: str) -> ServerNotTrusted:
    """The key is on file as revoked. ``presented``: as for ``unknown_key``."""
    return ServerNotTrusted(
        "host key revoked",
        f"the host key of {where} is revoked, so nothing was sent; {_fingerprint_text(presented)}",
        "Ask who runs the server for its new key",
    )


def _fingerprint_text(presented: str) -> str:
    kind, _, fingerprint = presented.rpartition(" ")
    return f"its fingerprint is {fingerprint} ({kind})" if kind else "its fingerprint was not told"


def _pin(presented: str) -> str:
    return f'HostKey = "{presented.split()[-1] if presented else "SHA256:..."}"'


def another_key(presented: list[str]) -> ServerNotTrusted:
    """The error for a server that has no keys but these (type and fingerprint)."""
    return ServerNotTrusted(
        "host key not the pinned one",
        f"the server's host key is {' and '.join(presented)}, which is not the pinned HostKey, so nothing was sent",
        f"{_SURE}. If it is, write {_pin(presented[0])}",
    )


class AnotherKey(ServerNotTrusted):
    """A server presented a key other than the pinned one; it may have the pinned one too, of another kind.

    ``kind`` is its type as on the wire ('ssh-ed25519'), ``presented`` the type and the fingerprint.
    """

    def __init__(self, presented: str) -> None:
        self.presented = presented
        self.kind = presented.partition(" ")[0]
        error = another_key([presented])
        super().__init__(error.headline, error.cause, error.remedy)
