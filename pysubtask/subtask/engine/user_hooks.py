"""Calls the methods that a user's subclass overrides: what they raise is reported and never ends the timer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...common.events import EventLog
from ..base_subtask import BaseSubtask
from ..status.status_model import StatusModel


class UserHooks:
    """The hooks of ``subtask``, and no other of its methods."""

    def __init__(self, subtask: BaseSubtask, log: logging.Logger, events: EventLog, status_model: StatusModel) -> None:
        self._subtask = subtask
        self._log = log
        self._events = events
        self._status_model = status_model

    @property
    def is_enabled(self) -> bool:
        """Whether the child works, or only answers requests."""
        return self._subtask.Enabled

    def start(self) -> None:
        """Before the first tick."""
        self._guarded("start", self._subtask.start)

    def stop(self) -> None:
        """At a graceful end."""
        self._guarded("stop", self._subtask.stop)

    def process_interval(self) -> None:
        """At each tick."""
        self._guarded("process_interval", self._subtask.process_interval)

    def process_notify(self, path: str, snapshot: str) -> bool:
        """For a snapshot of the data file ``path``; whether it raised nothing."""
        self._subtask.source_path = path
        return self._guarded("process_notify", lambda: self._subtask.process_notify(snapshot))

    def process_heartbeat(self, file: str) -> None:
        """When a heartbeat is due."""
        self._guarded("process_heartbeat", lambda: self._subtask.process_heartbeat(file))

    def _guarded(self, hook: str, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - no exception of a user's code may end the timer
            self._log.exception("%s failed", hook)
            self._events.emit("hook_failed", hook=hook, reason=repr(exc))
            self._status_model.error("hook_failed", f"{hook}: {exc!r}", hook)
            return False
        self._status_model.over("hook_failed", about=hook)
        return True
