"""TLS as RFC 4217 wants it: who the server is, and the session that its data connections go on with."""

from __future__ import annotations

import hashlib
import hmac
import ssl

from ...common.errors import ConfigError, LoginRefused, TransportError, TransportLost
from .options import EXPLICIT, Login


def context_of(login: Login) -> ssl.SSLContext | None:
    """What all connections of a destination share; None without TLS. ConfigError for a CAFile that is none.

    Certificates are verified, by the system's authorities or by ``CAFile``. A pinned fingerprint says
    more than they could, so it stands in their place: it is compared in ``check_pin`` after every handshake.
    """
    if not login.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if login.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if login.ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=login.ca_file)
    except (OSError, ssl.SSLError) as exc:
        why = exc.strerror or "no certificate in it"
        raise ConfigError("ftp.CAFile", f"{login.ca_file!r} cannot be used: {why}", "Name a file of PEM certificates.") from exc
    return context


def check_pin(login: Login, sock: ssl.SSLSocket) -> None:
    """LoginRefused unless the certificate at the other end is the pinned one (where one is pinned)."""
    if login.fingerprint is None:
        return
    shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest().upper()
    if not hmac.compare_digest(shown, login.fingerprint):
        raise LoginRefused(f"the server's certificate has the fingerprint {shown}, which is not the pinned ftp.TLSFingerprint. "
                           "If that certificate is really the server's, set it to that; else somebody may sit in between")


def handshake_error(login: Login, exc: ssl.SSLError) -> TransportError:
    """What a failed handshake on the control connection means."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        start = "-starttls ftp " if login.tls == EXPLICIT else ""
        look = (f"openssl s_client {start}-connect {login.host}:{login.port} </dev/null | "
                "openssl x509 -noout -fingerprint -sha256")
        return LoginRefused(f"the server's certificate is not accepted: {exc.verify_message}. If it is really the server's, set "
                            f"ftp.TLSFingerprint to what shows here: {look} ; or ftp.CAFile to the authority that signed it")
    if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"):
        wanted = "'explicit' (or None, for no TLS)" if login.tls != EXPLICIT else "None, for no TLS"
        return TransportLost(f"what answers there is not TLS: set ftp.UseTLS to {wanted}, or ftp.HostPort to another port")
    return TransportLost(f"no TLS connection: {exc.reason or exc}")
