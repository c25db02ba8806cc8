"""What certificate a server shows, and what is wrong with it: looked at only after a handshake was refused."""

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
    """Blocks: up to three handshakes, no login. OSError, or ssl.SSLError where there is no TLS."""
    naive = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    naive.check_hostname, naive.verify_mode = False, ssl.CERT_NONE  # to see it at all; nothing secret goes over it
    der, _ = _handshake(address, host, starttls, naive, secs)
    seen = Certificate(hashlib.sha256(der).hexdigest().upper())
    try:
        strict = ssl.create_default_context(cafile=ca_file)
        _, fields = _handshake(address, host, starttls, strict, secs)
        return _with_names(seen, fields)
    except ssl.SSLCertVerificationError as exc:
        code, words = exc.verify_code, exc.verify_message
    # What it says of itself is told only of one that is trusted: it is made its own authority for that.
    try:
        itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        itself.check_hostname = False
        itself.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        itself.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        _, fields = _handshake(address, host, starttls, itself, secs)
        seen = _with_names(seen, fields)
    except ssl.SSLCertVerificationError as exc:
        # It is not valid today, whoever vouches for it: that comes first.
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
    """One reply of an FTP server, of any number of lines; what it says does not matter, TLS will tell."""
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
