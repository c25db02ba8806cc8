"""Secrets for a config: from systemd's credentials or from files that nobody else may read. Never shown.

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


def credential(environ: Mapping[str, str], task: str, section: str, key: str) -> str | None:
    """The path of a credential, None where the system has given none of this name."""
    folder = environ.get(DIRECTORY)
    path = os.path.join(folder, f"{task}.{section}.{key}") if folder else ""
    return path if path and os.path.isfile(path) else None


def file_key(row: Setting) -> str:
    """The key that names a file with this secret in it: ``PasswordFile``."""
    return f"{row.key}File"


def read_secret(key: str, path: str, *, guarded: bool = True) -> str:
    """The first line of a file. ConfigError where it cannot be read, is empty, or (``guarded``) others may read it.

    Who may read a credential is the system's affair.
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
    """ConfigError where others than the owner may read a file, or it is another user's."""
    check_owner(key, path, found)
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        problem = f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o})"
        raise ConfigError(key, problem, f"Run: {keep_private(path)}")
