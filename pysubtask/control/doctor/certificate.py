"""The certificate that a server presents, and its defect. The doctor inspects a certificate only after a handshake was refused."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from typing import Any, NamedTuple

from .network import Address

_EXPIRED, _NOT_YET, _HOST, _ADDRESS = 10, 9, 62, 64  # X509_V_ERR_... of OpenSSL


class Certificate(NamedTuple):
    """``fingerprint``: SHA-256 in hexadecimal digits; ``names``: the hosts and addresses that the certificate is for;
    ``until``: its last day as it states it; ``problem``: "name", "expired", "early", "untrusted" or "" where it is accepted;
    ``words``: OpenSSL's sentence about the problem."""

    fingerprint: str
    names: tuple[str, ...] = ()
    until: str = ""
    problem: str = ""
    words: str = ""


def inspect(address: Address, host: str, starttls: bool, ca_file: str | None, secs: float) -> Certificate:
    """Blocks for up to three handshakes, without a login; ``secs``: the limit of each operation of a socket. Raises OSError
    where the connection fails, and ssl.SSLError (an OSError, too) where the server does not speak TLS."""
    naive = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    naive.check_hostname, naive.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # the first handshake only reads the certificate; no secret is sent over it
    der, _ = _handshake(address, host, starttls, naive, secs)
    seen = Certificate(hashlib.sha256(der).hexdigest().upper())
    try:
        strict = ssl.create_default_context(cafile=ca_file)
        _, fields = _handshake(address, host, starttls, strict, secs)
        return _with_names(seen, fields)
    except ssl.SSLCertVerificationError as exc:
        code, words = exc.verify_code, exc.verify_message
    # getpeercert() returns the fields of a trusted certificate only, so this certificate becomes its own authority here.
    try:
        itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        itself.check_hostname = False
        itself.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        itself.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        _, fields = _handshake(address, host, starttls, itself, secs)
        seen = _with_names(seen, fields)
    except ssl.SSLCertVerificationError as exc:
        # An expired or future certificate is invalid under every authority, so the date is reported before the authority.
        code, words = (exc.verify_code, exc.verify_message) if exc.verify_code in (_EXPIRED, _NOT_YET) else (code, words)
    problem = {_EXPIRED: "expired", _NOT_YET: "early", _HOST: "name", _ADDRESS: "name"}.get(code, "untrusted")
    return seen._replace(problem=problem, words=words)


def _handshake(address: Address, host: str, starttls: bool, context: ssl.SSLContext, secs: float) -> tuple[bytes, dict[str, Any]]:
    with socket.socket(address[0], socket.SOCK_STREAM) as sock:
        sock.settimeout(secs)
        sock.connect(address[1])
        if starttls:
            _reply(sock)
            sock.sendall(b"AUTH TLS\r\n")
            _reply(sock)
        with context.wrap_socket(sock, server_hostname=host) as wrapped:
            return wrapped.getpeercert(binary_form=True) or b"", dict(wrapped.getpeercert() or {})


def _reply(sock: socket.socket) -> None:
    """Read one reply of an FTP server, of one or more lines (RFC 959, section 4.2). The reply's code is ignored: the handshake
    shows whether the server took AUTH TLS. Raises ConnectionError."""
    heard = b""
    while not re.search(rb"^\d{3} [^\n]*\n", heard, re.MULTILINE):
        block = sock.recv(1024)
        if not block or len(heard) > 65536:
            raise ConnectionError("the server hung up before TLS")
        heard += block


def _with_names(seen: Certificate, fields: dict[str, Any]) -> Certificate:
    names = tuple(str(value) for kind, value in fields.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    if not names:
        names = tuple(str(value) for row in fields.get("subject", ()) for key, value in row if key == "commonName")
    return seen._replace(names=names, until=str(fields.get("notAfter", "")))
