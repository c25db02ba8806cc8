"""The settings of a destination, checked before anything is started: those of S/FTP, and those of Dropbox."""

import os
from collections.abc import Mapping
from typing import Any

from ..common.config import masked_value
from ..common.errors import ConfigError

TOKENS = ("RefreshToken", "RefreshTokenFile", "AccessToken")
"""The settings of Dropbox that log in."""
LOGIN = "set what 'python -m pysubtask.dropbox --login' prints"


def check_ftp(settings: Mapping[str, Any]) -> None:
    """ConfigError for settings by which no server can be reached, or which contradict each other."""
    host = settings["Host"]
    if not host:
        raise ConfigError("ftp.Host", "it is not set", "Give the server's name or address.")
    # A host that begins with a dash would be an option of the ssh program.
    if host.startswith("-") or any(sign in "/@" or sign.isspace() or not sign.isprintable() for sign in host):
        remedy = "Give the name or address alone (the login name is ftp.User), or a URL such as 'sftp://user@host/folder'."
        raise ConfigError("ftp.Host", f"{host!r} is not the name of a server", remedy)
    user = settings["User"]
    if user.startswith("-") or not user.isprintable():
        raise ConfigError("ftp.User", f"{user!r} is not a login name", "Give the login name, or leave it empty.")
    _check_protocol(settings)
    if settings["HostPort"] == 0:
        raise ConfigError("ftp.HostPort", "0 is not a port", "Give a number from 1 to 65535, or -1 for the protocol's own.")
    if any("\\" in (settings[key] or "") for key in ("HostPath", "HostSFTPPath", "HostFTPPath")):
        from ..common.address import check_paths

        check_paths(settings)


def _check_protocol(settings: Mapping[str, Any]) -> None:
    """ConfigError for settings of the other protocol: they show a misunderstanding about how safe this one is."""
    if settings["UseSFTP"]:
        for key in ("UseTLS", "CAFile", "TLSFingerprint"):
            if settings[key] is not None:
                problem = "it is for FTPS, and UseSFTP is True; SFTP is encrypted by itself"
                raise ConfigError(f"ftp.{key}", problem, f"Set {key} = None, or UseSFTP = False for an FTPS server.")
        if settings["StoreInPlace"] and settings["SFTPLibrary"] is not None:
            remedy = "Set StoreInPlace = False, or SFTPLibrary = None."
            raise ConfigError("ftp.StoreInPlace", f"{settings['SFTPLibrary']} does not know it", remedy)
        if settings["SFTPLibrary"] is not None and (settings["SSHConfigFile"] or "none").lower() != "none":
            problem = f"{settings['SFTPLibrary']} does not read it"
            raise ConfigError("ftp.SSHConfigFile", problem, "Set SFTPLibrary = None, or SSHConfigFile = None.")
        return
    if settings["SFTPLibrary"] is not None:
        raise ConfigError("ftp.SFTPLibrary", "it is for SFTP, and UseSFTP is False", "Set SFTPLibrary = None, or UseSFTP = True.")
    for key in ("KeyFile", "HostKey", "KnownHostsFile"):
        if settings[key] is not None:
            remedy = f"Set {key} = None (FTP has User and Password, FTPS also TLSFingerprint or CAFile), or UseSFTP = True."
            raise ConfigError(f"ftp.{key}", "it is for SFTP, and UseSFTP is False", remedy)
    for key in ("CAFile", "TLSFingerprint"):
        if settings[key] is not None and settings["UseTLS"] is None:
            raise ConfigError(f"ftp.{key}", "it is for FTPS, and UseTLS is None", "Set UseTLS = 'explicit' or UseTLS = 'implicit'.")


def is_set(token: str | None) -> bool:
    """Whether a token, or the name of its file, is one: version 1 had asterisks as its default."""
    return bool(token and token.strip("*"))


def check_dropbox(settings: dict[str, Any]) -> None:
    """ConfigError for settings by which nobody can log in. What is not set becomes None, and file names absolute: a restart may
    come after the app has changed its folder."""
    for key in TOKENS:
        if not is_set(settings[key]):
            settings[key] = None
    tokens = [key for key in TOKENS if settings[key] is not None]
    if not tokens:
        raise ConfigError("dropbox.RefreshToken", "it is not set, nor is another token", f"To log in, {LOGIN}.")
    if settings["RefreshToken"] is not None and settings["RefreshTokenFile"] is not None:
        remedy = "Set RefreshToken = None, or RefreshTokenFile = None."
        raise ConfigError("dropbox.RefreshTokenFile", "RefreshToken is set too", remedy)
    for key in ("AppKey", "RefreshToken", "AccessToken"):
        value = settings[key]
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise ConfigError(f"dropbox.{key}", "it holds a space or a sign that no key or token has", "Copy it once more.")
    if not settings["AppKey"] and tokens[0] != "AccessToken":
        raise ConfigError("dropbox.AppKey", f"it is not set, and {tokens[0]} needs it", f"To log in, {LOGIN}.")
    parts = settings["HostPath"].split("/")
    if "\\" in settings["HostPath"] or ".." in parts or "." in parts:
        remedy = "Name the folder as Dropbox shows it, such as 'incoming/station7'."
        raise ConfigError("dropbox.HostPath", f"{settings['HostPath']!r} is not a folder in Dropbox", remedy)
    _check_proxy(settings["Proxy"])
    for key in ("RefreshTokenFile", "CAFile"):
        if settings[key] is None:
            continue
        settings[key] = os.path.abspath(os.path.expanduser(settings[key]))
        if not os.path.isfile(settings[key]):
            log_in = f"Run: python -m pysubtask.dropbox --login --store {settings[key]}"
            remedy = "Set CAFile = None." if key == "CAFile" else log_in
            raise ConfigError(f"dropbox.{key}", f"there is no file {settings[key]}", remedy)


def _check_proxy(proxy: str | None) -> None:
    if not proxy:
        return
    scheme, _, rest = proxy.partition("://")
    place = rest.rpartition("@")[2].removesuffix("/")
    host, _, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not host:
        host, port = port, ""
    numbered = not port or (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)
    plain = proxy.isprintable() and not any(sign in "/ " for sign in place)
    if scheme not in ("http", "https") or not host or not numbered or not plain:
        remedy = "Give it as 'http://host:port' or 'http://user:password@host:port', '' for none, None for the environment's."
        raise ConfigError("dropbox.Proxy", f"{masked_value('Proxy', proxy)!r} is not the URL of an HTTP proxy", remedy)
