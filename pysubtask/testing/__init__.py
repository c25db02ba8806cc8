"""Real loopback servers and a link that breaks on demand, for our tests and for our users'.

``Relay`` breaks the way to any server, ``FTPRelay`` that to an FTP server with its data connections.
``sftp_server`` and ``ftp_server`` are whole servers with faults of their own (extra ``testing``),
``quirk_sftp_server`` and ``quirk_ftp_server`` are those with everything that servers refuse, limit or do otherwise as a switch.
``vsftpd_server``, ``proftpd_server``, ``pureftpd_server`` and ``rclone_server`` are the real things, where they are installed or
``PYSUBTASK_SERVERS`` names a folder with them (``.ci/servers``).
``dropbox_server`` is a stand-in for Dropbox. ``hostile_ftp_server`` and
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
    from .proftpd import ProFTPDServer as ProFTPDServer
    from .proftpd import proftpd_server as proftpd_server
    from .pureftpd import PureFTPdServer as PureFTPdServer
    from .pureftpd import pureftpd_server as pureftpd_server
    from .quirk_ftp import QuirkFTPServer as QuirkFTPServer
    from .quirk_ftp import quirk_ftp_server as quirk_ftp_server
    from .quirk_sftp import QuirkSFTPServer as QuirkSFTPServer
    from .quirk_sftp import quirk_sftp_server as quirk_sftp_server
    from .quirks import Quirks as Quirks
    from .rclone import RcloneServer as RcloneServer
    from .rclone import rclone_server as rclone_server
    from .relay import Relay as Relay
    from .sftp import SFTPServer as SFTPServer
    from .sftp import sftp_server as sftp_server
    from .vsftpd import VsftpdServer as VsftpdServer
    from .vsftpd import vsftpd_server as vsftpd_server

_NAMES = {
    "Connection": "_wire",
    "DropboxServer": "dropbox",
    "FTPRelay": "ftp_relay",
    "FTPServer": "ftp",
    "HostileFTP": "hostile_ftp",
    "ProFTPDServer": "proftpd",
    "PureFTPdServer": "pureftpd",
    "QuirkFTPServer": "quirk_ftp",
    "QuirkSFTPServer": "quirk_sftp",
    "Quirks": "quirks",
    "RcloneServer": "rclone",
    "Relay": "relay",
    "SFTPServer": "sftp",
    "VsftpdServer": "vsftpd",
    "dropbox_server": "dropbox",
    "ftp_server": "ftp",
    "hostile_ftp_server": "hostile_ftp",
    "proftpd_server": "proftpd",
    "pureftpd_server": "pureftpd",
    "quirk_ftp_server": "quirk_ftp",
    "quirk_sftp_server": "quirk_sftp",
    "rclone_server": "rclone",
    "sftp_server": "sftp",
    "vsftpd_server": "vsftpd",
}

__all__ = [
    "Connection",
    "DropboxServer",
    "FTPRelay",
    "FTPServer",
    "HostileFTP",
    "ProFTPDServer",
    "PureFTPdServer",
    "QuirkFTPServer",
    "QuirkSFTPServer",
    "Quirks",
    "RcloneServer",
    "Relay",
    "SFTPServer",
    "VsftpdServer",
    "dropbox_server",
    "ftp_server",
    "hostile_ftp_server",
    "proftpd_server",
    "pureftpd_server",
    "quirk_ftp_server",
    "quirk_sftp_server",
    "rclone_server",
    "sftp_server",
    "vsftpd_server",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
