"""A config that is made of dicts, for type checkers; :mod:`.config` checks it at run time.

No app loads this unless it asks for it."""

from typing import TypedDict

from .config import Section
from .settings_types import AlertSettings, BaseSettings, BurstSettings, DropboxSettings, FTPSettings


class Config(TypedDict, total=False):
    """The sections of a config, each a dict or a ``Section``: ``config: Config = {'ftp': {'Host': 'files.example.org'}}``.

    A module or an object with these names as attributes is a config as well."""

    base: BaseSettings | Section
    """What every child takes; ``ftp`` and ``dropbox`` may each have values of their own for the same settings."""
    burst_mode: BurstSettings | Section
    """When the master holds quick notifies back."""
    ftp: FTPSettings | Section
    """The destination by SFTP, FTP or FTPS."""
    dropbox: DropboxSettings | Section
    """The destination in Dropbox."""
    alerts: AlertSettings | Section
    """The program that is run when something is wrong."""
