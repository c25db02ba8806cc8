"""What the handlers of requests work on: the queue, the settings and the files of a child, and the child itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ...common.entries import Entry
from ...common.events import EventLog
from ...common.notify import Toucher
from ...common.requests import Request
from ...common.watched import Watched
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel
from .live_settings import LiveSettings


class RunningChild(Protocol):
    """What a request changes in the process of the child."""

    def settings_changed(self, keys: set[str]) -> None:
        """These live settings have new values."""

    def queue_changed(self) -> None:
        """The queue, or which jobs of it may be sent, was changed."""

    def stop(self, who: str) -> None:
        """End; ``who`` requested it."""

    def start_over(self) -> None:
        """Start over after this tick, by exec."""


class LiveDelivery(Protocol):
    """What a request changes in the uploads."""

    def queue_changed(self) -> None:
        """The queue, or which jobs of it may be sent, was changed."""

    def connect_now(self) -> dict[str, Any] | None:
        """Connect at once; the outcome (see Dispatcher), None where this child connects to nothing."""

    def settings_changed(self, settings: Mapping[str, Any]) -> None:
        """Take new values of live settings: a mapping that is not changed any more."""


class RequestContext(NamedTuple):
    """The parts of a child that handlers use.

    ``state_dir``: the state folder. ``entries``: the watch list; ``left_out``: the paths left out inside recursive folders;
    ``watched``: which data files these select. ``settings``: all settings, and the change of live ones. ``spool_thread``: the
    queue. ``status_model``, ``events``, ``log``: where changes are reported. ``child``, ``delivery``: what else a request changes.
    ``toucher`` touches notify files. ``at_start``: the ids of the requests that were waiting when the child started. ``clock`` is
    monotonic, ``wall`` the wall clock, both in seconds.
    """

    state_dir: str
    entries: Sequence[Entry]
    left_out: Sequence[str]
    watched: Watched
    settings: LiveSettings
    spool_thread: SpoolThread
    status_model: StatusModel
    events: EventLog
    log: logging.Logger
    child: RunningChild
    delivery: LiveDelivery
    toucher: Toucher
    at_start: frozenset[str]
    clock: Callable[[], float]
    wall: Callable[[], float]

    def tell_pauses(self) -> None:
        """Put the pauses on the status page."""
        self.status_model.set(paused=self.spool_thread.spool.queue_admin.pauses())


def who(request: Request) -> dict[str, Any]:
    """Who made a request, as a field of events."""
    return {"by": {"user": request.who.user, "pid": request.who.pid, "command": request.who.command, "host": request.who.host}}
