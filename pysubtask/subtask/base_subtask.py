"""The class of a child that people subclass: what they override, and the helpers that they call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from ..common.errors import SourceMissing
from ..common.handoff import Handoff
from ..common.line_rate import each
from .child_log import open_log
from .snapshot.extra_copy import copy_to_dir


class Services(Protocol):
    """What the process of a child does for its subtask, see the helpers of :class:`BaseSubtask`."""

    def sleep(self, secs: float) -> None:
        """Sleep politely: a stop ends it."""

    def dead_time(self) -> float:
        """Milliseconds since the last notify (or since the start)."""

    def heartbeat_time(self) -> float | None:
        """Milliseconds since the last heartbeat; None where none was sent."""

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files as of now; the paths of those that are to be sent. Raises OSError."""

    def send_heartbeat(self) -> None:
        """Write and send a heartbeat as soon as possible. Raises OSError."""


class BaseSubtask:
    """A child that watches notify files and calls ``process_notify`` with a snapshot of each notified file.

    Override ``process_interval``, ``process_notify``, ``process_heartbeat``, ``start`` and ``stop``. What
    they raise is logged, becomes an event, and never ends the timer; a snapshot whose ``process_notify``
    failed is offered again. ``Enabled = False`` leaves the child running but idle.
    """

    Enabled = True
    _pysubtask_services: Services

    def __init__(
        self, handoff: Handoff, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.handoff = handoff
        self.settings: dict[str, Any] = handoff.settings
        self.clock = clock
        self.wall = wall
        self.description = str(self.settings["SubtaskDescription"])
        self.log = self.baselogger = open_log(handoff, self.settings, type(self).__name__)
        self.source_path = ""

    # -- for subclasses to override -----------------------------------------------------------------------

    def start(self) -> None:
        """Called once before the first tick."""

    def stop(self) -> None:
        """Called once at a graceful end (``master.stop(forcekill=False)``), after everything due was queued."""

    def process_interval(self) -> None:
        """Called at every tick, before anything else."""

    def process_notify(self, snapshot: str) -> None:
        """Called with the path of each new snapshot (``self.source_path`` is the data file). It is removed
        when this returns; an exception means: offer it again later."""
        self.log.info("Subtask Notified!: File [%s] changed.", self.source_path, extra=each("notified"))

    def process_heartbeat(self, file: str) -> None:
        """Called with the path of the heartbeat file when a beat is due."""
        self.write_heartbeat()

    # -- helpers for subclasses, from ``start`` on --------------------------------------------------------

    def sleep(self, secs: float) -> None:
        """Sleep politely: a stop ends it."""
        self._pysubtask_services.sleep(secs)

    def dead_time(self) -> float:
        """Milliseconds since the last notify (or since the start)."""
        return self._pysubtask_services.dead_time()

    def heartbeat_time(self) -> float | None:
        """Milliseconds since the last heartbeat; None where none was sent."""
        return self._pysubtask_services.heartbeat_time()

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files as of now; the paths of those that are to be sent. Raises OSError. From any thread."""
        return self._pysubtask_services.write_heartbeat()

    def copy_file_to_dir(self, from_file: str, to_dir: str) -> str | None:
        """Copy a file with its times into a folder, which is created if missing; the path of the copy, None where the file is
        missing."""
        try:
            return copy_to_dir(from_file, to_dir)
        except SourceMissing:
            self.log.error("File [%s] does not exist to copy", from_file)
            return None


def serve(subtask: BaseSubtask, services: Services) -> None:
    """Give a subtask the services of its process, which its helpers use."""
    subtask._pysubtask_services = services
