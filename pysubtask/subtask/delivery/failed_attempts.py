"""What follows from a failed attempt: the decision of the retry rules, carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ...common.errors import AttemptFailed, FileRefused, LoginRefused, ServerBusy, SourceError, TransportError, TransportLost
from ...delivery_rules.retry import Decision
from ..spool.jobs import ClaimedJob
from .connection import Connection
from .context import DeliveryContext
from .interfaces import ChildSide
from .retry_rules import RetryRules
from .signature_tasks import SignatureTasks

_LEAST_SECS = 0.05
"""Seconds that a file waits at least after it failed alone, whatever the settings say: without a wait it would be tried in a loop
that takes all of the time."""

_HEARTBEAT = "a heartbeat"
"""The name under which the failures of heartbeats are counted; a remote name is never that, as it would have been refused."""


class FailedAttempts:
    """Belongs to the dispatcher's event loop. ``more``: where a person finds more about a problem."""

    def __init__(
        self,
        context: DeliveryContext,
        connection: Connection,
        rules: RetryRules,
        signatures: SignatureTasks,
        child: ChildSide,
        more: str,
    ) -> None:
        self._context = context
        self._connection = connection
        self._rules = rules
        self._signatures = signatures
        self._child = child
        self._more = more
        self._actions: Mapping[str, Callable[[ClaimedJob, Exception, float], Awaitable[None]]] = {
            "wait": self._all_wait,
            "hold": self._all_wait,
            "again": self._try_again,
            "park": self._park,
            "anew": self._withdraw,
        }

    async def follow(self, version: ClaimedJob, error: Exception) -> None:
        """Carry out what the retry rules decide about a failed attempt. The version is back in the queue, or withdrawn, when this
        returns."""
        decision = self._rules.decide(version.name, version.attempts, error)
        try:
            await self._actions.get(decision.action, self._try_again)(version, error, decision.secs)
        except (OSError, SourceError, TransportError):
            raise
        except Exception as exc:
            # The version must not stay in state "sending" for ever, which nobody would see.
            self._context.log.exception("What follows from the attempt at [%s] failed", version.name)
            await self._park(version, FileRefused(f"internal error: {type(exc).__name__}"), self._rules.park().secs)
        finally:
            self._context.status_model.end(version.id)

    def heartbeat_arrived(self) -> None:
        """A heartbeat was sent."""
        self._rules.arrived(_HEARTBEAT)
        self._connection.delivered()

    def follow_heartbeat(self, error: Exception) -> Decision:
        """Decide about a heartbeat that was not sent, and stop all where the decision says so."""
        decision = self._rules.decide(_HEARTBEAT, 0, error)
        if decision.action in ("wait", "hold"):
            self._stop_all(error, decision.secs)
        return decision

    async def _all_wait(self, version: ClaimedJob, error: Exception, secs: float) -> None:
        """All versions wait, this one too."""
        now = self._context.clock()
        at_once, until = self._stop_all(error, secs)
        if isinstance(error, ServerBusy):
            await self._context.ask(self._context.give_back, version, error, until)
            return
        # After a refused login the dispatcher waits, not the version. The reply may have been lost after the upload was done, so
        # the next try compares first.
        secs = 0.0 if at_once or isinstance(error, LoginRefused) else secs
        await self._context.ask(self._context.give_back, version, error, now + secs, compare=True)

    def _stop_all(self, error: Exception, secs: float) -> tuple[bool, float]:
        """Leave the connection alone for ``secs``, or end it, as the error says. Whether the jobs are due again at once, and until
        when a busy server is left alone (monotonic)."""
        if isinstance(error, ServerBusy):
            until = self._connection.pause(error, secs)
            self._child.client.page_changed()
            return False, until
        loss = error if isinstance(error, TransportLost | LoginRefused) else TransportLost(str(error))
        return self._connection.lost(loss), 0.0

    async def _try_again(self, version: ClaimedJob, error: Exception, secs: float) -> None:
        """This version alone waits. The next try first compares with the server, as the last one may have succeeded unnoticed."""
        secs = max(secs, _LEAST_SECS)
        text = "TRY of [%s] FAILED, others go on! Next try in [%.0f] secs: %s; %s"
        self._context.log.warning(text, version.name, secs, error, self._more)
        waiting = self._rules.waits(version.name, str(error), self._context.wall() + secs)
        self._context.status_model.set(tried_again=waiting)
        due = self._context.clock() + secs
        await self._context.ask(self._context.give_back, version, error, due, alone=round(secs, 1), compare=True)
        self._child.client.page_changed()

    async def _park(self, version: ClaimedJob, error: Exception, secs: float) -> None:
        """This version is left until it is offered again."""
        self._context.log.error("PARKED [%s], next offer in [%.0f] secs: %s; %s", version.name, secs, error, self._more)
        # Its count stays, so that the next failure parks it again at once.
        self._context.status_model.set(tried_again=self._rules.waits(version.name, "", 0.0))
        due, compare = self._context.clock() + secs, isinstance(error, AttemptFailed)
        await self._context.ask(self._context.give_back, version, error, due, park=True, compare=compare)
        self._child.client.page_changed()

    async def _withdraw(self, version: ClaimedJob, error: Exception, secs: float) -> None:
        """The snapshot of this version cannot be used: a new one is taken."""
        self._context.log.warning("Snapshot of [%s] cannot be sent, taking it anew: %s", version.path, error)
        self._signatures.over(version.id)
        self._rules.withdrawn(version.name)
        path = await self._context.ask(self._context.withdraw, version, str(error))
        if path is not None:
            self._child.files.snapshot_lost(path)
