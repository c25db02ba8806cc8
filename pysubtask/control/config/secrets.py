"""Secrets for a config, from systemd's credentials or from files that nobody else may read. No secret appears in a message.

A credential (systemd.exec(5), LoadCredential=) is called ``<task>.<section>.<key>``, as ``roof.ftp.Password``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...common import effective_user, secret_file
from ...common.advice import keep_private
from ...common.config import Setting
from ...common.errors import ConfigError
from ...common.secret_file import NotPrivate
from ...common.trust import user_name

DIRECTORY = "CREDENTIALS_DIRECTORY"


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
        text = secret_file.first_line(secret_file.read(path, guarded=guarded, pipes=True))
    except NotPrivate as exc:
        raise _not_private(key, path, exc) from exc
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
    try:
        secret_file.check(found, pipes=True)
    except NotPrivate as exc:
        raise _not_private(key, path, exc) from exc


def _not_private(key: str, path: str, exc: NotPrivate) -> ConfigError:
    if exc.is_foreign:
        mine = f"Keep the secret in a file that belongs to {user_name(effective_user.now())}."
        return ConfigError(key, f"{path} belongs to another user ({user_name(exc.uid)})", mine)
    return ConfigError(key, f"{path} can be read by others (mode {exc.mode:04o})", f"Run: {keep_private(path)}")
