"""Where files go, in one word: the URL of a folder on a server, or ``user@host:folder`` as scp takes it (that is SFTP).

A URL never holds a password, and no error repeats one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import ConfigError
from .problem import Problems, spelt

SCHEMES = ("sftp", "ftp", "ftps")
FORMS = "sftp://user@host:port/folder, ftp://..., ftps://..., dropbox:/folder, or user@host:folder as scp takes it"
_IMPLICIT_TLS = 990  # the port of FTPS with TLS from the first byte (IANA: ftps)
_WINDOWS = re.compile(r"/?[A-Za-z]:\\|\\")
# The host may be an IPv6 address in brackets; the login ends at the last @ before it.
_SCP = re.compile(r"(?P<login>[^/]+)@(?P<host>[^/:@\[\]]+|\[[^/@\[\]]+\]):(?P<path>.*)", re.DOTALL)


class Words(NamedTuple):
    """The words of errors about an address."""

    key: str
    """The place where the address was written, as ``ftp.Host``."""
    password: str
    """What to do about a password in the address."""
    forms: str
    """The forms of an address that are accepted there."""


def is_address(text: str) -> bool:
    """Whether this is an address, and no bare name of a host or a task."""
    return "://" in text or text.startswith("dropbox:") or _SCP.fullmatch(text) is not None


def parsed(text: str, words: Words) -> tuple[str, dict[str, Any]]:
    """The section (``ftp``, ``dropbox``) and the settings that an address says. A folder is relative to the one a login starts
    in; from the root with two slashes, as in sftp://host//srv/in. ConfigError, which never repeats a password."""
    from urllib.parse import unquote  # an app whose config has no URL does not load it

    scp = _SCP.fullmatch(text) if "://" not in text and not text.startswith("dropbox:") else None
    if scp is not None:
        _check_login(scp["login"], words)
        return "ftp", {"UseSFTP": True, "Host": scp["host"].strip("[]"), "HostPath": _scp_path(scp["path"]), "User": scp["login"]}
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    place, _, path = rest.removeprefix("//").partition("/")
    login, at, address = place.rpartition("@")
    _check_login(login, words)
    # A slash or a question mark in a password ends the place too early: what looks like a login further on is one.
    if not at and ":" in place and "@" in path and not _is_address(address):
        raise _password(words)
    if scheme == "dropbox":
        return "dropbox", {"HostPath": unquote(rest).strip("/")}
    if scheme not in SCHEMES or not rest.startswith("//"):
        raise ConfigError(words.key, f"{scheme!r} is not known", words.forms)
    if "?" in rest or "#" in rest:
        raise ConfigError(words.key, "a ? or # has a meaning of its own in a URL", "Write %3F for ? and %23 for #.")
    host, port = _host_and_port(address, words)
    if not host:
        raise ConfigError(words.key, "it names no host", words.forms)
    values: dict[str, Any] = {"UseSFTP": scheme == "sftp", "Host": host, "HostPath": unquote(path)}
    if at:
        values["User"] = unquote(login)
    if port is not None:
        values["HostPort"] = port
    if scheme == "ftps":
        values["UseTLS"] = "implicit" if port == _IMPLICIT_TLS else "explicit"
    return "ftp", values


def check_paths(settings: Mapping[str, Any], problems: Problems) -> None:
    """A problem for a folder on the server that is written as Windows has it (``C:\\data``): to a server that would be one name,
    of a folder that no program reads."""
    for key in ("HostPath", "HostSFTPPath", "HostFTPPath"):
        path = settings[key] or ""
        if _WINDOWS.match(path):
            remedy = f"Write it with slashes: {key} = '{path.replace(chr(92), '/')}'."
            problems.add(("ftp", key), (spelt(path), " is a path as Windows writes it"), remedy, path)


def written(section: str, values: Mapping[str, Any]) -> str:
    """The URL that says these settings, as ``parsed`` gives them."""
    folder = _quoted(str(values.get("HostPath") or ""), "")
    if section == "dropbox":
        return f"dropbox:/{folder}"
    scheme = "sftp" if values["UseSFTP"] else "ftps" if values.get("UseTLS") else "ftp"
    host = str(values["Host"])
    user = f"{_quoted(str(values['User']), ':/@')}@" if values.get("User") else ""
    port = f":{values['HostPort']}" if values.get("HostPort") else ""
    return f"{scheme}://{user}{f'[{host}]' if ':' in host else host}{port}" + (f"/{folder}" if folder else "")


def _quoted(text: str, signs: str) -> str:
    """What has a meaning of its own in a URL as %XX; letters of any language stay readable."""
    signs += "%?#"
    return "".join(
        "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogateescape"))
        if sign in signs or sign.isspace() or not sign.isprintable()
        else sign
        for sign in text
    )


def _check_login(login: str, words: Words) -> None:
    if ":" in login:
        raise _password(words)


def _password(words: Words) -> ConfigError:
    return ConfigError(words.key, "it has a password in it, which whoever sees this line can read", words.password)


def _scp_path(path: str) -> str:
    """scp's ~ is where a login starts, which is what a relative path means here."""
    return path.removeprefix("~/") if path != "~" else ""


def _is_address(text: str) -> bool:
    """Whether this is a host with a port, and no beginning of user:password."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    return not colon or (bool(host) and port.isascii() and port.isdecimal())


def _host_and_port(text: str, words: Words) -> tuple[str, int | None]:
    """Not by urllib, which writes the host in small letters, and ssh's configuration knows the difference."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        return (host or port).strip("[]"), None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(words.key, f"{port!r} is not a port", "Give a number from 1 to 65535, or leave it out.")
    return host.strip("[]"), int(port)
