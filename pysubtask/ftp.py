"""Door to S/FTP: ``FTPTaskMaster`` for the app, ``FTPSubtask`` to subclass, ``python -m pysubtask.ftp``."""

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
    from .subtask.upload_subtask import FTPSubtask, UploadSubtask

__all__ = ["FTPSubtask", "FTPTaskMaster", "main"]


class FTPTaskMaster(TaskMaster):
    """A master with the ftp destination alone, whatever ``UseFTP`` says. ``pconfig``: a config with sections."""

    display_name = "FTPTaskMaster"
    display_module = "ftp"

    def __init__(
        self,
        WatchFiles: Sequence[WatchEntry] | Sequence[object],
        pconfig: Config | object,
        LogFileName: str | None = "",
        LogToConsole: bool = True,
        Logger: logging.Logger | str | None = None,
    ) -> None:
        self._prepare_extensions(WatchFiles, pconfig, {"ftp": "pysubtask.ftp"}, LogFileName, LogToConsole, Logger)


def __getattr__(name: str) -> Any:
    if name != "FTPSubtask":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported on demand: an app that only starts a master must not load the child's half.
    from .subtask.upload_subtask import FTPSubtask

    return FTPSubtask


def main(subtask: type[UploadSubtask] | None = None, argv: Sequence[str] | None = None) -> int:
    """Run an uploading child of the class ``subtask`` (FTPSubtask if None) until it is stopped; see ``--help``.

    The exit status.
    """
    from .subtask.engine.cli import run
    from .subtask.upload_subtask import FTPSubtask

    return run(subtask or FTPSubtask, "ftp", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
