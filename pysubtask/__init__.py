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
    from .common.config import Section
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
    from .dropbox import DropboxSubtask, DropboxTaskMaster
    from .freeze import freeze_support
    from .ftp import FTPSubtask, FTPTaskMaster
    from .master.task_master import ChildStatus, MasterStatus, TaskMaster
    from .subtask.base_subtask import BaseSubtask

    __version__: str

__all__ = [
    "AlreadyRunning",
    "AttemptFailed",
    "BaseMaster",
    "BaseSubtask",
    "BaseTaskMaster",
    "ChildStatus",
    "ConfigError",
    "DiskLow",
    "DropboxSubtask",
    "DropboxTaskMaster",
    "FTPSubtask",
    "FTPTaskMaster",
    "FileRefused",
    "LoginRefused",
    "MasterStatus",
    "MeansRefused",
    "NotAsLeft",
    "PysubtaskError",
    "Section",
    "ServerBusy",
    "ServerNotTrusted",
    "SourceChanged",
    "SourceError",
    "SourceMissing",
    "SpoolBusy",
    "SpoolDamaged",
    "SpoolTooNew",
    "TaskMaster",
    "TransportError",
    "TransportLost",
    "__version__",
    "freeze_support",
]

_HOMES = {
    "BaseMaster": "master.task_master",
    "BaseSubtask": "subtask.base_subtask",
    "BaseTaskMaster": "master.task_master",
    "ChildStatus": "master.task_master",
    "DropboxSubtask": "dropbox",
    "DropboxTaskMaster": "dropbox",
    "FTPSubtask": "ftp",
    "FTPTaskMaster": "ftp",
    "MasterStatus": "master.task_master",
    "Section": "common.config",
    "TaskMaster": "master.task_master",
    "freeze_support": "freeze",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _version()
    elif name in __all__:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'common.errors')}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    # The name of the folder that an installer leaves says it, too; importlib.metadata is a tenth of what a child's start costs.
    import os
    import sys

    start, end = "pysubtask-", ".dist-info"
    for folder in sys.path:
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue  # a zip file, or not there
        for name in names:
            if name.startswith(start) and name.endswith(end):
                return name[len(start) : -len(end)]
    from importlib import metadata

    try:
        return metadata.version("pysubtask")
    except metadata.PackageNotFoundError:
        return "0+not.installed"
