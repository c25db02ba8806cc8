"""The settings of a transport that logs in to a server of this folder."""

from __future__ import annotations

from typing import Any

from ._certificate import Certificate


def login_settings(host: str, port: int, user: str, folder: str = "") -> dict[str, Any]:
    """What every transport needs: where the server is, who logs in, the folder of the destination, and time limits that leave room
    for a slow machine."""
    return {
        "Host": host,
        "HostPort": port,
        "User": user,
        "HostPath": folder,
        "ConnectTimeoutSecs": 20,
        "StallSecs": 30,
        "Concurrency": 32,
    }


def ftp_settings(
    host: str, port: int, user: str, password: str, *, tls: str | None, certificate: Certificate | None, folder: str = ""
) -> dict[str, Any]:
    """Settings of an FTPTransport that logs in by password and verifies the certificate, if the server has one. ``tls``: the
    setting ``UseTLS``."""
    return {
        **login_settings(host, port, user, folder),
        "UseSFTP": False,
        "Password": password,
        "HostFTPPath": None,
        "UseTLS": tls,
        "TLSFingerprint": None,
        "PassiveMode": True,
        "CAFile": str(certificate.file) if certificate else None,
        "Connections": 4,
        "StoreInPlace": False,
    }
