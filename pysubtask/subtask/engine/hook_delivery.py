"""Hands the jobs of the queue to the user's ``process_notify``: the delivery of a child that uploads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...common.errors import PysubtaskError
from ...delivery_rules.retry import Policy, decide
from ...transports.base import RemoteStat
from ..snapshot.interfaces import PathNames
from ..spool.jobs import ClaimedJob, DeliveryResult, QueuedSnapshot
from .child_context import OpenChild
from .delivery import Health

_BATCH = 8
"""Number of jobs that are claimed together."""


class HookDelivery:
    """Works on the main thread; see :class:`Delivery`."""

    def __init__(self, child: OpenChild) -> None:
        self._child = child
        self.names = PathNames()

    def start(self) -> None:
        """Nothing has to be started."""

    def expect(self) -> None:
        """Nothing has to be prepared."""

    def jobs_added(self, entries: Sequence[QueuedSnapshot]) -> None:
        """The next :meth:`work` takes them."""
        self._child.dead_time.restart()
        self._child.status_writer.touch()

    def work(self, now: float) -> float | None:
        """Hand on all jobs that are due; when the next one is. Raises DiskLow."""
        child = self._child
        while self._hand_on(now) and not child.context.stop.is_requested:
            child.write_page()
        due: float | None = child.spool_thread.run(child.spool_thread.spool.queue.next_due)
        return due

    def check(self, now: float) -> Health:
        """All is well."""
        return Health()

    def finish(self, deadline: float) -> None:
        """Hand on what is due until ``deadline`` (monotonic seconds)."""
        clock, stop = self._child.context.clock, self._child.context.stop
        while not stop.is_hurried and clock() < deadline and self._hand_on(clock()):
            self._child.write_page()

    def close(self) -> None:
        """Nothing has to be closed."""

    def queue_changed(self) -> None:
        """The tick that follows reads the queue."""

    def connect_now(self) -> dict[str, Any] | None:
        """There is nothing to connect to."""
        return None

    def settings_changed(self, settings: Mapping[str, Any]) -> None:
        """The settings are read when they are needed."""

    def send_heartbeat(self) -> None:
        """Write the heartbeat files; nothing sends them. Raises OSError."""
        self._child.heartbeat.write()

    def _hand_on(self, now: float) -> bool:
        """Call ``process_notify`` for one batch of the queue; whether there may be more."""
        child, context = self._child, self._child.context
        spool_thread = child.spool_thread
        taken: list[ClaimedJob] = spool_thread.run(spool_thread.spool.queue.claim, _BATCH, now, context.wall())
        for version in taken:
            if not context.stop.is_hurried and child.hooks.process_notify(version.path, version.snapshot):
                spool_thread.run(self._deliver, DeliveryResult(version.id, RemoteStat(version.size, None), 0, "hook"))
            else:
                wait = decide(version.attempts + 1, PysubtaskError(), Policy.of(context.settings.current), 0.0).secs
                spool_thread.run(spool_thread.give_back, version.id, "process_notify failed", context.clock() + wait)
        return bool(taken)

    def _deliver(self, done: DeliveryResult) -> None:
        """On the spool's thread, where the status page is written too: so a page has both a delivery and its event, or
        neither."""
        child, status_model = self._child, self._child.context.status_model
        for _, receipt in child.spool_thread.deliver([done]):
            with status_model.guard:
                child.events.emit("delivered", name=receipt.name, path=receipt.path, size=receipt.size, receipt=receipt.seq)
                status_model.add(delivered=1)
                status_model.set(receipt=receipt.seq)
