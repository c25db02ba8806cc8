"""Real loopback servers and a link that breaks on demand, for our tests and for our users'.

``Relay`` breaks the way to any server. ``sftp_server`` is a whole SFTP server with faults of its own
(extra ``testing``). As pytest fixtures: ``pytest_plugins = ["pysubtask.testing.pytest_plugin"]``.
Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._wire import Connection as Connection
    from .relay import Relay as Relay
    from .sftp import SFTPServer as SFTPServer
    from .sftp import sftp_server as sftp_server

_NAMES = {"Relay": "relay", "Connection": "_wire", "SFTPServer": "sftp", "sftp_server": "sftp"}

__all__ = ["Connection", "Relay", "SFTPServer", "sftp_server"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
