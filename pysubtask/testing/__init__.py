"""Real loopback servers and a link that breaks on demand, for the tests of pysubtask and of its users.

``Relay`` breaks the way to any server, ``FTPRelay`` that to an FTP server with its data connections.
``sftp_server`` and ``ftp_server`` are whole servers with faults of their own (extra ``testing``),
``quirk_sftp_server`` and ``quirk_ftp_server`` are those with everything that servers refuse, limit or do otherwise as a switch.
``vsftpd_server``, ``proftpd_server``, ``pureftpd_server`` and ``rclone_server`` run real servers, where these are installed or
``PYSUBTASK_SERVERS`` names a folder with them (``.ci/servers``).
``dropbox_server`` is a stand-in for Dropbox. ``hostile_ftp_server`` and
the module ``hostile_sftp`` are hostile servers.
As pytest fixtures: ``pytest_plugins = ["pysubtask.testing.pytest_plugin"]``.
A module is loaded when one of its names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .link._wire import Connection as Connection
    from .link.ftp_relay import FTPRelay as FTPRelay
    from .link.relay import Relay as Relay
    from .servers.dropbox import DropboxServer as DropboxServer
    from .servers.dropbox import dropbox_server as dropbox_server
    from .servers.ftp import FTPServer as FTPServer
    from .servers.ftp import ftp_server as ftp_server
    from .servers.hostile_ftp import HostileFTP as HostileFTP
    from .servers.hostile_ftp import hostile_ftp_server as hostile_ftp_server
    from .servers.proftpd import ProFTPDServer as ProFTPDServer
    from .servers.proftpd import proftpd_server as proftpd_server
    from .servers.pureftpd import PureFTPdServer as PureFTPdServer
    from .servers.pureftpd import pureftpd_server as pureftpd_server
    from .servers.quirk_ftp import QuirkFTPServer as QuirkFTPServer
    from .servers.quirk_ftp import quirk_ftp_server as quirk_ftp_server
    from .servers.quirk_sftp import QuirkSFTPServer as QuirkSFTPServer
    from .servers.quirk_sftp import quirk_sftp_server as quirk_sftp_server
    from .servers.quirks import Quirks as Quirks
    from .servers.rclone import RcloneServer as RcloneServer
    from .servers.rclone import rclone_server as rclone_server
    from .servers.sftp import SFTPServer as SFTPServer
    from .servers.sftp import sftp_server as sftp_server
    from .servers.vsftpd import VsftpdServer as VsftpdServer
    from .servers.vsftpd import vsftpd_server as vsftpd_server

_NAMES = {
    "Connection": "link._wire",
    "DropboxServer": "servers.dropbox",
    "FTPRelay": "link.ftp_relay",
    "FTPServer": "servers.ftp",
    "HostileFTP": "servers.hostile_ftp",
    "ProFTPDServer": "servers.proftpd",
    "PureFTPdServer": "servers.pureftpd",
    "QuirkFTPServer": "servers.quirk_ftp",
    "QuirkSFTPServer": "servers.quirk_sftp",
    "Quirks": "servers.quirks",
    "RcloneServer": "servers.rclone",
    "Relay": "link.relay",
    "SFTPServer": "servers.sftp",
    "VsftpdServer": "servers.vsftpd",
    "dropbox_server": "servers.dropbox",
    "ftp_server": "servers.ftp",
    "hostile_ftp_server": "servers.hostile_ftp",
    "proftpd_server": "servers.proftpd",
    "pureftpd_server": "servers.pureftpd",
    "quirk_ftp_server": "servers.quirk_ftp",
    "quirk_sftp_server": "servers.quirk_sftp",
    "rclone_server": "servers.rclone",
    "sftp_server": "servers.sftp",
    "vsftpd_server": "servers.vsftpd",
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
