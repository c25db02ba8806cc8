"""Sends due versions to the server: queue -> transport -> receipt -> done.

The dispatcher is a thread of its own with an event loop. What happens next is decided by :mod:`next_action` and carried out by
:mod:`dispatch_loop`, which connects when there is something to send, keeps as many uploads in flight as server and settings allow,
and closes the connection when nothing was notified for the dead time. When to try again is decided by :mod:`retry`. No module here
knows a protocol or SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ...common.remedy import says_more
from ...delivery_rules.login_limit import LoginLimit
from ...transports.base import Transport
from .connection import Connection
from .connection_report import ConnectionReport
from .context import DeliveryContext
from .dispatch_loop import TURN_SECS, Capabilities, Delivery, DispatchLoop, DispatchSettings
from .due_jobs import DueJobs
from .failed_attempts import FailedAttempts
from .heartbeats import Heartbeats
from .interfaces import ChildSide, LoginContext
from .link_usage import LinkUsage
from .login_schedule import LoginSchedule
from .retry_rules import RetryRules
from .server_profile import follow
from .signature_tasks import SignatureTasks
from .upload_attempt import UploadAttempts
from .uploads import Commits, Uploads

EXPECT_SECS = 10.0
"""Seconds that the connection is kept for a snapshot that is being made: a large one takes longer and is then sent anyway."""
ANSWER_SECS = 2.0
"""Seconds that a request to connect waits for the loop; a reply is owed to a person who waits for it."""


class Dispatcher:
    """Called by the main thread: ``start``, then ``jobs_added`` and ``queue_changed`` after each change of the queue, ``stop`` with
    a deadline, then ``join``.

    ``settings`` are the resolved settings of the child; a change of live ones is handed over with :meth:`settings_changed`.
    """

    def __init__(
        self, context: DeliveryContext, transport: Transport, settings: Mapping[str, Any], child: ChildSide, login: LoginContext
    ) -> None:
        self._context = context
        self._transport = transport
        self._settings = DispatchSettings.of(settings)
        self._capabilities = Capabilities.of(settings)
        self._child = child
        self._login = login
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._ready = threading.Event()
        # Both are set while the thread runs its event loop, and used by the main thread.
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._loop: DispatchLoop | None = None
        self._stop_at: float | None = None
        self._expected_until = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._ready.wait()

    def jobs_added(self) -> None:
        """Take up new versions of the queue; the dead time starts again."""
        self._expected_until = 0.0
        self._call(lambda loop: loop.jobs_added())

    def queue_changed(self) -> None:
        """Read the queue again: it was changed from outside (a pause, a retry, a drop). Uploads in flight of versions that were
        paused are called back."""
        self._call(lambda loop: loop.queue_changed())

    def expect(self) -> None:
        """Connect now, because a snapshot is being made and will have to be sent soon."""
        loop, now = self._loop, self._context.clock()
        if loop is not None and now > self._expected_until - EXPECT_SECS / 2:  # not for each of thousands of files
            self._expected_until = now + EXPECT_SECS
            if loop.expect(self._expected_until):
                self._call(lambda loop: loop.wake())

    def settings_changed(self, settings: Mapping[str, Any]) -> None:
        """Take the new values of live settings."""
        self._settings = values = DispatchSettings.of(settings)
        self._call(lambda loop: loop.settings_changed(values))

    def connect_now(self) -> dict[str, Any]:
        """Connect at once, because a person has repaired the cause of the failure. The reply has a ``state``: connected,
        connecting, held (a refused login is tried on request once a minute, next in ``secs``), busy (the server asked for a pause
        of ``secs`` more), paused, stopping, or unknown (the loop hangs)."""
        reply: Future[dict[str, Any]] = Future()
        self._call(lambda loop: reply.set_result(loop.connect_now()))
        with contextlib.suppress(TimeoutError):
            return reply.result(ANSWER_SECS)
        return {"state": "unknown"}

    def send_heartbeat(self) -> None:
        """Send a heartbeat as soon as possible; several requests without a connection become one heartbeat."""
        self._call(lambda loop: loop.send_heartbeat())

    def stop(self, deadline: float) -> None:
        """Send what is queued until ``deadline`` (monotonic), then disconnect and end."""
        self._stop_at = deadline
        self._call(lambda loop: loop.stop(deadline))

    def join(self, secs: float) -> bool:
        """Wait up to ``secs`` for the end of the thread; True where it ended."""
        self._thread.join(secs)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def is_stalled(self, now: float) -> bool:
        """Whether the loop has made no turn for longer than any wait in it may last."""
        loop = self._loop
        return loop is not None and self.is_alive() and now - loop.turned_at > self._settings.stall_secs + TURN_SECS

    def _call(self, call: Callable[[DispatchLoop], Any]) -> None:
        event_loop, loop = self._event_loop, self._loop
        if event_loop is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                event_loop.call_soon_threadsafe(call, loop)

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self.main())
        except Exception:
            self._context.log.exception("The courier failed")
            self._context.events.emit("courier_failed")
        finally:
            self._ready.set()
            self._child.client.page_changed()

    async def main(self) -> None:
        """The work of the thread, on its event loop."""
        context = self._context
        self._event_loop = asyncio.get_running_loop()
        context.spool_thread.asked_on(self._event_loop)
        try:
            delivery = self._delivery()
            loop = DispatchLoop(context, self._transport, self._settings, self._capabilities, self._child.client, delivery)
            if self._stop_at is not None:
                loop.stop(self._stop_at)
            self._loop = loop
            await delivery.connection.restore()
            await follow(context, self._transport)
            self._ready.set()
            await loop.run()
        finally:
            context.spool_thread.asked_on(None)
            self._event_loop = self._loop = None

    def _delivery(self) -> Delivery:
        """The parts of the loop, made on its event loop."""
        context, transport, child, policy = self._context, self._transport, self._child, self._settings.policy
        more = says_more(self._login.config_file)
        due = DueJobs()
        usage = LinkUsage(transport, context.status_model)
        rules = RetryRules(policy)
        limit = LoginLimit(self._settings.logins_per_minute)
        schedule = LoginSchedule(policy, limit, context.clock, context.wall)
        report = ConnectionReport(context, self._login, transport.label)
        connection = Connection(transport, context, self._login.fingerprint, schedule, report)
        signatures = SignatureTasks(context, self._capabilities.delta, child.signatures)

        def committed(due_at: float | None) -> None:
            usage.show()
            due.due(due_at)
            child.client.page_changed()

        commits = Commits(context, connection, rules, signatures, committed)
        heartbeats = Heartbeats(transport, context, child.client.write_heartbeat, more)
        attempts = UploadAttempts(transport, context, signatures, child)
        failed = FailedAttempts(context, connection, rules, signatures, child, more)
        uploads = Uploads(connection, attempts, failed, commits, heartbeats, usage, due)
        return Delivery(connection, schedule, rules, uploads, commits, heartbeats, usage, due)
