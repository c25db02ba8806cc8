"""A self-signed certificate for a server on loopback, as a NAS makes one for itself."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from pathlib import Path
from typing import NamedTuple

HOSTS = ("127.0.0.1", "127.0.0.2", "::1")


class Certificate(NamedTuple):
    """``file``: the certificate, which is its own CA file. ``key``: its private key. ``whole``: both in one file.
    ``fingerprint``: SHA-256 of it, in hexadecimal digits."""

    file: Path
    key: Path
    whole: Path
    fingerprint: str


def make_certificate(folder: Path, name: str = "localhost", addresses: tuple[str, ...] = HOSTS) -> Certificate:
    """A new key and certificate in ``folder``, for a name and addresses, good for ten days."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.mkdir(parents=True, exist_ok=True)
    found = Certificate(folder / "cert.pem", folder / "key.pem", folder / "both.pem",
                        hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest().upper())
    found.file.write_bytes(shown)
    for path, words in ((found.key, secret), (found.whole, secret + shown)):
        path.touch(0o600)
        path.write_bytes(words)
    return found
