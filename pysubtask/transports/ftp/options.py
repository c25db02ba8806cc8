"""The settings of one destination. Pure; checked once, so that no value can become an FTP command of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.errors import ConfigError, FileRefused
from ...common.named_files import check_files

EXPLICIT = "explicit"
IMPLICIT = "implicit"

_PORTS = {"": 21, EXPLICIT: 21, IMPLICIT: 990}
_HOST_BAD = re.compile(r"[\x00-\x20\x7f/@]")
_LINE_BAD = re.compile(r"[\x00\r\n]")
_DIGEST = re.compile(r"[0-9A-F]{64}\Z")
# Beginnings of an argument that servers take for something else: an option (-), a home (~), a time to set (14 digits).
_LEADS_ASTRAY = re.compile(r"[ ~-]|[0-9]{14}")


class Login(NamedTuple):
    """Where to log in, as whom, and how the connection is protected. Its repr shows no password.

    ``host``, ``port``, ``user`` ("" for anonymous), ``password``. ``tls``: "", "explicit" or "implicit" (RFC 4217).
    ``ca_file``: a PEM file, None for the system's authorities; ``fingerprint``: SHA-256 of the pinned certificate in 64
    hexadecimal digits, or None. ``passive``: whether the client opens data connections. ``connect_secs``: limit for the whole
    login; ``stall_secs``: limit for each step that makes no progress.
    """

    host: str
    port: int
    user: str
    password: str
    tls: str
    ca_file: str | None
    fingerprint: str | None
    passive: bool
    connect_secs: float
    stall_secs: float

    def __repr__(self) -> str:
        return f"Login({self.user!r}, {self.host!r}, {self.port}, {self.tls!r})"


def login_of(settings: Mapping[str, Any]) -> Login:
    """The checked login settings. Raises ConfigError, which names the setting."""
    host = str(settings.get("Host") or "")
    if not host or _HOST_BAD.search(host):
        raise ConfigError("ftp.Host", f"{host!r} is no host name", "Set it to the server's name or address.")
    user, password = str(settings.get("User") or ""), str(settings.get("Password") or "")
    if _LINE_BAD.search(user):
        raise ConfigError("ftp.User", f"{user!r} has a line break in it", "Give the login name.")
    if _LINE_BAD.search(password):
        raise ConfigError("ftp.Password", "it has a line break in it, which FTP cannot send", "Have another one set on the server.")
    tls = str(settings.get("UseTLS") or "")
    if tls not in _PORTS:
        raise ConfigError("ftp.UseTLS", f"{tls!r} is not known", "Give 'explicit', 'implicit' or None.")
    check_files("ftp", {"CAFile": settings.get("CAFile")})
    port = int(settings.get("HostPort", -1))
    return Login(
        host=host.strip("[]"),
        port=_PORTS[tls] if port < 0 else port,
        user=user,
        password=password,
        tls=tls,
        ca_file=settings.get("CAFile") or None,
        fingerprint=_fingerprint(settings.get("TLSFingerprint")),
        passive=bool(settings.get("PassiveMode", True)),
        connect_secs=float(settings.get("ConnectTimeoutSecs", 20)),
        stall_secs=float(settings.get("StallSecs", 60)),
    )


def _fingerprint(value: Any) -> str | None:
    """64 digits, from the output of ``openssl x509 -fingerprint -sha256`` or any shorter spelling."""
    if value is None or value == "":
        return None
    digits = str(value).rpartition("=")[2].upper().removeprefix("SHA256:").replace(":", "").replace(" ", "")
    if not _DIGEST.match(digits):
        raise ConfigError(
            "ftp.TLSFingerprint",
            f"{value!r} is no SHA-256 fingerprint of a certificate",
            "It has 64 hexadecimal digits; 'openssl x509 -noout -fingerprint -sha256 -in FILE' shows it.",
        )
    return digits


def folder_of(settings: Mapping[str, Any]) -> str:
    """The destination's folder: HostFTPPath, else HostPath. '' and '~' are the login's own; '~/x' is 'x'. Raises ConfigError
    for a line break."""
    chosen = settings.get("HostFTPPath")
    folder = str(chosen if chosen is not None else settings.get("HostPath") or "")
    if folder == "~" or folder.startswith("~/"):
        folder = folder[2:].lstrip("/")
    if _LINE_BAD.search(folder):
        raise ConfigError("ftp.HostPath", f"{folder!r} has a line break in it, which FTP cannot send", "Use another folder.")
    return folder.rstrip("/") or ("/" if folder.startswith("/") else "")


def path_of(folder: str, name: str) -> str:
    """The path of a remote name. Raises FileRefused for a name that leaves the folder, or that no command line can hold."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise FileRefused(f"{name!r} is no name below the destination's folder")
    if _LINE_BAD.search(name):
        raise FileRefused(f"{name!r} has a line break in it, which FTP cannot send")
    path = f"{folder.rstrip('/')}/{name}" if folder else name
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise FileRefused(f"{name!r} cannot be written as bytes") from exc
    return f"./{path}" if _LEADS_ASTRAY.match(path) else path


def is_line(path: str) -> bool:
    """Whether a path can be the argument of a command."""
    return not _LINE_BAD.search(path) and not _LEADS_ASTRAY.match(path)


def parent_of(path: str) -> str:
    """The folder of a path; '' is the login's own, '/' the root."""
    head, slash, _ = path.rpartition("/")
    return head or slash


def identity_of(settings: Mapping[str, Any]) -> str:
    """The destination as a URL without secrets. An absolute folder has a second slash in front."""
    user = str(settings.get("User") or "")
    host = str(settings.get("Host") or "")
    tls = str(settings.get("UseTLS") or "")
    port = int(settings.get("HostPort", -1))
    if ":" in host:
        host = f"[{host.strip('[]')}]"
    effective_port = _PORTS.get(tls, 21) if port < 0 else port
    return f"{'ftps' if tls else 'ftp'}://{user + '@' if user else ''}{host}:{effective_port}/{folder_of(settings)}"
