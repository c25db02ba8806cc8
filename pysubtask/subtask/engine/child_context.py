"""What the parts of a child's process share: before its state is open, and after."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ...common.events import EventLog
from ...common.handoff import Handoff
from ..requests.live_settings import LiveSettings
from ..snapshot.copy_aids import CopyAids
from ..snapshot.retakes import Retakes
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel
from ..status.status_writer import StatusWriter
from .alarm import Alarm
from .child_heartbeat import ChildHeartbeat
from .dead_time import DeadTime
from .stop_state import StopState
from .user_hooks import UserHooks


class ChildContext(NamedTuple):
    """What every part needs from the beginning.

    ``handoff``: what the master gave to the child; its ``settings`` are those of before any change. ``settings``: the present
    ones. ``first``: the first folder. ``log``: the log of the child. ``status_model``: what the status page is written from.
    ``alarm``: the wait of the main thread. ``stop``: whether the child has to end. ``clock`` is monotonic, ``wall`` the wall
    clock, both in seconds. ``more``: where a person finds more about a problem.
    """

    handoff: Handoff
    first: str
    settings: LiveSettings
    log: logging.Logger
    status_model: StatusModel
    alarm: Alarm
    stop: StopState
    clock: Callable[[], float]
    wall: Callable[[], float]
    more: str


class OpenChild(NamedTuple):
    """A child whose state is open: the ``context`` of before, and what exists since.

    ``destination``: whose queue this is. ``moved_from``: the folders that its state was moved from. ``spool_thread``: the queue.
    ``events``, ``status_writer``: what people and masters read. ``hooks``: the methods of the user's subtask. ``heartbeat``,
    ``dead_time``: when the last beat was sent, and the last notify came. ``retakes``, ``aids``: what the snapshots and the uploads
    tell each other.
    """

    context: ChildContext
    destination: str
    moved_from: list[str]
    spool_thread: SpoolThread
    events: EventLog
    status_writer: StatusWriter
    hooks: UserHooks
    heartbeat: ChildHeartbeat
    dead_time: DeadTime
    retakes: Retakes
    aids: CopyAids

    def write_page(self, *, force: bool = False) -> None:
        """Write the status page if that is due, with ``force`` in any case."""
        self.status_writer.write(self.context.clock(), force=force)
