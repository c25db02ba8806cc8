"""The connection to the server: when it is opened, how it ends, and what is known of its state."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

from ...common import limits
from ...common.errors import ConfigError, LoginRefused, ServerBusy, TransportError, TransportLost
from ...common.limits import is_limit
from ...transports.base import Transport
from .connection_report import ConnectionReport
from .context import DeliveryContext
from .idle_timeout import IdleTimeout
from .login_schedule import LoginSchedule
from .temp_files import TempFiles

IDLE_SECS = 5.0
"""Seconds without traffic after which a connection may have died unnoticed: its loss costs no try then."""
_CLOSE_SECS = 5.0
"""Seconds. A server that does not answer must not keep the next login, or the end of the child, for longer."""
_EXTRA = "extra_login"
"""Key of a small value in the spool: when a refused login was last tried on request, by the wall clock."""
_REFUSED = "refused"
"""Key of a small value in the spool: the refused logins in a row; see LoginSchedule.count."""

Loss = TransportLost | LoginRefused


class CalledBack(TransportLost):
    """This side gives up a good connection: a job in flight was paused, or the child stops."""


class ConnectionState(NamedTuple):
    """``is_open``: a login went well, and the connection was not closed since. ``lost``: the error that ended the connection or its
    login, None while the connection is good. ``held``: the last login was refused. Times are monotonic, in seconds: ``try_at`` (no
    login before), ``busy_until`` (the server wants no request before), ``active_at`` (when something was last sent or
    delivered)."""

    is_open: bool
    lost: Loss | None
    held: bool
    try_at: float
    busy_until: float
    active_at: float


class Connection:
    """Belongs to the dispatcher's event loop; see :class:`ConnectionState` for what the loop reads.

    ``fingerprint``: a few bits that change with the settings of the login."""

    def __init__(
        self, transport: Transport, context: DeliveryContext, fingerprint: str, schedule: LoginSchedule, report: ConnectionReport
    ) -> None:
        self._transport = transport
        self._context = context
        self._fingerprint = fingerprint
        self._schedule = schedule
        self._report = report
        self._temps = TempFiles(transport, context)
        self._idle = IdleTimeout()
        self._phase = "closed"
        self._lost: Loss | None = None
        self._busy_until = 0.0
        self._active_at = context.clock()
        self._may_be_dead = False

    def state(self) -> ConnectionState:
        """The present state."""
        if self._phase == "open":  # no login is held, nor has one to wait
            return ConnectionState(True, self._lost, False, 0.0, self._busy_until, self._active_at)
        held, try_at = bool(self._schedule.held), self._schedule.try_at
        return ConnectionState(False, self._lost, held, try_at, self._busy_until, self._active_at)

    # -- opened and closed --------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Recall what was kept of refused logins before a restart."""
        extra_at = str(await self._context.ask(self._context.spool.meta.get, _EXTRA, ""))
        refused = str(await self._context.ask(self._context.spool.meta.get, _REFUSED, ""))
        left, is_untrusted = self._schedule.restore(extra_at, refused, self._fingerprint)
        if left > 0:
            self._report.held_before(self._schedule.held, left, is_untrusted=is_untrusted)

    async def connect(self) -> bool:
        """Open the connection and log in; whether that went well. Where it did not, that is reported, and the next login is
        scheduled. A cancelled login leaves nothing open."""
        extra_at = self._schedule.begin()
        if extra_at is not None:
            # Kept before the login: a child that is started again must not ask the server more often than once a minute.
            await self._context.ask(self._context.spool.meta.set, _EXTRA, repr(extra_at))
        self._phase = "connecting"
        try:
            await self._transport.connect()
            await self._temps.sweep()
        except asyncio.CancelledError:
            await self._transport.close()
            self._phase = "closed"
            raise
        except Exception as exc:  # noqa: BLE001 - logged with its traceback, unless it is one that the retry rules know
            await self._transport.close()
            await self._login_failed(self._login_error(exc))
            return False
        self._phase, self._lost = "open", None
        self._active_at = self._context.clock()
        if self._schedule.went_well():
            await self._context.ask(self._context.spool.meta.set, _REFUSED, "")
        self._report.connected()
        return True

    def _login_error(self, exc: Exception) -> Exception:
        """The error as one that the retry rules know."""
        if isinstance(exc, (TransportError, ConfigError)):
            return exc
        if is_limit(exc):
            return TransportLost(limits.reached(), limits.REMEDY)
        self._context.log.error("Connecting failed", exc_info=exc)
        return TransportLost(f"internal error: {exc!r}")

    async def _login_failed(self, error: Exception) -> None:
        failure = self._report.failure(error)
        kept = self._schedule.count(error, failure.cause, self._fingerprint)
        if kept is not None:
            await self._context.ask(self._context.spool.meta.set, _REFUSED, kept)
        then = self._schedule.after(error)
        if isinstance(error, ServerBusy) and error.retry_after > 0:
            self._busy_until = self._schedule.try_at
        self._phase = "closed"
        self._report.login_failed(error, failure, then)

    async def disconnect(self, *, idle_at: float | None = None) -> None:
        """Close the connection. ``idle_at``: it is closed because nothing was notified or sent since this time."""
        if idle_at is None:
            await self._close()
            return
        quiet = self._context.clock() - idle_at
        self._report.idle(quiet)
        try:
            await self._temps.sweep()
        except TransportError as exc:
            self._context.log.info("Connection was gone already: %s", exc)
        await self._close()
        self._report.resting(quiet)

    async def _close(self) -> None:
        if self._phase == "open":
            self._phase = "closed"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECS):
                    await self._transport.close()

    async def recover(self) -> None:
        """After a lost connection was closed and everything in flight has ended: schedule the next login as the retry rules
        say."""
        error, self._lost = self._lost, None
        was_idle, self._may_be_dead = self._may_be_dead, False
        if error is None:
            return
        if isinstance(error, CalledBack):
            self._context.log.info("What is paused was called back; the rest goes on over a new connection")
            self.show()
        elif was_idle:
            self._report.was_dead(error, self._idle.died())
            self.show()
        elif (then := self._schedule.after_loss(error)) is not None:
            self._report.lost(error, then)
        else:
            await self._login_failed(error)

    # -- called for uploads -------------------------------------------------------------------------------

    def used(self, *, is_first: bool) -> None:
        """An upload begins. ``is_first``: nothing else is in flight, so after a pause it finds out whether something on the way has
        closed the connection meanwhile."""
        now = self._context.clock()
        if is_first:
            self._may_be_dead = now - self._active_at > IDLE_SECS
            self._idle.begins(now - self._active_at)
        self._active_at = now

    def delivered(self) -> None:
        """Something arrived."""
        self._may_be_dead = False
        self._active_at = self._context.clock()
        self._schedule.delivered()
        self._idle.lived()

    def lost(self, error: Loss) -> bool:
        """The connection or its login ended with this error; the first one counts. Whether jobs are due again at once: the
        connection had died while it was idle, or is given up."""
        self._lost = self._lost or error
        return self._may_be_dead or isinstance(error, CalledBack)

    def pause(self, error: ServerBusy, secs: float) -> float:
        """The server asked for a pause of ``secs``; the time until which nothing is sent (monotonic)."""
        now = self._context.clock()
        if self._busy_until <= now:
            self._report.busy(error, secs)
        self._busy_until = max(self._busy_until, now + secs)
        return self._busy_until

    def end_pause(self) -> None:
        """Report the end of a pause that is over."""
        if self._busy_until and self._busy_until <= self._context.clock() and self._lost is None:
            self._busy_until = 0.0
            if self._phase == "open":
                self._report.goes_on()

    # -- called for requests ------------------------------------------------------------------------------

    def show(self) -> None:
        """Enter the present state on the status page."""
        now = self._context.clock()
        self._report.state(
            is_connected=self._phase == "open",
            is_busy=self._busy_until > now,
            held=self._schedule.held,
            is_waiting=self._schedule.try_at > now,
        )
        if self._phase == "closed" and self._schedule.try_at > now:
            self._report.next_try(self._schedule.try_at - now)

    def try_now(self, but: str = "") -> dict[str, Any]:
        """Connect at once, because somebody has repaired the cause of a failure; see :meth:`Dispatcher.connect_now`. ``but``: the
        state of the child that forbids it."""
        self._schedule.forget_failed_logins()
        if self._transport.profile is not None:  # the server may have been repaired
            self._transport.profile.try_again()
        now = self._context.clock()
        if but:
            return {"state": but}
        if self._busy_until > now:
            return {"state": "busy", "secs": round(self._busy_until - now, 1)}
        is_in_progress = self._phase == "connecting" or (self._phase == "open" and self._lost is not None)
        if self._phase == "open" and not is_in_progress:
            return {"state": "connected"}
        secs = self._schedule.try_now(in_progress=is_in_progress)
        if is_in_progress:
            return {"state": "connecting"}
        if self._schedule.try_at > now:
            self._report.next_try(secs)
        return {"state": "held", "secs": round(secs, 1)} if secs > 0 else {"state": "connecting"}
