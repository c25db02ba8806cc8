"""The settings of a destination, checked before anything is started: those of S/FTP, and those of Dropbox."""

import os
from collections.abc import Mapping
from typing import Any

from ..common.config import masked_value
from ..common.problem import Problems, Text, spelt

TOKENS = ("RefreshToken", "RefreshTokenFile", "AccessToken")
"""The settings of Dropbox that log in."""
LOGIN = "set what 'python -m pysubtask.dropbox --login' prints"


def check_ftp(settings: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Add a problem for each setting by which no server can be reached, or which contradicts another one. ``given``: what the
    config sets."""
    # Of a URL that cannot be read, the protocol is not known either.
    known = not problems.doubts("ftp", "UseSFTP") and ("UseSFTP" in given or not problems.doubts("ftp", "Host"))
    if not problems.doubts("ftp", "Host"):
        _check_host(settings["Host"], problems)
    user = settings["User"]
    if user.startswith("-") or not user.isprintable():
        problems.add("ftp.User", (spelt(user), " is not a login name"), "Give the login name, or leave it empty.", user)
    if known:
        _check_protocol(settings, problems)
    if settings["HostPort"] == 0:
        remedy = "Give a number from 1 to 65535, or -1 for the protocol's own."
        problems.add("ftp.HostPort", "0 is not a port", remedy, 0)
    if any("\\" in (settings[key] or "") for key in ("HostPath", "HostSFTPPath", "HostFTPPath")):
        from ..common.address import check_paths

        check_paths(settings, problems)


def _check_host(host: str, problems: Problems) -> None:
    if not host:
        problems.add("ftp.Host", "it is not set", "Give the server's name or address.")
    # A host that begins with a dash would be an option of the ssh program.
    elif host.startswith("-") or any(sign in "/@" or sign.isspace() or not sign.isprintable() for sign in host):
        remedy = "Give the name or address alone (the login name is ftp.User), or a URL such as 'sftp://user@host/folder'."
        problems.add("ftp.Host", (spelt(host), " is not the name of a server"), remedy, host)


def _check_protocol(settings: Mapping[str, Any], problems: Problems) -> None:
    """Settings of the other protocol are problems: they show a misunderstanding about how safe this one is."""
    if settings["UseSFTP"]:
        for key in ("UseTLS", "CAFile", "TLSFingerprint"):
            if settings[key] is not None:
                problem = ("it is for FTPS, and UseSFTP is ", spelt(True), "; SFTP is encrypted by itself")
                remedy = (f"Set {key} = ", spelt(None), ", or UseSFTP = ", spelt(False), " for an FTPS server.")
                problems.add(("ftp", key), problem, remedy, settings[key])
        _check_library(settings, problems)
        return
    if settings["SFTPLibrary"] is not None:
        remedy = ("Set SFTPLibrary = ", spelt(None), ", or UseSFTP = ", spelt(True), ".")
        problems.add("ftp.SFTPLibrary", ("it is for SFTP, and UseSFTP is ", spelt(False)), remedy, settings["SFTPLibrary"])
    for key in ("KeyFile", "HostKey", "KnownHostsFile"):
        if settings[key] is not None:
            other = " (FTP has User and Password, FTPS also TLSFingerprint or CAFile), or UseSFTP = "
            remedy = (f"Set {key} = ", spelt(None), other, spelt(True), ".")
            problems.add(("ftp", key), ("it is for SFTP, and UseSFTP is ", spelt(False)), remedy, settings[key])
    for key in ("CAFile", "TLSFingerprint"):
        if settings[key] is not None and settings["UseTLS"] is None and not problems.doubts("ftp", "UseTLS"):
            explicit = "Set UseTLS = 'explicit' or UseTLS = 'implicit'."
            problems.add(("ftp", key), ("it is for FTPS, and UseTLS is ", spelt(None)), explicit, settings[key])


def _check_library(settings: Mapping[str, Any], problems: Problems) -> None:
    library = settings["SFTPLibrary"]
    if library is None:
        return
    if settings["StoreInPlace"]:
        remedy: Text = ("Set StoreInPlace = ", spelt(False), ", or SFTPLibrary = ", spelt(None), ".")
        problems.add("ftp.StoreInPlace", f"{library} does not know it", remedy, True)
    if (settings["SSHConfigFile"] or "none").lower() != "none":
        remedy = ("Set SFTPLibrary = ", spelt(None), ", or SSHConfigFile = ", spelt(None), ".")
        problems.add("ftp.SSHConfigFile", f"{library} does not read it", remedy, settings["SSHConfigFile"])


def is_set(token: str | None) -> bool:
    """Whether a token, or the name of its file, is one: version 1 had asterisks as its default."""
    return bool(token and token.strip("*"))


def check_dropbox(settings: dict[str, Any], problems: Problems) -> None:
    """The same for Dropbox. Also makes what is not set None, and file names absolute: a restart may come after the app has changed
    its folder."""
    for key in TOKENS:
        if not is_set(settings[key]):
            settings[key] = None
    _check_tokens(settings, problems)
    parts = settings["HostPath"].split("/")
    if "\\" in settings["HostPath"] or ".." in parts or "." in parts:
        remedy = "Name the folder as Dropbox shows it, such as 'incoming/station7'."
        problems.add("dropbox.HostPath", (spelt(settings["HostPath"]), " is not a folder in Dropbox"), remedy, settings["HostPath"])
    _check_proxy(settings["Proxy"], problems)
    for key in ("RefreshTokenFile", "CAFile"):
        if settings[key] is None:
            continue
        settings[key] = os.path.abspath(os.path.expanduser(settings[key]))
        if not os.path.isfile(settings[key]):
            log_in = f"Run: python -m pysubtask.dropbox --login --store {settings[key]}"
            unset = ("Set CAFile = ", spelt(None), ".")
            problems.add(("dropbox", key), f"there is no file {settings[key]}", unset if key == "CAFile" else log_in)


def _check_tokens(settings: Mapping[str, Any], problems: Problems) -> None:
    tokens = [key for key in TOKENS if settings[key] is not None]
    if not tokens and not any(problems.doubts("dropbox", key) for key in TOKENS):
        problems.add("dropbox.RefreshToken", "it is not set, nor is another token", f"To log in, {LOGIN}.")
    if settings["RefreshToken"] is not None and settings["RefreshTokenFile"] is not None:
        remedy = ("Set RefreshToken = ", spelt(None), ", or RefreshTokenFile = ", spelt(None), ".")
        problems.add("dropbox.RefreshTokenFile", "RefreshToken is set too", remedy)
    for key in ("AppKey", "RefreshToken", "AccessToken"):
        value = settings[key]
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            problems.add(("dropbox", key), "it holds a space or a sign that no key or token has", "Copy it once more.")
    needing = [key for key in tokens if key != "AccessToken"]
    if not settings["AppKey"] and needing and not any(problems.doubts("dropbox", key) for key in ("AppKey", needing[0])):
        problems.add("dropbox.AppKey", f"it is not set, and {needing[0]} needs it", f"To log in, {LOGIN}.")


def _check_proxy(proxy: str | None, problems: Problems) -> None:
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
        forms = "Give it as 'http://host:port' or 'http://user:password@host:port', '' for none, "
        safe = masked_value("Proxy", proxy)
        given = spelt(proxy) if safe == proxy else repr(safe)
        remedy = (forms, spelt(None), " for the environment's.")
        problems.add("dropbox.Proxy", (given, " is not the URL of an HTTP proxy"), remedy, safe)
