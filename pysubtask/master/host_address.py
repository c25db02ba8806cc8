"""``ftp.Host`` as a URL: protocol, login, port and folder from it, checked against the settings of those names."""

from collections.abc import Mapping
from typing import Any

from ..common import address
from ..common.config import Setting
from ..common.errors import ConfigError
from ..common.problem import Problems, spelt

_WORDS = address.Words(
    "ftp.Host",
    "Take it out. It belongs into a file that only you can read: PasswordFile names that in TOML; in Python it is ftp.Password.",
    "Give sftp://user@host:port/folder, ftp://... or ftps://..., or the server's name or address alone.",
)
_UNSET = {"HostPort": -1, "User": ""}  # the values that leave the choice to the URL
_ONE_OF_TWO = "Say it in one of the two places"


def spread(settings: dict[str, Any], given: Mapping[str, Any], rows: Mapping[str, Setting], problems: Problems) -> None:
    """Spread the parts of a URL in ``settings["Host"]`` over the settings of their own. ``given``: what the config sets.

    A wrong address, and each setting of the config that contradicts it, is added to ``problems``.
    """
    host = settings["Host"]
    if not address.is_address(host):
        return
    nothing: tuple[str, dict[str, Any]] = ("", {})
    section, parts = problems.result(nothing, address.parsed, host, _WORDS)
    if section == "dropbox":
        problems.add("ftp.Host", "it is a folder in Dropbox", "Write dropbox.HostPath for that, and leave ftp.Host empty.")
    if section != "ftp":
        return
    scheme = "SFTP" if parts["UseSFTP"] else "FTPS" if "UseTLS" in parts else "FTP"
    own = {key: settings[key] for key in rows if key in given or settings[key] != rows[key].default}
    if "UseSFTP" in own and own["UseSFTP"] != parts["UseSFTP"]:
        problems.take(
            _contradiction("UseSFTP", own["UseSFTP"], f"says {scheme}", f"{_ONE_OF_TWO}: remove UseSFTP, or change the URL.")
        )
    problems.result(None, _check_tls, own, scheme)
    for key in ("User", "HostPort"):
        if key in own and key in parts and own[key] not in (parts[key], _UNSET[key]):
            remedy = f"{_ONE_OF_TWO}: remove {key}, or take it out of the URL."
            problems.take(_contradiction(key, own[key], f"says {parts[key]!r}", remedy))
    problems.result(None, _check_folder, settings, parts)
    for key, value in parts.items():
        if value != "" and not (key == "UseTLS" and own.get(key)):
            settings[key] = value


def _check_tls(own: Mapping[str, Any], scheme: str) -> None:
    tls = own.get("UseTLS")
    if scheme == "FTPS" and "UseTLS" in own and tls is None:
        raise _contradiction("UseTLS", tls, "says FTPS", "Remove UseTLS, or write ftp:// for a server without TLS.")
    if scheme == "FTP" and tls is not None:
        raise _contradiction("UseTLS", tls, "says FTP", "Write ftps:// instead of ftp://.")
    if scheme == "SFTP" and tls is not None:
        raise _contradiction("UseTLS", tls, "says SFTP, which is encrypted by itself", "Remove UseTLS, or write ftps://.")


def _check_folder(settings: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    folder = parts["HostPath"]
    wins = "HostSFTPPath" if parts["UseSFTP"] else "HostFTPPath"
    key = wins if settings[wins] is not None else "HostPath"
    if folder and settings[key] and settings[key].rstrip("/") != folder.rstrip("/"):
        remedy = f"{_ONE_OF_TWO}: remove {key}, or take the folder out of the URL."
        raise _contradiction(key, settings[key], f"says {folder!r}", remedy)


def _contradiction(key: str, value: Any, says: str, remedy: str) -> ConfigError:
    return ConfigError(("ftp", key), (spelt(value), f" contradicts ftp.Host, which {says}"), remedy, value)
