"""The uploads in flight on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Coroutine
from typing import Any, NamedTuple

from ..spool.job_claims import BIG_BYTES
from ..spool.jobs import ClaimedJob, DeliveryResult
from .commits import Commits
from .connection import CalledBack, Connection, Loss
from .due_jobs import DueJobs
from .failed_attempts import FailedAttempts
from .heartbeats import Heartbeats
from .link_usage import LinkUsage
from .upload_attempt import UploadAttempts

_HEARTBEAT = -1


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
