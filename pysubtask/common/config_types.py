"""A config that is made of dicts, for type checkers; :mod:`.config` checks it at run time.

No app loads this unless it asks for it."""

from typing import TypedDict

from .config import Section
from .settings_types import AlertSettings, BaseSettings, BurstSettings, DropboxSettings, FTPSettings


class Config(TypedDict, total=False):
    """The sections of a config, each a dict or a ``Section``: ``config: Config = {'ftp': {'Host': 'files.example.org'}}``.

    A module or an object with these names as attributes is a config as well."""

    base: BaseSettings | Section
    burst_mode: BurstSettings | Section
    ftp: FTPSettings | Section
    dropbox: DropboxSettings | Section
    alerts: AlertSettings | Section
