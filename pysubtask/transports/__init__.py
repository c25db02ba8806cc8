"""Which transports exist, by name. Nothing is loaded before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from ..common.advice import install
from ..common.errors import ConfigError
from .base import Transport

TRANSPORTS: dict[str, tuple[str, str]] = {
    "folder": ("pysubtask.transports.folder.transport:FolderTransport", ""),
    "sftp": ("pysubtask.transports.sftp:SFTPTransport", "asyncssh"),
    "ftp": ("pysubtask.transports.ftp:FTPTransport", ""),
    "pysftp": ("pysubtask.transports.pysftp:PySFTPTransport", "pysftp"),
    "dropbox": ("pysubtask.transports.dropbox.transport:DropboxTransport", "dropbox"),
}
"""name -> (module:class, the extra that installs what it may need)."""


def transport_class(name: str) -> type[Transport]:
    """The class of a transport; ConfigError where the name or its library is missing."""
    if name not in TRANSPORTS:
        raise ConfigError("transport", f"{name!r} is not known", f"Known here: {', '.join(sorted(TRANSPORTS))}.")
    path, extra = TRANSPORTS[name]
    module, _, attribute = path.partition(":")
    try:
        loaded = import_module(module)
    except ImportError as exc:
        raise ConfigError("transport", f"{name!r} needs {exc.name}", f"Run: {install(extra)}.") from exc
    return cast("type[Transport]", getattr(loaded, attribute))


def check_library(name: str) -> None:
    """ConfigError where the library that a transport depends on is not installed. Imports no library."""
    extra = TRANSPORTS[name][1]
    if name == extra and find_spec(extra) is None:
        raise ConfigError("transport", f"{name!r} needs {extra}", f"Run: {install(extra)}.")


def open_transport(name: str, settings: Mapping[str, Any], workdir: str) -> Transport:
    """A new transport, not yet connected. Raises what ``transport_class`` and the constructor raise (ConfigError)."""
    return transport_class(name)(settings, workdir)
