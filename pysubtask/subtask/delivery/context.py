"""What the dispatcher and its uploads share: the queue, the page, the events, the log and the clocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ...common.errors import DiskLow, event_fields, facts_of
from ...common.events import EventLog, happened, utc
from ...common.receipts import Receipt
from ..spool.jobs import ClaimedJob, DeliveryResult
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel

COMMIT_AGAIN_SECS = 5.0
_MOST_REPORTED = 50
_OF_THE_CONNECTION = ("connect_failed", "connection_lost", "server_busy", "login_refused", "server_not_trusted")


class DeliveryContext:
    """Belongs to the dispatcher's event loop. ``clock`` is monotonic, ``wall`` the wall clock, both in seconds."""

    def __init__(
        self,
        spool_thread: SpoolThread,
        status_model: StatusModel,
        events: EventLog,
        log: logging.Logger,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.spool_thread = spool_thread
        self.spool = spool_thread.spool
        self.status_model = status_model
        self.events = events
        self.log = log
        self.clock = clock
        self.wall = wall
        self._reported: set[tuple[str, str]] = set()

    async def ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``call`` on the spool's thread and return its result. While the disk is full, wait and run it again."""
        full = False
        while True:
            try:
                answer = await self.spool_thread.ask(call, *args, **kwargs)
            except DiskLow as exc:
                full = True
                self.problem("disk_low", str(exc))
                await asyncio.sleep(COMMIT_AGAIN_SECS)
                continue
            if full and (self.status_model.get("problem") or {}).get("kind") == "disk_low":
                self.status_model.set(problem=None, problem_since=None)
                self.status_model.over("disk_low")
            return answer

    # -- on the spool's thread, where a page is taken too: the queue changes together with the status model and the events ---

    def take_and_next_due(self, limit: int, *args: Any, poll: bool, **kwargs: Any) -> tuple[list[ClaimedJob], float | None]:
        """Run ``take``. With ``poll``, and where fewer versions were due than there is room for, also return when the next one is
        due."""
        versions = self.take(limit, *args, **kwargs)
        return versions, self.spool.queue.next_due() if poll and len(versions) < limit else None

    def deliver_and_next_due(self, dones: Sequence[DeliveryResult]) -> tuple[list[tuple[DeliveryResult, Receipt]], float | None]:
        """Run ``deliver``, and return also when the first of the versions is due that waited behind these."""
        written = self.deliver(dones)
        return written, self.spool.queue.due_behind([receipt.name for _, receipt in written])

    def take(self, *args: Any, **kwargs: Any) -> list[ClaimedJob]:
        """Take versions to send (see Queue.claim); the status page shows them as moving from now on."""
        versions = self.spool.queue.claim(*args, **kwargs)
        self.begun(versions)
        return versions

    def begun(self, versions: Sequence[ClaimedJob]) -> None:
        """The status page shows these versions as moving from now on."""
        for version in versions:
            anew = not (version.resume or version.plan.append or version.plan.copies)
            self.status_model.begin(version.id, version.name, version.size, anew=anew)

    def deliver(self, dones: Sequence[DeliveryResult]) -> list[tuple[DeliveryResult, Receipt]]:
        """Commit the delivered versions, and report them on the status page and as events."""
        written = self.spool_thread.deliver(dones)
        with self.status_model.guard:
            self.events.emit_all([_event_of(done, receipt) for done, receipt in written])
            for done in dones:
                self.status_model.end(done.id, done.bytes_sent)
            for _, receipt in written:
                self.status_model.over("parked", "attempt_failed", about=receipt.name)
            sent = [(done, receipt) for done, receipt in written if not done.unchanged]
            if sent:
                last = sent[-1][1]
                self.status_model.add(
                    delivered=len(sent),
                    bytes_sent=sum(done.bytes_sent for done, _ in sent),
                    bytes_new=sum(done.bytes_new for done, _ in sent),
                )
                self.status_model.set(last_delivery={"at": last.at, "name": last.name, "size": last.size})
            if written:
                self.status_model.set(receipt=written[-1][1].seq)
        return written

    def give_back(
        self,
        version: ClaimedJob,
        error: Exception | str,
        due: float,
        *,
        alone: float | None = None,
        park: bool = False,
        compare: bool = False,
    ) -> None:
        """An attempt failed: the version waits until ``due`` (monotonic), or is parked. ``alone``: the seconds that this version
        alone waits, which an event reports; where all versions wait, that is reported elsewhere."""
        reason = str(error)
        self.spool_thread.give_back(version.id, reason, due, park=park, compare=compare)
        with self.status_model.guard:
            self.status_model.end(version.id)
            if park or alone is not None:
                more = {} if park else {"secs": alone}
                self.events.emit(
                    "parked" if park else "attempt_failed",
                    name=version.name,
                    path=version.path,
                    reason=reason,
                    **event_fields(error),
                    **more,
                )
                self.error("parked" if park else "attempt_failed", f"{version.name}: {reason}", version.name, error)

    def withdraw(self, version: ClaimedJob, reason: str) -> str | None:
        """Take a version whose snapshot cannot be read out of the queue; the path of the data file."""
        path = self.spool.queue.withdraw(version.id)
        if path is not None and not version.live and not self.spool.queue.needs(version.name, version.snapshot):
            # The snapshot may exist all the same: it holds only the end of a file that now has to be sent whole.
            self.spool_thread.drop([version.snapshot])
        with self.status_model.guard:
            self.status_model.end(version.id)
            self.events.emit("snapshot_lost", name=version.name, path=version.path, reason=reason)
        return path

    # -- on any thread ------------------------------------------------------------------------------------

    def problem(self, kind: str, text: str, remedy: str = "", headline: str = "", error: Exception | None = None) -> bool:
        """Report a problem that keeps all versions from being sent: once, not at every try. True where it was not reported since
        all was well. ``headline``: the problem in a few words, where the kind does not say it. ``error``: the exception."""
        with self.status_model.guard:
            more = {"remedy": remedy, "headline": headline}
            more |= facts_of(error)
            problem = {"kind": kind, "text": text} | {key: value for key, value in more.items() if value}
            if self.status_model.get("problem") != problem:
                self.events.emit(kind, reason=text, **event_fields(error))
            self.status_model.set(problem=problem, problem_since=self.status_model.get("problem_since") or utc(self.wall()))
            self.error(kind, text, "", error)
            is_new = (kind, text) not in self._reported
            self._reported = {*self._reported, (kind, text)} if len(self._reported) < _MOST_REPORTED else {(kind, text)}
            return is_new

    def well(self) -> None:
        """The problem that kept all versions from being sent is over."""
        with self.status_model.guard:
            self._reported = set()
            self.status_model.set(problem=None, problem_since=None)
            self.status_model.over(*_OF_THE_CONNECTION)

    def error(self, kind: str, text: str, about: str = "", error: Exception | str | None = None) -> None:
        """The last error, for the status page."""
        self.status_model.error(kind, text, about, **facts_of(error))


def _event_of(done: DeliveryResult, receipt: Receipt) -> tuple[str, dict[str, Any]]:
    """The event of a delivery."""
    if done.unchanged:
        return happened("unchanged", name=receipt.name, path=receipt.path, bytes_on_wire=done.bytes_on_wire, receipt=receipt.seq)
    return happened(
        "delivered",
        name=receipt.name,
        path=receipt.path,
        size=receipt.size,
        bytes_sent=done.bytes_sent,
        bytes_new=done.bytes_new,
        bytes_on_wire=done.bytes_on_wire,
        receipt=receipt.seq,
    )
