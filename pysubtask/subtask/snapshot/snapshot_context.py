"""What the parts of the snapshot pipeline share: the queue, the status model, the events, the log and the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ...common.events import EventLog
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel


class SnapshotContext(NamedTuple):
    """``spool_thread``: the queue; ``status_model``, ``events``, ``log``: where it is reported what happens to due files.
    ``wall``: the wall clock, seconds since the epoch. ``more``: where a person finds more about a problem."""

    spool_thread: SpoolThread
    status_model: StatusModel
    events: EventLog
    log: logging.Logger
    wall: Callable[[], float]
    more: str
