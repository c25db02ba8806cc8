"""Uploads the jobs of the queue: the delivery of a child with a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common import read_from
from ...transports import open_transport, transport_class
from ..delivery.context import DeliveryContext
from ..delivery.dispatcher import Dispatcher
from ..delivery.interfaces import ChildSide, LoginContext
from ..spool.jobs import QueuedSnapshot
from ..spool.name_claims import NameClaims
from .child_context import OpenChild
from .delivery import Health
from .live_files import LiveFiles
from .login_fingerprint import login_fingerprint
from .task_names import TaskNames
from .upload_client import UploadClient
from .upload_names import UploadNames

_HANG_SECS = 2.0
_JOIN_SECS = 6.0
_END_SECS = 5.0
"""Seconds after the deadline in which the dispatcher disconnects and ends."""
_POLL_SECS = 0.1


class UploadDelivery:
    """Works by the dispatcher, a thread of its own; see :class:`Delivery`. ``transport``: a name of TRANSPORTS.
    ``may_have_tails``: whether nobody relies on whole snapshots. ``start_thread`` calls a function that starts a thread."""

    def __init__(
        self, child: OpenChild, transport: str, start_thread: Callable[[Callable[[], None]], None], *, may_have_tails: bool
    ) -> None:
        child.aids.shares_snapshots = may_have_tails
        handoff, case_sensitive = child.context.handoff, transport_class(transport).case_sensitive
        self._child = child
        self._transport = transport
        self._start_thread = start_thread
        within_task = TaskNames(handoff.entries, case_sensitive=case_sensitive)
        label = f"{handoff.label or handoff.task}/{handoff.extension}"
        self._claims = NameClaims(child.destination, handoff.state_dir, label, child.context.clock, case_sensitive=case_sensitive)
        self._within_task = within_task
        self.names = UploadNames(handoff.entries, within_task, self._claims, child.spool_thread, child.retakes, label)
        self._client = UploadClient(child, within_task, LiveFiles(handoff.entries), may_have_tails=may_have_tails)
        self._dispatcher: Dispatcher | None = None
        self._hangs_since: float | None = None

    def start(self) -> None:
        """Claim the names that this task has on the server, and start the dispatcher. Raises ConfigError, PysubtaskError."""
        child, log = self._child, self._child.context.log
        owners = child.spool_thread.run(child.spool_thread.spool.remote_files.owners)
        self._within_task.begin(owners)
        self.names.begin(owners, child.moved_from)
        if self._claims.problem:
            log.info("Other tasks that send to the same names will not be noticed: %s", self._claims.problem)
        self._dispatcher = make_dispatcher(child, self._transport, self._client)
        self._start_thread(self._dispatcher.start)
        settings = child.context.settings.current
        interval, dead = settings["HeartbeatIntervalSecs"], settings["DeadTimeMilli"] / 1000
        if 0 < interval <= dead:
            log.warning(
                "HeartbeatIntervalSecs [%s] is not above the dead time [%s] secs: the connection will never rest", interval, dead
            )

    # -- snapshots -> uploads ---------------------------------------------------------------------------------

    def expect(self) -> None:
        """Have the dispatcher connect while a snapshot is made."""
        if self._dispatcher is not None:
            self._dispatcher.expect()

    def jobs_added(self, entries: Sequence[QueuedSnapshot]) -> None:
        """Call ``process_notify`` for each new entry, then have the dispatcher take them."""
        self._child.dead_time.restart()
        self._child.status_writer.touch()
        for entry in entries:
            self._child.hooks.process_notify(entry.path, entry.snapshot)
        if self._dispatcher is not None:
            self._dispatcher.jobs_added()

    # -- the life of the child --------------------------------------------------------------------------------

    def work(self, now: float) -> float | None:
        """The dispatcher takes jobs from the queue, not the main thread."""
        return None

    def check(self, now: float) -> Health:
        """Return names to other tasks, and send altered files again; whether the dispatcher has ended or hangs."""
        self.names.give_up_lost()
        while self._client.harmed:
            name = self._client.harmed.popleft()
            if self.names.take_anew(name):
                self._child.context.log.warning("The server has put another file under [%s], which is sent again", name)
        if self._dispatcher is None or not self._dispatcher.is_alive():
            return Health(failure="The courier ended; starting over")
        if not self._dispatcher.is_stalled(now):
            self._hangs_since = None
        elif self._hangs_since is None:
            # After SIGSTOP and SIGCONT of the whole process, the dispatcher must get the time for a turn first.
            self._hangs_since = now
        elif now - self._hangs_since >= _HANG_SECS:
            # It hangs in a library that cannot be cancelled.
            self._child.context.log.error("The courier hangs; the child replaces itself")
            self._child.events.emit("courier_hangs")
            return Health(hang="the courier hung")
        return Health()

    def finish(self, deadline: float) -> None:
        """Let the dispatcher send until ``deadline`` (monotonic seconds), and wait for its end."""
        if self._dispatcher is None:
            return
        context = self._child.context
        self._dispatcher.stop(deadline)
        while self._dispatcher.is_alive() and not context.stop.is_hurried and context.clock() < deadline + _END_SECS:
            context.alarm.wait(_POLL_SECS)
            self._child.write_page()

    def close(self) -> None:
        """End the dispatcher if it still runs, and close the claims of names."""
        if self._dispatcher is not None and self._dispatcher.is_alive():
            self._dispatcher.stop(self._child.context.clock())
            self._dispatcher.join(_JOIN_SECS)
        self._claims.close()

    # -- requests and hooks -----------------------------------------------------------------------------------

    def queue_changed(self) -> None:
        """Have the dispatcher read the queue again."""
        if self._dispatcher is not None:
            self._dispatcher.queue_changed()

    def connect_now(self) -> dict[str, Any] | None:
        """See :meth:`Dispatcher.connect_now`."""
        return self._dispatcher.connect_now() if self._dispatcher is not None else None

    def settings_changed(self, settings: Mapping[str, Any]) -> None:
        """Have the dispatcher take the new values."""
        if self._dispatcher is not None:
            self._dispatcher.settings_changed(settings)

    def send_heartbeat(self) -> None:
        """Have the dispatcher write and send a heartbeat."""
        if self._dispatcher is not None:
            self._dispatcher.send_heartbeat()


def make_dispatcher(child: OpenChild, transport: str, client: UploadClient) -> Dispatcher:
    """The dispatcher of a child, not started yet. Raises ConfigError."""
    context, handoff = child.context, child.context.handoff
    settings = context.settings.current
    return Dispatcher(
        DeliveryContext(child.spool_thread, context.status_model, child.events, context.log, context.clock, context.wall),
        open_transport(transport, settings, handoff.state_dir),
        settings,
        ChildSide(client, client, client, child.aids.signature_cache, child.aids.prefixes),
        LoginContext(
            login_fingerprint(child.spool_thread, settings),
            handoff.config_file,
            lambda: read_from.change_text(handoff.state_dir, handoff.config_file),
        ),
    )
