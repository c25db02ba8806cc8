"""What 'pysubtask run' reports to systemd: that it is ready or reloads, and that its tasks are in order, with their state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from ...common.status import read_status
from ..config.task_config import TaskConfig
from .running_task import RunningTask
from .sd_notify import Notifier

_STATUS_SECS = 2.0
_REFUSED_SECS = 30.0
"""Seconds for which the status line says that a reload was refused."""


class ServiceReports:
    """The reports of one process by ``notifier``; ``now`` is in monotonic seconds everywhere."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._next_ping = self._next_status = 0.0

    def ready(self) -> None:
        """The tasks run, or a reload is over."""
        self._notifier.say("READY=1")

    def reloading(self) -> None:
        """A reload begins; ``ready`` must follow."""
        self._notifier.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def refused(self, now: float) -> None:
        """A reload was refused, and nothing has changed."""
        self.ready()
        self._notifier.status("reload refused: the config cannot be used")
        self._next_status = now + _REFUSED_SECS

    def stopping(self) -> None:
        """The process ends when its tasks have ended."""
        self._notifier.say("STOPPING=1", "STATUS=delivering what is due")

    def still_stopping(self) -> None:
        """The tasks are ending as they should, so that the watchdog waits for them."""
        if self._notifier.watchdog_secs is not None:
            self._notifier.say("WATCHDOG=1")

    def close(self) -> None:
        """Send nothing more."""
        self._notifier.close()

    def at_most(self, tick: float) -> float:
        """Seconds between two calls of ``send``: ``tick``, or less where the watchdog requires that."""
        limit = self._notifier.watchdog_secs
        return tick if limit is None else min(tick, limit / 4)

    def send(self, now: float, tasks: Iterable[RunningTask], waiting: Iterable[str]) -> None:
        """Send the watchdog message while every task is in order, and the status line. ``waiting``: a text for each task that has
        not started."""
        tasks = list(tasks)
        limit = self._notifier.watchdog_secs
        if limit is not None and now >= self._next_ping and all(task.master.is_in_order() for task in tasks):
            self._next_ping = now + limit / 3
            self._notifier.say("WATCHDOG=1")
        if self._notifier.is_heard and now >= self._next_status:
            self._next_status = now + _STATUS_SECS
            self._notifier.status("; ".join([summary([task.config for task in tasks]), *waiting]).lstrip("; "))


def summary(tasks: Sequence[TaskConfig]) -> str:
    """The state of every child in one line: ``roof/ftp connected, 3 queued``."""
    parts = []
    for task in tasks:
        for plan in task.plans:
            page = read_status(plan.state_dir) or {}
            queue = page.get("queue") or {}
            count = queue.get("waiting", 0) + queue.get("sending", 0)
            parts.append(f"{plan.label or task.name}/{plan.extension} {page.get('state', 'starting')}, {count} queued")
    return "; ".join(parts)
