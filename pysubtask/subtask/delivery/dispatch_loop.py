"""Carries out what :func:`~.next_action.next_action` decides, until a stop is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...delivery_rules.retry import Policy
from ...transports.base import Transport
from ..spool.jobs import ClaimedJob
from ..spool.queue_admin import EVERYTHING
from ..spool.standing_claim import ClaimTerms
from .connection import CalledBack, Connection
from .context import DeliveryContext
from .due_jobs import DueJobs
from .heartbeats import Heartbeats
from .interfaces import DispatcherClient
from .link_usage import LinkUsage
from .login_schedule import LoginSchedule
from .next_action import (
    LONGEST_SLEEP,
    NEVER,
    Action,
    Claim,
    Connect,
    Disconnect,
    End,
    Facts,
    Hold,
    SendHeartbeat,
    Sleep,
    next_action,
)
from .retry_rules import RetryRules
from .uploads import Commits, Uploads

TURN_SECS = 1.0
"""Seconds between two turns of the loop that are noted while it waits: whoever finds none for StallSecs and this knows that the
loop hangs."""


class DispatchSettings(NamedTuple):
    """The live settings of the dispatcher, as values that no other thread changes. ``concurrency``: Concurrency. ``dead_secs``:
    DeadTimeMilli, in seconds. ``stall_secs``: StallSecs. ``rate_limit``: RateLimit, bytes in a second. ``logins_per_minute``:
    LoginsPerMinute. ``policy``: those of the retry rules."""

    concurrency: int
    dead_secs: float
    stall_secs: float
    rate_limit: float
    logins_per_minute: int
    policy: Policy

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> DispatchSettings:
        """The present values of the settings of a child."""
        return cls(
            int(settings["Concurrency"]),
            settings["DeadTimeMilli"] / 1000,
            float(settings["StallSecs"]),
            float(settings.get("RateLimit", 0.0)),
            int(settings.get("LoginsPerMinute", 0)),
            Policy.of(settings),
        )


class Capabilities(NamedTuple):
    """Which ways to send a file the settings ask for. ``appends``: into the server's file, in place; ``delta``: only the changed
    parts."""

    appends: bool
    delta: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Capabilities:
        """What the settings of a child ask for."""
        return cls(not settings.get("AtomicAppend"), bool(settings.get("DeltaTransfer")))


class Delivery(NamedTuple):
    """The parts that the loop drives: the ``connection`` with the ``schedule`` of its logins, the ``uploads`` in flight with the
    retry ``rules``, the ``commits`` of what is finished, the ``heartbeats``, the ``usage`` of the link, and what is ``due``."""

    connection: Connection
    schedule: LoginSchedule
    rules: RetryRules
    uploads: Uploads
    commits: Commits
    heartbeats: Heartbeats
    usage: LinkUsage
    due: DueJobs


class DispatchLoop:
    """Belongs to the dispatcher's event loop: created, run and called there."""

    def __init__(
        self,
        context: DeliveryContext,
        transport: Transport,
        settings: DispatchSettings,
        capabilities: Capabilities,
        client: DispatcherClient,
        delivery: Delivery,
    ) -> None:
        self._context = context
        self._transport = transport
        self._settings = settings
        self._capabilities = capabilities
        self._client = client
        self._delivery = delivery
        self._deadline = NEVER
        self._notified_at = context.clock()
        self._expected_until = 0.0
        self._turned_at = context.clock()

    # -- what has happened elsewhere ----------------------------------------------------------------------

    def jobs_added(self) -> None:
        """Files were notified, and their jobs are in the queue: the dead time starts again."""
        self._notified_at = self._context.clock()
        self._expected_until = 0.0
        self._delivery.due.added()

    def expect(self, until: float) -> bool:
        """A snapshot is being made, and will have to be sent before ``until`` (monotonic). Whether the loop has to be woken for it,
        to connect. From any thread: waking a loop costs more than the rest, and a connected one need not know at once."""
        self._expected_until = until
        return not self.is_connected

    def wake(self) -> None:
        """End the wait of the loop."""
        self._delivery.due.wake()

    def queue_changed(self) -> None:
        """The queue was changed from outside: uploads in flight of versions that were paused are called back."""
        paused = self._context.spool.queue_admin.paused
        if self._delivery.uploads.carries(None if EVERYTHING in paused else paused):
            self._delivery.connection.lost(CalledBack("paused"))
        self._delivery.due.changed()

    def settings_changed(self, settings: DispatchSettings) -> None:
        """Take the new values of live settings."""
        self._settings = settings
        self._delivery.schedule.settings_changed(settings.policy, settings.logins_per_minute)
        self._delivery.rules.settings_changed(settings.policy)
        if self._transport.pace is not None:
            self._transport.pace.rate = settings.rate_limit
        self._delivery.due.changed()

    def connect_now(self) -> dict[str, Any]:
        """See :meth:`Dispatcher.connect_now`."""
        self._delivery.due.changed()
        if self._deadline != NEVER:
            return self._delivery.connection.try_now("stopping")
        return self._delivery.connection.try_now("paused" if self._is_paused else "")

    def send_heartbeat(self) -> None:
        """Send a heartbeat as soon as possible."""
        self._delivery.heartbeats.request()
        self._delivery.due.wake()

    def stop(self, deadline: float) -> None:
        """Send what is queued until ``deadline`` (monotonic), then end."""
        self._deadline = deadline
        self._delivery.due.changed()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._delivery.connection.state().is_open

    @property
    def turned_at(self) -> float:
        """When the event loop was last seen to turn (monotonic)."""
        return self._turned_at

    @property
    def _is_paused(self) -> bool:
        return EVERYTHING in self._context.spool.queue_admin.paused

    # -- the loop -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is due until a stop is done; then everything in flight has ended and is committed, or back in the queue."""
        delivery = self._delivery
        tasks = [
            asyncio.create_task(self._note_turns()),
            asyncio.create_task(delivery.commits.run(lambda: delivery.uploads.counts().in_flight)),
        ]
        try:
            while True:
                delivery.due.begin_turn()
                self._show_pause()
                facts = await self._facts()
                action = next_action(facts)
                if isinstance(action, End):
                    break
                await self._carry_out(action, facts)
        finally:
            await self._withdraw_claim(0)
            await delivery.uploads.end(CalledBack("stopped"))
            await delivery.commits.drain()
            await delivery.connection.disconnect()
            delivery.usage.show()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _note_turns(self) -> None:
        while True:
            self._turned_at = self._context.clock()
            counts = self._delivery.uploads.counts()
            if counts.in_flight or counts.uncommitted:
                self._delivery.usage.show()
            await asyncio.sleep(TURN_SECS)

    async def _facts(self) -> Facts:
        """What the next decision needs. Without a connection the queue itself is asked what is due."""
        delivery, now = self._delivery, self._context.clock()
        delivery.connection.end_pause()
        connection, counts = delivery.connection.state(), delivery.uploads.counts()
        due_at = delivery.due.at
        if not connection.is_open:
            delivery.due.forget()
            found = await self._context.ask(self._context.spool.queue.next_due)
            due_at, connection = NEVER if found is None else found, delivery.connection.state()
        places = min(self._settings.concurrency, self._transport.traits.concurrency) if connection.is_open else 1
        # One of four places is kept for small versions, so that live data does not wait behind a queue of big ones.
        large_places = min(self._transport.big_at_once, max(1, places - (places + 3) // 4))
        return Facts(
            now,
            connection.is_open,
            connection.lost is not None,
            connection.held,
            connection.try_at,
            connection.busy_until,
            due_at,
            delivery.due.claimed_at,
            delivery.heartbeats.is_due,
            counts.in_flight,
            counts.large,
            counts.uncommitted,
            places,
            large_places,
            self._expected_until,
            max(self._notified_at, connection.active_at) + self._settings.dead_secs,
            self._deadline,
            self._is_paused,
        )

    async def _carry_out(self, action: Action, facts: Facts) -> None:
        match action:
            case Connect():
                await self._connect()
            case Claim():
                await self._claim(action, facts)
            case SendHeartbeat():
                self._delivery.uploads.begin_heartbeat()
            case Disconnect("lost"):
                await self._recover()
            case Disconnect():
                await self._delivery.connection.disconnect(idle_at=facts.idle_at - self._settings.dead_secs)
                self._delivery.usage.show()
                self._client.page_changed()
            case Hold() | Sleep():
                await self._wait(action, facts)

    async def _wait(self, action: Hold | Sleep, facts: Facts) -> None:
        if not facts.connected:
            self._show_wait(action, facts)
        standing = action.standing if isinstance(action, Sleep) else None
        if standing is not None:
            context, methods = self._context, self._methods()
            terms = ClaimTerms(standing.places, standing.large, facts.now, methods["appends"], methods["copies"], context.begun)
            context.spool.queue.standing.leave(terms)
        self._delivery.uploads.wake_below(action.wake_below if isinstance(action, Sleep) else -1)
        await self._delivery.due.wait(action.until - self._context.clock())
        if standing is not None:
            await self._withdraw_claim(standing.places)

    async def _withdraw_claim(self, places: int) -> None:
        """End the claim that was left with the queue, before anything else, and begin the uploads of what was claimed by it."""
        due, claim = self._delivery.due, self._context.spool.queue.standing
        claimed = claim.withdraw()
        if claimed is None:  # its commit runs
            claimed = await self._context.spool_thread.ask(claim.withdraw) or ()
        await self._begin(claimed)
        if 0 < len(claimed) < places and claim.commits == claim.settled_by:
            due.all_claimed(self._context.clock())

    def _show_wait(self, action: Hold | Sleep, facts: Facts) -> None:
        """Without a connection: write to the status page whether something waits for the next login."""
        status_model = self._context.status_model
        if isinstance(action, Hold):
            if status_model.get("state") == "watching":
                self._delivery.connection.show()
                self._client.page_changed()
        elif facts.due_at == NEVER and not facts.paused:
            # The expected snapshot did not come. No further try follows the failed one, so the state is no longer "waiting".
            status_model.leave("waiting", "watching")
            status_model.set(next_try=None)

    async def _claim(self, action: Claim, facts: Facts) -> None:
        """Claim due jobs and begin their uploads."""
        due, context = self._delivery.due, self._context
        reads_due = due.begin_claim(facts.now)
        versions, next_due = await context.ask(
            context.take_and_next_due, action.places, facts.now, context.wall(), big=action.large, poll=reads_due, **self._methods()
        )
        await self._begin(versions)
        due.claimed(len(versions), action.places, facts.now, next_due, reads_due=reads_due)

    async def _begin(self, versions: Sequence[ClaimedJob]) -> None:
        """Begin the uploads of claimed versions. Where the server has asked for a pause while they were claimed, they wait."""
        until = self._delivery.connection.state().busy_until
        for version in versions:
            if until > self._context.clock():
                await self._context.ask(self._context.give_back, version, "the server asked for a pause", until)
                self._delivery.due.changed()
            else:
                self._delivery.uploads.begin(version)

    def _methods(self) -> dict[str, bool]:
        traits = self._transport.traits
        return {"appends": traits.appends and self._capabilities.appends, "copies": traits.copies}

    def _show_pause(self) -> None:
        """Write to the status page that the task is paused, or that it goes on."""
        by = self._context.spool.queue_admin.paused.get(EVERYTHING)
        status_model = self._context.status_model
        state = status_model.get("state")
        if by is not None and state not in ("paused", "stopping", "stopped"):
            status_model.state("paused", f"paused by {by}")
            self._client.page_changed()
        elif by is None and state == "paused":
            self._delivery.connection.show()
            self._client.page_changed()

    # -- the connection -----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._context.status_model.state("connecting")
        self._client.page_changed()
        if await self._before_the_deadline(self._delivery.connection.connect):
            methods = self._methods()
            self._client.server_can(any(methods.values()), methods["copies"] and self._capabilities.delta)
        self._delivery.usage.show()
        self._client.page_changed()

    async def _before_the_deadline(self, connect: Callable[[], Any]) -> bool:
        """Connect within the deadline of a stop, which may be asked for meanwhile; whether that went well."""
        task = asyncio.create_task(connect())
        due = self._delivery.due
        try:
            while not task.done() and (left := self._deadline - self._context.clock()) > 0:
                due.begin_turn()
                woken = asyncio.create_task(due.wait(min(left, LONGEST_SLEEP)))
                await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
            return bool(await task) if task.done() else False
        finally:
            due.wake()  # what woke the loop meanwhile is not handled yet
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _recover(self) -> None:
        """The connection broke: close it, end the uploads in flight, then go on as the retry rules say."""
        connection = self._delivery.connection
        lost = connection.state().lost
        await connection.disconnect()
        if lost is not None:
            await self._delivery.uploads.end(lost)
        await connection.recover()
        self._delivery.usage.show()
        self._client.page_changed()
