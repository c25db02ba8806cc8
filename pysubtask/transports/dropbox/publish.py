"""Commits: many upload sessions in one call, one call at a time.

Dropbox locks a whole namespace for each write, so parallel commits only delay each other. Source: "Performance guide" of the
Dropbox API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...common.errors import FileRefused, TransportLost
from ..shared.calls import fail

MOST = 1000
"""Entries in one call ("upload_session/finish_batch_v2" in the Dropbox API reference)."""
LINGER_SECS = 0.2
"""Wait for files that the queue has yet to begin, before a call: time for the queue's next claim, and little for who waits."""
LONGEST_SECS = 10.0
"""The longest that a finished upload waits for others: a slow one among them must not hold back the rest."""


class Publisher:
    """Belongs to the event loop on which it was created. ``commit`` makes the call: entries in, one result for each out.

    A call waits until no file that is to join it is under way any more, and ``LINGER_SECS`` longer for files that the queue has
    yet to begin; ``LONGEST_SECS`` at most.
    """

    def __init__(self, commit: Callable[[list[Any]], Awaitable[list[Any]]]) -> None:
        self._commit = commit
        self._loop = asyncio.get_running_loop()
        self._pending: list[tuple[Any, asyncio.Future[Any]]] = []
        self._coming = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()
        """Held during each commit, also by a caller that commits without this object."""

    def coming(self, number: int) -> None:
        """Announce ``number`` more files (or fewer, where negative) on their way to :meth:`publish`."""
        self._coming += number
        self._consider()

    async def publish(self, entry: Any) -> Any:
        """The result for ``entry``; raises the error of the call."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if not self._pending:
            self._since = self._loop.time()
        self._pending.append((entry, answer))
        self._consider()
        return await answer

    def close(self) -> None:
        """End every waiting entry in TransportLost."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        _fail(self._pending, TransportLost("closed meanwhile"))
        self._pending = []

    def _consider(self) -> None:
        """Set the time of the next call again: each event delays it a little, up to a limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending or (self._task is not None and not self._task.done()):
            return
        waited = self._loop.time() - self._since
        limit = max(0.0, LONGEST_SECS - waited)
        if len(self._pending) >= MOST:
            self._begin()
        else:
            self._timer = self._loop.call_later(min(LINGER_SECS, limit) if self._coming <= 0 else limit, self._begin)

    def _begin(self) -> None:
        batch, self._pending = self._pending[:MOST], self._pending[MOST:]
        self._since = self._loop.time()
        self._task = self._loop.create_task(self._send(batch))

    async def _send(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            await self._publish(batch)
        except asyncio.CancelledError:
            _fail(batch, TransportLost("closed meanwhile"))
            raise
        finally:
            self._task = None
            self._consider()

    async def _publish(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            async with self.lock:
                answers = await self._commit([entry for entry, _ in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} entries")
        except FileRefused as exc:
            if len(batch) == 1:
                _fail(batch, exc)
                return
            # The whole call was refused, and one entry may be the reason: halves find it.
            half = len(batch) // 2
            for part in (batch[:half], batch[half:]):
                await self._publish(part)
        except Exception as exc:  # noqa: BLE001 - each caller must see the exception
            _fail(batch, exc)
        else:
            for (_, answer), result in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(result)


def _fail(batch: list[tuple[Any, asyncio.Future[Any]]], exc: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            fail(answer, exc)
