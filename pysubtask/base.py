"""Door to the plain task: ``BaseMaster`` for the app, ``BaseSubtask`` to subclass, ``python -m pysubtask.base``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common.logs import setup_logging
from .common.notify import Toucher, notify_name
from .master.child_config import plan
from .master.task_master import BaseMaster, BaseTaskMaster

if TYPE_CHECKING:
    from .subtask.base_subtask import BaseSubtask

__all__ = ["BaseMaster", "BaseSubtask", "BaseTaskMaster", "main", "notify_file", "setup_logging", "touch"]

_toucher = Toucher()


def touch(path: str | os.PathLike[str]) -> None:
    """Make this file if it is missing, and set its times to now. Raises OSError."""
    _toucher.touch(os.fspath(path))


def notify_file(path: str | os.PathLike[str]) -> None:
    """Notify a data file: touch the ``.notify`` file beside it. Raises OSError."""
    _toucher.touch(notify_name(os.fspath(path)))


def __getattr__(name: str) -> Any:
    if name == "BaseSubtask":
        from .subtask.base_subtask import BaseSubtask

        return BaseSubtask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(subtask: type[BaseSubtask] | None = None, argv: Sequence[str] | None = None) -> int:
    """Run a child of the class ``subtask`` (the plain one if None) until it is stopped; see ``--help``. The exit status.

    A module with a subclass of its own ends in ``if __name__ == "__main__": sys.exit(main(MySubtask))``.
    """
    from .subtask.base_subtask import BaseSubtask
    from .subtask.engine.cli import run

    return run(subtask or BaseSubtask, "base", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
