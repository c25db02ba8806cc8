"""Whether the master of a child is gone."""

from __future__ import annotations

import os
import sys

from ...common.events import EventLog
from ...common.lock import process_start
from ...common.process import WatchedProcess
from .child_context import ChildContext

_BOTH_SECS = 1.0
"""Where guard and master are killed together, one of them may be seen to be gone before the other."""


class MasterCheck:
    """Made at the start of the process, whose parent it notes."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._parent_start = process_start(self._parent)
        self._alone_since: float | None = None
        self._master: WatchedProcess | None = None

    def is_gone(self, context: ChildContext, events: EventLog) -> bool:
        """Whether the master is gone, which is reported. Where the unpacker of a frozen program is gone alone, a stop is
        requested."""
        pid, parent = context.handoff.master_pid, os.getppid()
        if pid is None or parent == pid:
            return False
        if self._parent != pid and self._is_alive(pid, context):
            # The guard, or the unpacker of a frozen one-file program, is between master and child. The master takes its end for
            # that of the child.
            if parent != self._parent or (sys.platform == "win32" and process_start(parent) != self._parent_start):
                self._hurry_soon(context)
            return False
        context.log.warning("The master [%s] is gone", pid)
        events.emit("orphaned", master_pid=pid)
        return True

    def _is_alive(self, pid: int, context: ChildContext) -> bool:
        """Whether the master, which is not the parent, is alive."""
        if self._master is None:
            self._master = WatchedProcess(pid, context.handoff.master_start or "")
        return self._master.is_alive()

    def _hurry_soon(self, context: ChildContext) -> None:
        """Stop at once, where the master is still there after a moment."""
        if self._alone_since is None:
            self._alone_since = context.clock()
        if context.clock() - self._alone_since >= _BOTH_SECS:
            context.stop.hurry()
