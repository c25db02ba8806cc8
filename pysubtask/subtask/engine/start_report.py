"""The status page of a child that is starting, and its wait for a system that starts no thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from ...common import limits, status_group
from ...common.errors import PysubtaskError
from ...common.events import utc
from ...common.process import process_start
from ...common.status import read_status, write_status
from ..snapshot.read_errors import ReadErrors
from ..status.status_writer import StatusWriter
from .child_context import ChildContext

T = TypeVar("T")


class StartReport:
    """``status_writer``: the writer of the page, None until the queue is open."""

    def __init__(self, context: ChildContext) -> None:
        self._context = context
        self.status_writer: StatusWriter | None = None

    def write(self) -> None:
        """Write the status page: with the queue where that is open; else over the page that the last child left."""
        context = self._context
        if self.status_writer is not None:
            self.status_writer.write(context.clock(), force=True)
            return
        pid, handoff = os.getpid(), context.handoff
        left = read_status(handoff.state_dir) or {}
        page = {"epoch": 0, "n": 0, "queue": {}, "parked": [], **left, **context.status_model.page()}
        with contextlib.suppress(OSError):  # a full disk, too: the log has it
            write_status(
                handoff.state_dir,
                {**page, "pid": pid, "pid_start": process_start(pid), "at": utc(context.wall())},
                status_group.of(handoff.settings),
            )

    def when_there_is_room(self, call: Callable[[], T]) -> T:
        """The result of a call that starts a thread. While the system starts none, the call is tried again at growing intervals.
        Raises PysubtaskError when a stop is requested meanwhile."""
        context, read_errors = self._context, ReadErrors()
        while True:
            try:
                return call()
            except RuntimeError as exc:
                if not limits.is_limit(exc):
                    raise
            words = limits.words()
            if read_errors.add("start", "no thread", context.clock()):
                context.log.error("Waiting to start: %s", words)
            context.status_model.set(problem={"kind": "process_limit", "text": words})
            context.status_model.state("starting", words)
            self.write()
            context.alarm.wait(max(0.0, (read_errors.next_at() or 0.0) - context.clock()))
            if context.stop.is_requested:
                raise PysubtaskError(words)
            context.status_model.set(problem=None)
