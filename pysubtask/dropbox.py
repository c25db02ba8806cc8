"""Door to Dropbox: not in this version, and says so."""

from __future__ import annotations

import sys
from typing import Any

from .master.destinations import dropbox_comes_later
from .master.task_master import TaskMaster

__all__ = ["DropboxTaskMaster", "main"]


class DropboxTaskMaster(TaskMaster):
    """Raises ConfigError: Dropbox is not in this version."""

    def __init__(self, WatchFiles: Any, pconfig: Any, LogFileName: str | None = "", LogToConsole: bool = True) -> None:
        raise dropbox_comes_later()


def main() -> int:
    """The exit status 2, with the reason on stderr."""
    sys.stderr.write(f"{dropbox_comes_later()}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
