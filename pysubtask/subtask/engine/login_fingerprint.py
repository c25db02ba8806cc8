"""A few bits that change with the login settings, so that a refused login is tried again when they do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from ..spool.spool_thread import SpoolThread

_LOGIN_KEYS = (
    "User",
    "Password",
    "SFTPLibrary",
    "KeyFile",
    "HostKey",
    "HostKeyPolicy",
    "KnownHostsFile",
    "SSHProgram",
    "SSHConfigFile",
    "UseTLS",
    "CAFile",
    "TLSFingerprint",
    "AppKey",
    "RefreshToken",
    "RefreshTokenFile",
    "AccessToken",
    "Proxy",
)
_SALT = "salt"


def login_fingerprint(spool_thread: SpoolThread, settings: Mapping[str, Any]) -> str:
    """The fingerprint: too few bits to guess a password from."""
    salt = spool_thread.run(spool_thread.spool.meta.get, _SALT)
    if salt is None:
        salt = os.urandom(16).hex()
        spool_thread.run(spool_thread.spool.meta.set, _SALT, salt)
    text = repr([settings.get(key) for key in _LOGIN_KEYS])
    return hashlib.sha256((salt + text).encode("utf-8", "surrogateescape")).hexdigest()[:4]
