"""Whether the master of a child is gone."""

from __future__ import annotations

import os
import sys

from ...common.events import EventLog
from ...common.lock import process_start
from ...common.process import is_alive
from .child_context import ChildContext


class MasterCheck:
    """Made at the start of the process, whose parent it notes."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._parent_start = process_start(self._parent)

    def is_gone(self, context: ChildContext, events: EventLog) -> bool:
        """Whether the master is gone, which is reported. Where the unpacker of a frozen program is gone alone, a stop is
        requested."""
        pid, parent = context.handoff.master_pid, os.getppid()
        if pid is None or parent == pid:
            return False
        if self._parent != pid and is_alive(pid, context.handoff.master_start or ""):
            # The guard, or the unpacker of a frozen one-file program, is between master and child. The master takes its end for
            # that of the child.
            if parent != self._parent or (sys.platform == "win32" and process_start(parent) != self._parent_start):
                context.stop.hurry()
            return False
        context.log.warning("The master [%s] is gone", pid)
        events.emit("orphaned", master_pid=pid)
        return True
