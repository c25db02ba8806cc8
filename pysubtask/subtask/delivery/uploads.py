"""The uploads in flight on one connection, and the commits of those that are finished."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Any, NamedTuple

from ...common.logs import info_each
from ...common.receipts import Receipt
from ..spool.jobs import ClaimedJob, DeliveryResult
from ..spool.queue import BIG_BYTES
from .connection import CalledBack, Connection, Loss
from .context import DeliveryContext
from .due_jobs import DueJobs
from .failed_attempts import FailedAttempts
from .heartbeats import Heartbeats
from .link_usage import LinkUsage
from .retry_rules import RetryRules
from .signature_tasks import SignatureTasks
from .upload_attempt import UploadAttempts

_HEARTBEAT = -1
_GATHER_SECS = 0.01
"""Seconds that a finished upload waits for others to share its commit, while others are in flight: a commit costs a sync of the
disk."""


class UploadCounts(NamedTuple):
    """``in_flight``: uploads, a heartbeat among them; ``large``: those above BIG_BYTES. ``uncommitted``: uploads are finished, and
    wait for their commit."""

    in_flight: int
    large: int
    uncommitted: bool


class _InFlight(NamedTuple):
    """``job``: the id of the version."""

    job: int
    name: str
    is_large: bool


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


class Uploads:
    """Created and used on the dispatcher's event loop. Each upload is a task; what it comes to is handed to ``commits``, or to
    ``failed``. ``due``: learns of each free place, and of each version that was given back."""

    def __init__(
        self,
        connection: Connection,
        attempts: UploadAttempts,
        failed: FailedAttempts,
        commits: Commits,
        heartbeats: Heartbeats,
        usage: LinkUsage,
        due: DueJobs,
    ) -> None:
        self._connection = connection
        self._attempts = attempts
        self._failed = failed
        self._commits = commits
        self._heartbeats = heartbeats
        self._usage = usage
        self._due = due
        self._tasks: dict[asyncio.Task[None], _InFlight] = {}
        self._past_attempt: set[int] = set()
        self._large = 0
        self._wake_below = -1
        self._end_reason: Loss | None = None

    def counts(self) -> UploadCounts:
        """The present numbers."""
        return UploadCounts(len(self._tasks), self._large, not self._commits.is_empty)

    def carries(self, names: Container[str] | None) -> bool:
        """Whether a version under one of these remote names (None: any name) is in flight."""
        return any(one.job != _HEARTBEAT and (names is None or one.name in names) for one in self._tasks.values())

    def wake_below(self, number: int) -> None:
        """The dispatcher wants to be woken as soon as no more than this number are in flight."""
        self._wake_below = number

    # -- begun and ended ----------------------------------------------------------------------------------

    def begin(self, version: ClaimedJob) -> None:
        """Send a version."""
        self._track(self._upload(version), _InFlight(version.id, version.name, version.size - version.base > BIG_BYTES))

    def begin_heartbeat(self) -> None:
        """Send the heartbeat that is due."""
        self._heartbeats.begin()
        self._track(self._send_heartbeat(), _InFlight(_HEARTBEAT, "", False))

    def _track(self, coroutine: Coroutine[Any, Any, None], upload: _InFlight) -> None:
        self._connection.used(is_first=not self._tasks)
        task = asyncio.create_task(coroutine)
        self._tasks[task] = upload
        self._large += upload.is_large
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        upload = self._tasks.pop(task)
        self._large -= upload.is_large
        self._due.upload_ended(upload.is_large)
        is_busy = bool(self._tasks) or not self._commits.is_empty
        if len(self._tasks) <= self._wake_below or not is_busy:
            self._due.wake()

    async def end(self, reason: Loss) -> None:
        """End everything in flight; each version is given back to the queue."""
        if self._tasks:
            # A task that is cancelled before it has begun could not give its version back.
            await asyncio.sleep(0)
            self._end_reason = reason
            for task, upload in self._tasks.items():
                # A task that is giving its version back must finish that: a cancelled one would leave the row in state
                # "sending".
                if upload.job not in self._past_attempt:
                    task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._end_reason = None

    # -- one upload ---------------------------------------------------------------------------------------

    async def _upload(self, version: ClaimedJob) -> None:
        self._usage.begin()
        is_finished = False
        try:
            try:
                outcome = await self._attempts.make(version)
            except asyncio.CancelledError:
                outcome = self._end_reason or CalledBack("stopped")  # as if the connection had been lost
            finally:
                self._usage.end()
            self._past_attempt.add(version.id)
            if isinstance(outcome, DeliveryResult):
                is_finished = True  # and shown as moving until the commit
                self._commits.add(outcome._replace(bytes_on_wire=self._usage.take()))
            else:
                await self._failed.follow(version, outcome)
        finally:
            self._past_attempt.discard(version.id)
            if not is_finished:
                self._due.changed()

    async def _send_heartbeat(self) -> None:
        try:
            error = await self._heartbeats.send()
        finally:
            self._usage.heartbeat_ended()
        if error is None:
            self._failed.heartbeat_arrived()
            return
        decision = self._failed.follow_heartbeat(error)
        if decision.action in ("wait", "hold"):
            self._heartbeat_again()
            return
        self._heartbeats.failed(error)
        if decision.action == "again":
            asyncio.get_running_loop().call_later(decision.secs, self._heartbeat_again)

    def _heartbeat_again(self) -> None:
        self._heartbeats.request()
        self._due.wake()
