"""How the server was authenticated by its host key or certificate, or why it was not, and which setting authenticates it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...common import advice
from ...common.clock import blame
from ...transports.shared.reach import PORTAL
from .certificate import Certificate
from .finding import NOTE, Finding, fail, ok, warn
from .prepare import Endpoint
from .remote_ftp import FTPRemote
from .remote_sftp import SFTPRemote


def of_host_key(reason: str, host_keys: list[str], place: Endpoint, *, named: bool) -> Finding:
    """The finding for the ``reason`` that ssh gave, and for the ``host_keys`` of the server. ``named``: whether the settings
    name a known_hosts file."""
    pin = [("HostKey", key.split()[1]) for key in host_keys[:1]]
    keys = f"the server shows {' and '.join(host_keys)}" if host_keys else "the server's key could not be asked for"
    port = place.port
    name = place.host if port == 22 else f"[{place.host}]:{port}"
    check = f"Ask who runs the server whether that is its key ('{advice.show_server_key()}' there shows it); "
    if "not the pinned" in reason:
        return fail(
            "host key",
            "host-key-not-pinned",
            f"the server is not the one whose HostKey is pinned: {keys}",
            *pin,
            words=f"{check}if so, pin it. If not, somebody sits in between.",
        )
    if "revoked" in reason:
        return fail("host key", "host-key-revoked", f"{reason}", words="Ask who runs the server for its new key.")
    if "another host key" in reason:
        files = [*place.known_hosts, None][0]
        return fail(
            "host key",
            "host-key-changed",
            f"the server's key is another one than known_hosts has: {keys}",
            *pin,
            commands=[advice.forget_host(name, files)],
            words=f"{check}if so, pin it, or remove the old one and log in once by hand. If not, somebody sits in between.",
        )
    file = place.known_hosts[0] if named else "~/.ssh/known_hosts"
    return fail(
        "host key",
        "host-key-unknown",
        f"the server is not in known_hosts: {keys}",
        *pin,
        commands=[advice.learn_host(place.host, port, file)],
        words=f"{check}if so, pin it.",
    )


def of_certificate(reason: str, certificate: Certificate, host: str, now: float) -> Finding:
    """The finding for the ``reason`` of the refused login, and for the server's ``certificate``. ``now``: seconds since the
    epoch."""
    pin = ("TLSFingerprint", certificate.fingerprint)
    names = ", ".join(certificate.names) or "nobody"
    sure = "Ask who runs the server whether that is its certificate; then pin it."
    if "not the pinned" in reason:
        return fail(
            "TLS",
            "certificate-not-pinned",
            f"the server shows another certificate than the pinned one (for {names})",
            pin,
            words=f"It was renewed, or somebody sits in between. {sure}",
        )
    if certificate.problem in ("expired", "early") and (wrong := blame(now)):
        return fail(
            "TLS",
            "clock-not-set",
            f"by this machine's clock the server's certificate is not valid ({certificate.words}): {wrong}, which cannot be right",
            commands=[advice.SET_CLOCK],
            words="Set the clock; nothing of the certificate is to be changed.",
        )
    if certificate.problem == "expired":
        return fail(
            "TLS",
            "certificate-expired",
            f"the server's certificate is out of date ({certificate.words})",
            pin,
            words=f"Have it renewed. Until then: {sure}",
        )
    if certificate.problem == "early":
        return fail(
            "TLS",
            "certificate-early",
            f"the server's certificate is not valid yet ({certificate.words})",
            commands=["date -u"],
            words="One of the two clocks is wrong; most often this machine's.",
        )
    if certificate.problem == "name":
        hosts = [("Host", name) for name in certificate.names if not name.startswith("*")][:1]
        return fail(
            "TLS",
            "certificate-name",
            f"the server's certificate is for {names}, and Host is {host}",
            *hosts,
            pin,
            words="Call the server by a name of its certificate where that leads to it. Else ask who runs the "
            "server whether "
            "that is its certificate, and pin it.",
        )
    return fail(
        "TLS",
        "certificate-untrusted",
        f"nobody this machine trusts vouches for the server's certificate ({certificate.words}; it is for {names})",
        pin,
        ("CAFile", "/path/of/its/authority.pem"),
        words=f"{sure} {PORTAL}.",
    )


async def of_login(remote: Any, settings: Mapping[str, Any], host: str) -> list[Finding]:
    """How the server was authenticated in a successful login."""
    if isinstance(remote, SFTPRemote):
        how = "the pinned HostKey" if settings.get("HostKey") else "known_hosts"
        if settings.get("HostKeyPolicy") == "accept-new" and not settings.get("HostKey"):
            how += " (HostKeyPolicy is accept-new: what was never seen before is taken)"
        return [ok("host key", f"as in {how}")]
    if not isinstance(remote, FTPRemote):
        return []
    if not settings.get("UseTLS"):
        if await remote.offers_tls():
            return [
                warn(
                    "TLS",
                    "no-tls",
                    "the server offers it and it is not used: password and data travel in the clear",
                    ("UseTLS", "explicit"),
                )
            ]
        return [Finding("TLS", NOTE, "the server offers none: password and data travel in the clear")]
    if settings.get("TLSFingerprint"):
        return [ok("TLS", "the certificate is the pinned one")]
    fields = await remote.certificate()
    until = str(fields.get("notAfter", ""))
    days = _days_left(until)
    if days is not None and days < 7:
        return [
            warn(
                "TLS",
                "certificate-ends-soon",
                f"the certificate is good, but only until {until}",
                words="Have it renewed in time: uploads stop when it ends.",
            )
        ]
    return [ok("TLS", f"the certificate is good and for {host}, until {until}")]


def _days_left(until: str) -> float | None:
    import ssl

    try:
        return (ssl.cert_time_to_seconds(until) - time.time()) / 86400
    except ValueError:
        return None
