"""TLS as RFC 4217 demands: who the server is."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import socket
import ssl
import time

from ...common.errors import ConfigError, ServerNotTrusted, TransportError, TransportLost
from ..shared.reach import PORTAL, not_valid_now, place
from .options import EXPLICIT, Login

_PROBE_SECS = 5.0  # for reading the certificate again, which only improves a message
_LONGEST_REPLY = 64 * 1024  # the most that is read in search of a reply's end


def context_of(login: Login) -> ssl.SSLContext | None:
    """The TLS context that all connections of a destination share; None without TLS. Raises ConfigError for a CAFile without
    certificates.

    Certificates are verified by the system's authorities or by ``CAFile``. A pinned fingerprint replaces both, as it says more:
    ``check_pin`` compares it after every handshake.
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
    """Raise ServerNotTrusted unless the peer's certificate is the pinned one, where one is pinned."""
    if login.fingerprint is None:
        return
    fingerprint = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest().upper()
    if not hmac.compare_digest(fingerprint, login.fingerprint):
        raise ServerNotTrusted(
            "certificate not the pinned one",
            f"the server's certificate has the fingerprint {fingerprint}, which is not the pinned ftp.TLSFingerprint, so nothing "
            "was sent",
            f"Ask who runs the server whether that is its certificate; if it is not, somebody sits in between. If it is, write "
            f'TLSFingerprint = "{fingerprint}"',
        )


def handshake_error(login: Login, exc: ssl.SSLError) -> TransportError:
    """The error for a failed handshake on the control connection."""
    if isinstance(exc, ssl.SSLCertVerificationError) and (early := not_valid_now(exc.verify_code, time.time())) is not None:
        return early
    if isinstance(exc, ssl.SSLCertVerificationError):
        fingerprint = ""
        with contextlib.suppress(OSError, ValueError):  # then the message has no fingerprint
            fingerprint = _fetch_fingerprint(login)
        start = "-starttls ftp " if login.tls == EXPLICIT else ""
        command = (
            f"openssl s_client {start}-connect {place(login.host, login.port)} </dev/null | "
            "openssl x509 -noout -fingerprint -sha256"
        )
        fingerprint_text = f"its fingerprint is {fingerprint}" if fingerprint else "its fingerprint was not told"
        return ServerNotTrusted(
            "certificate not trusted",
            f"the server's certificate is not accepted ({exc.verify_message}), so nothing was sent; {fingerprint_text}",
            f"Ask who runs the server whether that is its certificate ({command} shows it again); if it is not, somebody sits in "
            f'between. If it is, write TLSFingerprint = "{fingerprint or "..."}", or CAFile = "FILE" with the certificate of the '
            f"authority that signed it. {PORTAL}",
        )
    if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"):
        other_setting = "'explicit' (or None, for no TLS)" if login.tls != EXPLICIT else "None, for no TLS"
        return TransportLost(
            f"what answers at {place(login.host, login.port)} is not TLS",
            f"Set ftp.UseTLS to {other_setting}, or ftp.HostPort to another port",
        )
    return TransportLost(f"no TLS connection to {place(login.host, login.port)}: {exc.reason or exc}")


def _fetch_fingerprint(login: Login) -> str:
    """SHA-256 of the server's certificate, read over a connection of its own that carries no secret. Blocks. Raises OSError or
    ValueError where there is no certificate to read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((login.host, login.port), timeout=min(_PROBE_SECS, login.connect_secs)) as sock:
        if login.tls == EXPLICIT:
            _skip_reply(sock)
            sock.sendall(b"AUTH TLS\r\n")
            _skip_reply(sock)
        with context.wrap_socket(sock, server_hostname=login.host) as wrapped:
            return hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest().upper()


def _skip_reply(sock: socket.socket) -> None:
    """Read one reply, of any number of lines; its text does not matter, as the handshake follows."""
    data = b""
    while not re.search(rb"^\d{3} [^\n]*\n", data, re.MULTILINE):
        block = sock.recv(1024)
        if not block or len(data) > _LONGEST_REPLY:
            raise ConnectionError("the server hung up before TLS")
        data += block
