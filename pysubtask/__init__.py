"""Push files that keep growing to a plain server over a link that cannot be trusted, from a child process.

::

    from pysubtask import TaskMaster
    import my_config                       # sections base, ftp, ...

    with TaskMaster([{'file': 'logs/a.csv'}, {'dir': 'photos'}], my_config) as master:
        ...                                # write to logs/a.csv
        master.notify_file_by_index(0)

Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import BaseMaster, BaseTaskMaster
    from .common.any_settings_types import AnySettings
    from .common.config import Section
    from .common.config_types import Config
    from .common.entry_types import FileEntry, FilePath, FolderEntry, WatchEntry
    from .common.errors import (
        AlreadyRunning,
        AttemptFailed,
        ConfigError,
        DiskLow,
        FileRefused,
        LoginRefused,
        MeansRefused,
        NotAsLeft,
        PysubtaskError,
        ServerBusy,
        ServerNotTrusted,
        SourceChanged,
        SourceError,
        SourceMissing,
        SpoolBusy,
        SpoolDamaged,
        SpoolTooNew,
        TransportError,
        TransportLost,
    )
    from .common.event_types import EventFields, OrderedBy
    from .common.events import Event
    from .common.page_types import (
        BusyFile,
        ChildState,
        DiskRoom,
        ExcludedFile,
        LastDelivery,
        LastError,
        MissingFolder,
        MovingFile,
        ParkedFile,
        PausedName,
        Problem,
        QueueCounts,
        RetriedFile,
        SettlingFile,
        StatusPage,
        UnreadableFile,
        WatchedEntry,
    )
    from .common.settings_types import AlertSettings, BaseSettings, BurstSettings, DropboxSettings, FTPSettings, LiveSettings
    from .daemon.aio import aget
    from .daemon.daemon import Daemon
    from .daemon.errors import Cancelled, DaemonError, Failed, NoAnswer, NoSuchDaemon, Refused
    from .daemon.find import Known, daemons, follow, get
    from .daemon.following import Change, Follower
    from .daemon.items import Item, item
    from .daemon.methods import event, loop, method
    from .daemon.proxy import CallHandle, Proxy
    from .dropbox import DropboxSubtask, DropboxTaskMaster
    from .freeze import freeze_support
    from .ftp import FTPSubtask, FTPTaskMaster
    from .master.child_events import ChildEvent, EventCallback, EventPosition
    from .master.news import Callback as Callback
    from .master.news import News as News
    from .master.task_master import ChildStatus, MasterStatus, TaskMaster
    from .subtask.base_subtask import BaseSubtask

    __version__: str

__all__ = [
    "AlertSettings",
    "AlreadyRunning",
    "AnySettings",
    "AttemptFailed",
    "BaseMaster",
    "BaseSettings",
    "BaseSubtask",
    "BaseTaskMaster",
    "BurstSettings",
    "BusyFile",
    "CallHandle",
    "Cancelled",
    "Change",
    "ChildEvent",
    "ChildState",
    "ChildStatus",
    "Config",
    "ConfigError",
    "Daemon",
    "DaemonError",
    "DiskLow",
    "DiskRoom",
    "DropboxSettings",
    "DropboxSubtask",
    "DropboxTaskMaster",
    "Event",
    "EventCallback",
    "EventFields",
    "EventPosition",
    "ExcludedFile",
    "FTPSettings",
    "FTPSubtask",
    "FTPTaskMaster",
    "Failed",
    "FileEntry",
    "FilePath",
    "FileRefused",
    "FolderEntry",
    "Follower",
    "Item",
    "Known",
    "LastDelivery",
    "LastError",
    "LiveSettings",
    "LoginRefused",
    "MasterStatus",
    "MeansRefused",
    "MissingFolder",
    "MovingFile",
    "NoAnswer",
    "NoSuchDaemon",
    "NotAsLeft",
    "OrderedBy",
    "ParkedFile",
    "PausedName",
    "Problem",
    "Proxy",
    "PysubtaskError",
    "QueueCounts",
    "Refused",
    "RetriedFile",
    "Section",
    "ServerBusy",
    "ServerNotTrusted",
    "SettlingFile",
    "SourceChanged",
    "SourceError",
    "SourceMissing",
    "SpoolBusy",
    "SpoolDamaged",
    "SpoolTooNew",
    "StatusPage",
    "TaskMaster",
    "TransportError",
    "TransportLost",
    "UnreadableFile",
    "WatchEntry",
    "WatchedEntry",
    "__version__",
    "aget",
    "daemons",
    "event",
    "follow",
    "freeze_support",
    "get",
    "item",
    "loop",
    "method",
]

_HOMES = {
    "AnySettings": "common.any_settings_types",
    "BaseMaster": "master.task_master",
    "BaseSettings": "common.settings_types",
    "BaseSubtask": "subtask.base_subtask",
    "BaseTaskMaster": "master.task_master",
    "BurstSettings": "common.settings_types",
    "BusyFile": "common.page_types",
    "ChildEvent": "master.child_events",
    "ChildState": "common.page_types",
    "ChildStatus": "master.task_master",
    "Config": "common.config_types",
    "DiskRoom": "common.page_types",
    "DropboxSettings": "common.settings_types",
    "AlertSettings": "common.settings_types",
    "CallHandle": "daemon.proxy",
    "Cancelled": "daemon.errors",
    "Change": "daemon.following",
    "Daemon": "daemon.daemon",
    "DaemonError": "daemon.errors",
    "Failed": "daemon.errors",
    "Follower": "daemon.following",
    "Item": "daemon.items",
    "Known": "daemon.find",
    "NoAnswer": "daemon.errors",
    "NoSuchDaemon": "daemon.errors",
    "Proxy": "daemon.proxy",
    "Refused": "daemon.errors",
    "aget": "daemon.aio",
    "daemons": "daemon.find",
    "event": "daemon.methods",
    "follow": "daemon.find",
    "get": "daemon.find",
    "item": "daemon.items",
    "loop": "daemon.methods",
    "method": "daemon.methods",
    "DropboxSubtask": "dropbox",
    "DropboxTaskMaster": "dropbox",
    "Event": "common.events",
    "EventCallback": "master.child_events",
    "EventFields": "common.event_types",
    "EventPosition": "master.child_events",
    "ExcludedFile": "common.page_types",
    "FTPSettings": "common.settings_types",
    "FTPSubtask": "ftp",
    "FTPTaskMaster": "ftp",
    "FileEntry": "common.entry_types",
    "FilePath": "common.entry_types",
    "FolderEntry": "common.entry_types",
    "LastDelivery": "common.page_types",
    "LastError": "common.page_types",
    "LiveSettings": "common.settings_types",
    "MasterStatus": "master.task_master",
    "MissingFolder": "common.page_types",
    "MovingFile": "common.page_types",
    "OrderedBy": "common.event_types",
    "ParkedFile": "common.page_types",
    "PausedName": "common.page_types",
    "Problem": "common.page_types",
    "QueueCounts": "common.page_types",
    "RetriedFile": "common.page_types",
    "Section": "common.config",
    "SettlingFile": "common.page_types",
    "StatusPage": "common.page_types",
    "TaskMaster": "master.task_master",
    "UnreadableFile": "common.page_types",
    "WatchEntry": "common.entry_types",
    "WatchedEntry": "common.page_types",
    "freeze_support": "freeze",
}


_OLD = {"Callback": "master.news", "News": "master.news"}
"""Former names, as aliases: module and name."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ._version import __version__ as value
    elif name in __all__ or name in _OLD:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES.get(name) or _OLD.get(name, 'common.errors')}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
