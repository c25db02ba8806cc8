"""Door to Dropbox: ``DropboxTaskMaster`` for the app, ``DropboxSubtask`` to subclass, ``python -m pysubtask.dropbox``.

``python -m pysubtask.dropbox --login`` gets the token that the settings need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .master.child_config import plan
from .master.task_master import TaskMaster

if TYPE_CHECKING:
    import logging

    from .common.config_types import Config
    from .common.entry_types import WatchEntry
    from .subtask.upload_subtask import DropboxSubtask, UploadSubtask

__all__ = ["DropboxSubtask", "DropboxTaskMaster", "main"]


class DropboxTaskMaster(TaskMaster):
    """A master with the dropbox destination alone, whatever ``UseDropbox`` says. ``pconfig``: a config with sections."""

    display_name = "DropboxTaskMaster"
    display_module = "dropbox"

    def __init__(
        self,
        WatchFiles: Sequence[WatchEntry] | Sequence[object],
        pconfig: Config | object,
        LogFileName: str | None = "",
        LogToConsole: bool = True,
        Logger: logging.Logger | str | None = None,
    ) -> None:
        self._prepare_extensions(WatchFiles, pconfig, {"dropbox": "pysubtask.dropbox"}, LogFileName, LogToConsole, Logger)


def __getattr__(name: str) -> Any:
    if name != "DropboxSubtask":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported on demand: an app that only starts a master must not load the child's half.
    from .subtask.upload_subtask import DropboxSubtask

    return DropboxSubtask


def main(subtask: type[UploadSubtask] | None = None, argv: Sequence[str] | None = None) -> int:
    """Run an uploading child of the class ``subtask`` (DropboxSubtask if None) until it is stopped, or log in; see ``--help``.

    The exit status.
    """
    from .subtask.engine.cli import run
    from .subtask.upload_subtask import DropboxSubtask

    return run(subtask or DropboxSubtask, "dropbox", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
