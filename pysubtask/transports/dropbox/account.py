"""The account at Dropbox: the settings of the login, and the SDK's client built from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...common import secret_file
from ...common.advice import keep_private
from ...common.errors import ConfigError
from ...common.redact import know
from ...common.secret_file import NotPrivate
from .http_session import HttpSession


def folder_of(settings: Mapping[str, Any]) -> str:
    """``HostPath`` as Dropbox writes folders: '' or '/a/b'."""
    parts = [part for part in settings["HostPath"].split("/") if part]
    return "".join(f"/{part}" for part in parts)


def identity(settings: Mapping[str, Any]) -> str:
    """The destination as a URL without secrets. The account itself is not known before a login."""
    return f"dropbox://{settings['AppKey'] or 'token'}{folder_of(settings)}/"


def refresh_token(settings: Mapping[str, Any]) -> str | None:
    """The token from ``RefreshToken`` or ``RefreshTokenFile``, None for none. Raises ConfigError where the file cannot be read,
    or where other users can read it."""
    path = settings["RefreshTokenFile"]
    if path is None:
        return settings["RefreshToken"] or None
    key, path = "dropbox.RefreshTokenFile", os.path.expanduser(path)
    try:
        token = secret_file.read(path).strip()
    except NotPrivate as exc:
        if exc.is_foreign:
            raise ConfigError(key, f"{path} belongs to another user", "Keep the token in a file of your own.") from exc
        raise ConfigError(key, f"others may read {path}", f"Run: {keep_private(path)}") from exc
    except OSError as exc:
        raise ConfigError(key, f"{path}: {exc.strerror}", "Run: python -m pysubtask.dropbox --login --store FILE") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(key, f"{path} holds no token", "Run: python -m pysubtask.dropbox --login --store FILE") from exc
    if not token or token.split() != [token]:
        raise ConfigError(key, f"{path} holds no token", "Run: python -m pysubtask.dropbox --login --store FILE")
    know([token])
    return token


def log_in(settings: Mapping[str, Any], http: HttpSession) -> Any:
    """The SDK's client, logged in. Blocks. The SDK's own retries are off: the queue decides when to try again."""
    import dropbox

    client = dropbox.Dropbox(
        oauth2_access_token=settings["AccessToken"],
        oauth2_refresh_token=refresh_token(settings),
        app_key=settings["AppKey"] or None,
        max_retries_on_error=0,
        max_retries_on_rate_limit=0,
        user_agent="pysubtask",
        session=http.session,
        timeout=settings["StallSecs"],
    )
    client.users_get_current_account()
    return client
