"""Certificates for servers on loopback: self-signed, as a NAS makes one for itself, or of a small authority."""

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


def make_certificate(
    folder: Path, name: str = "localhost", addresses: tuple[str, ...] = HOSTS, days: tuple[int, int] = (-1, 10)
) -> Certificate:
    """A new key and certificate in ``folder``, for a name and addresses; ``days``: from when until when it is good, from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    found = Certificate(
        folder / "cert.pem",
        folder / "key.pem",
        folder / "both.pem",
        hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper(),
    )
    found.file.write_bytes(certificate_pem)
    for path, words in ((found.key, secret), (found.whole, secret + certificate_pem)):
        path.touch(0o600)
        path.write_bytes(words)
    return found


def make_authority(folder: Path, names: tuple[str, ...]) -> Certificate:
    """A new authority in ``folder`` and a certificate of it for host names, good for ten days.

    ``file`` is the authority's certificate, the CA file of clients; ``key``, ``whole`` and ``fingerprint`` are the server's.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def build(
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=10))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def usage(ca: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not ca,
            key_cert_sign=ca,
            crl_sign=ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )

    ca_name = "pysubtask test authority"
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ca_name)])
    ca = build(ca_name, ca_key, issuer, ca_key, [(x509.BasicConstraints(ca=True, path_length=0), True), (usage(True), True)])
    certificate = build(
        names[0],
        key,
        issuer,
        ca_key,
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (usage(False), True),
            (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
        ],
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    found = Certificate(
        folder / "ca.pem",
        folder / "key.pem",
        folder / "both.pem",
        hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper(),
    )
    found.file.write_bytes(ca.public_bytes(pem))
    for path, words in ((found.key, secret), (found.whole, secret + certificate.public_bytes(pem))):
        path.touch(0o600)
        path.write_bytes(words)
    return found
