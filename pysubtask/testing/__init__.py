"""Real loopback servers and a link that breaks on demand, for our tests and for our users'.

``Relay`` breaks the way to any server, ``FTPRelay`` that to an FTP server with its data connections.
``sftp_server`` and ``ftp_server`` are whole servers with faults of their own (extra ``testing``),
``vsftpd_server`` is the real thing, where it is installed. ``dropbox_server`` is a stand-in for Dropbox. ``hostile_ftp_server`` and
the module ``hostile_sftp`` are servers that mean harm.
As pytest fixtures: ``pytest_plugins = ["pysubtask.testing.pytest_plugin"]``.
Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._wire import Connection as Connection
    from .dropbox import DropboxServer as DropboxServer
    from .dropbox import dropbox_server as dropbox_server
    from .ftp import FTPServer as FTPServer
    from .ftp import ftp_server as ftp_server
    from .ftp_relay import FTPRelay as FTPRelay
    from .hostile_ftp import HostileFTP as HostileFTP
    from .hostile_ftp import hostile_ftp_server as hostile_ftp_server
    from .relay import Relay as Relay
    from .sftp import SFTPServer as SFTPServer
    from .sftp import sftp_server as sftp_server
    from .vsftpd import VsftpdServer as VsftpdServer
    from .vsftpd import vsftpd_server as vsftpd_server

_NAMES = {
    "Connection": "_wire", "DropboxServer": "dropbox", "FTPRelay": "ftp_relay", "FTPServer": "ftp", "HostileFTP": "hostile_ftp",
    "Relay": "relay", "SFTPServer": "sftp", "VsftpdServer": "vsftpd", "dropbox_server": "dropbox", "ftp_server": "ftp",
    "hostile_ftp_server": "hostile_ftp", "sftp_server": "sftp", "vsftpd_server": "vsftpd",
}

__all__ = [
    "Connection", "DropboxServer", "FTPRelay", "FTPServer", "HostileFTP", "Relay", "SFTPServer", "VsftpdServer", "dropbox_server",
    "ftp_server", "hostile_ftp_server", "sftp_server", "vsftpd_server",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
