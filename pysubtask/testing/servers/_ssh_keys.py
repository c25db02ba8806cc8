"""Keys of logins and of servers, made by OpenSSH's programs, and the settings and files that name them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_PLACES = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/sbin",
    "/usr/lib/openssh",
    "/usr/libexec/openssh",
    "/usr/libexec",
    "/usr/lib/ssh",
    "/usr/libexec/sftp-server",
)


def find_program(name: str) -> str | None:
    """The path of a program of OpenSSH; None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_PLACES))


def login_by_key(key_file: Path, known_hosts: Path) -> dict[str, Any]:
    """Settings of an SFTP login with this key, to a server whose host key is in that file; no user's ssh configuration."""
    return {
        "KeyFile": str(key_file),
        "HostSFTPPath": None,
        "Password": None,
        "HostKey": None,
        "HostKeyPolicy": "strict",
        "KnownHostsFile": str(known_hosts),
        "SSHProgram": "ssh",
        "SSHConfigFile": "none",
        "KeepAliveSecs": 15,
        "KeepAliveCount": 3,
    }


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    """Create a key pair at ``path`` and ``path``.pub; an existing one stays."""
    if path.exists():
        return
    program = find_program("ssh-keygen")
    assert program is not None
    subprocess.run(
        [program, "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )


def fingerprint(public_key: Path) -> str:
    """``SHA256:...`` of a public key file."""
    program = find_program("ssh-keygen")
    assert program is not None
    completed = subprocess.run(
        [program, "-lf", str(public_key)], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return completed.stdout.split()[1]


def write_known_hosts(path: Path, host: str, port: int, *public_keys: Path) -> None:
    """Write a known_hosts file with the keys of one server, from their public key files."""
    kept = [public_key.read_text().split()[:2] for public_key in public_keys]
    path.write_text("".join(f"[{host}]:{port} {kind} {key}\n" for kind, key in kept))
