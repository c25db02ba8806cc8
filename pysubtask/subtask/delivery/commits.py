"""Commits finished uploads: several that finish together share one commit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from ...common.logs import info_each
from ...common.receipts import Receipt
from ..spool.jobs import DeliveryResult
from .connection import Connection
from .context import DeliveryContext
from .retry_rules import RetryRules
from .signature_tasks import SignatureTasks

_GATHER_SECS = 0.01
"""Seconds that a finished upload waits for others to share its commit, while others are in flight: a commit costs a sync of the
disk."""


class Commits:
    """Created on the dispatcher's event loop. ``committed``: called after each commit, with the time when a job is due that waited
    behind the delivered ones (monotonic; None where there is none)."""

    def __init__(
        self,
        context: DeliveryContext,
        connection: Connection,
        rules: RetryRules,
        signatures: SignatureTasks,
        committed: Callable[[float | None], None],
    ) -> None:
        self._context = context
        self._connection = connection
        self._rules = rules
        self._signatures = signatures
        self._committed = committed
        self._finished: asyncio.Queue[DeliveryResult] = asyncio.Queue()
        self._uncommitted = 0

    @property
    def is_empty(self) -> bool:
        """Whether every finished upload is committed."""
        return not self._uncommitted

    def add(self, done: DeliveryResult) -> None:
        """An upload is finished."""
        self._uncommitted += 1
        self._finished.put_nowait(done)

    async def drain(self) -> None:
        """Wait until everything finished is committed."""
        await self._finished.join()

    async def run(self, in_flight: Callable[[], int]) -> None:
        """Commit what is added, until cancelled; those that finish while a commit runs share the next one. ``in_flight``: the
        number of uploads that are not finished."""
        while True:
            dones = [await self._finished.get()]
            if in_flight() > 1:
                await asyncio.sleep(_GATHER_SECS)
            while not self._finished.empty():
                dones.append(self._finished.get_nowait())
            await self._commit(dones)

    async def _commit(self, dones: Sequence[DeliveryResult]) -> None:
        written, due = await self._context.ask(self._context.deliver_and_next_due, dones)
        if written:
            self._connection.delivered()
        waiting = self._rules.arrived(*(receipt.name for _, receipt in written))
        self._log(written)
        self._context.status_model.set(tried_again=waiting)
        self._uncommitted -= len(dones)
        for done in dones:
            self._signatures.over(done.id)
            self._finished.task_done()
        self._committed(due)

    def _log(self, written: Sequence[tuple[DeliveryResult, Receipt]]) -> None:
        for unchanged, rows in itertools.groupby(written, key=lambda one: one[0].unchanged):
            if unchanged:
                names = ((receipt.name,) for _, receipt in rows)
                info_each(self._context.log, "[%s] unchanged, already on server", names, "unchanged")
            else:
                info_each(
                    self._context.log,
                    "Uploaded [%s] ([%d] bytes, [%d] sent)",
                    ((receipt.name, receipt.size, done.bytes_sent) for done, receipt in rows),
                    "uploaded",
                )
