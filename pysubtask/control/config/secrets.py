"""Secrets for a config, from systemd's credentials or from files that nobody else may read. No secret appears in a message.

A credential (systemd.exec(5), LoadCredential=) is called ``<task>.<section>.<key>``, as ``roof.ftp.Password``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from ...common.advice import keep_private
from ...common.config import Setting
from ...common.errors import ConfigError
from .obeyed import check_owner

DIRECTORY = "CREDENTIALS_DIRECTORY"
_LONGEST = 64 * 1024
"""Bytes that are read of a secret file: more than any key or token has, and bounded for a path such as /dev/zero."""


def credential(environ: Mapping[str, str], task: str, section: str, key: str) -> str | None:
    """The path of the credential for this setting, None where systemd has passed none."""
    folder = environ.get(DIRECTORY)
    path = os.path.join(folder, f"{task}.{section}.{key}") if folder else ""
    return path if path and os.path.isfile(path) else None


def file_key(row: Setting) -> str:
    """The key that names a file with this secret: ``PasswordFile`` for ``Password``."""
    return f"{row.key}File"


def read_secret(key: str, path: str, *, guarded: bool = True) -> str:
    """The first line of a file. ConfigError where it cannot be read, is empty, or (``guarded``) others may read it. Credentials are
    read unguarded: systemd sets their owner and mode. ``key``: the setting that names the file, for errors.
    """
    try:
        with open(path, "rb") as file:
            if guarded:
                check_private(key, path, os.fstat(file.fileno()))
            text = file.read(_LONGEST).decode("utf-8").partition("\n")[0].strip("\r")
    except UnicodeDecodeError:
        raise ConfigError(key, f"{path} is no text", "Put the secret into its first line.") from None
    except OSError as exc:
        remedy = f"Make that file with the secret in its first line, and run: {keep_private(path)}"
        raise ConfigError(key, f"{path} cannot be read ({exc.strerror})", remedy) from exc
    if not text:
        raise ConfigError(key, f"{path} is empty", "Put the secret into its first line.")
    return text


def check_private(key: str, path: str, found: os.stat_result) -> None:
    """ConfigError where a file belongs to another user or others than its owner may read it. ``found``: fstat of the opened
    file."""
    check_owner(key, path, found)
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        problem = f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o})"
        raise ConfigError(key, problem, f"Run: {keep_private(path)}")
