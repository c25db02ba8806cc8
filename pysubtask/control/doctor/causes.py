"""From the error of a login to the cause and the remedy. Pure.

The functions search the error's text for the words of pysubtask's own transports (which quote the server) and of common
servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...common import advice
from ...common.errors import ConfigError, LoginRefused, TransportError, TransportLost
from ...transports.shared.standstill import MTU, PROBE
from .finding import Finding, fail
from .ssh_causes import LOCKED, SLOW, of_ssh

_CROWD_OF_CONNECTIONS = re.compile(
    r"too many.{0,40}connect|connections?.{0,40}(?:limit|maximum|too many)|"
    r"kex_exchange_identification",
    re.IGNORECASE,
)
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
        return of_ssh(reason, exc, settings, missing_key, named, public, rsa)
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
    if isinstance(exc, LoginRefused) and LOCKED.search(reason):
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
            words=f"It is overloaded or hangs: have it restarted. {SLOW}",
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
