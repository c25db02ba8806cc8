"""The spool on a thread of its own, with the files that are written after each of its commits.

The main thread of the child waits for it; the event loop of the dispatcher awaits it and never blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ...common import own_files
from ...common.errors import SpoolDamaged
from ...common.limits import is_limit
from .compaction import Compaction
from .database import FILE as FILE
from .deliveries import Delivered
from .jobs import DeliveryResult
from .receipt_file import ReceiptFile
from .spool import Spool
from .worker import Worker

T = TypeVar("T")


class _Outcome(NamedTuple):
    """The result of a call, or its exception."""

    value: Any
    error: BaseException | None


def _outcome(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Outcome:
    try:
        return _Outcome(call(*args, **kwargs), None)
    except BaseException as exc:  # noqa: BLE001 - raised again in the caller
        return _Outcome(None, exc)


class SpoolThread:
    """Opens the spool in ``state_dir``. ``drop`` removes snapshots by their paths; ``wall`` is the wall clock.

    A damaged spool is renamed (``damaged`` has the new name) and a new one begun: the watch then knows no stamps, so every file
    is offered again. ``compaction``: what is done once a day.
    """

    def __init__(self, state_dir: str, destination: str, drop: Callable[..., None], wall: Callable[[], float] = time.time) -> None:
        self.state_dir = state_dir
        self.damaged: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drop = drop
        self._wall = wall
        self._worker = Worker("spool")
        # Removing many files takes a while, and no caller should wait for it.
        self._sweeper = Worker("sweeper")
        try:
            self.spool: Spool = self.run(self._open, os.path.join(state_dir, FILE), destination)
            self._receipt_file = ReceiptFile(state_dir, self.spool.deliveries, self.spool.meta)
            self.run(self._receipt_file.repair)
        except BaseException:
            self._worker.shutdown()
            raise
        self.compaction = Compaction(state_dir, self.run, self.spool, self._receipt_file, wall)

    def _open(self, path: str, destination: str) -> Spool:
        wall = self._wall()
        try:
            spool = Spool(path, destination, wall)
        except SpoolDamaged as exc:
            aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(wall))}"
            for suffix in ("", "-wal", "-shm", "-journal"):
                with contextlib.suppress(FileNotFoundError):
                    own_files.rename(self.state_dir, FILE + suffix, os.path.basename(aside) + suffix)
            self.damaged = f"{exc}; put aside as {aside}"
            spool = Spool(path, destination, wall)
        return spool

    def submit(self, call: Callable[..., Any], *args: Any) -> None:
        """Run a call on the spool's thread; its result and its exception are dropped."""
        self._worker.submit(lambda: _outcome(call, args, {}) and None)

    def run(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a call on the spool's thread and wait for it."""
        outcomes: list[_Outcome] = []
        # Held until the call has run; it costs less than an event or a future.
        done = threading.Lock()
        done.acquire()

        def work() -> None:
            outcomes.append(_outcome(call, args, kwargs))
            done.release()

        self._worker.submit(work)
        done.acquire()
        outcome = outcomes.pop()
        if outcome.error is not None:
            raise outcome.error
        found: T = outcome.value
        return found

    def asked_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """From here on :meth:`ask` is called on this event loop alone; None: on any. (To find out which loop runs costs a system
        call.)"""
        self._loop = loop

    async def ask(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """As :meth:`run`, on an event loop. The call is run even where the awaiting task is cancelled."""
        loop = self._loop or asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def tell(outcome: _Outcome) -> None:
            if answer.done():
                return
            if outcome.error is not None:
                answer.set_exception(outcome.error)
            else:
                answer.set_result(outcome.value)

        def work() -> None:
            outcome = _outcome(call, args, kwargs)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, outcome)

        self._worker.submit(work)
        return await answer

    def deliver(self, results: Sequence[DeliveryResult]) -> list[Delivered]:
        """On the spool's thread: commit, then append the receipts, then remove the snapshots. This order keeps a crash from
        losing a receipt, or a snapshot that is still queued."""
        # First the commit: whatever follows can be repeated from it.
        written, garbage = self.spool.deliveries.record(results, self._wall())
        self._receipt_file.write([receipt for _, receipt in written])
        # The snapshots are last: the queue needs them until the commit, and after it nobody waits for them.
        self.drop(garbage)
        return written

    def give_back(self, job: int, reason: str, due: float, *, park: bool = False, compare: bool = False) -> None:
        """On the spool's thread: give a job back after a failed attempt (see Queue.give_back)."""
        self.drop(self.spool.queue.give_back(job, reason, due, park=park, compare=compare))

    def drop_unqueued(self, snapshots: Sequence[tuple[str, str]]) -> None:
        """Remove snapshots, each with the name its jobs have, soon; those that a job needs stay until that job is over."""

        def work() -> None:
            self.drop([path for name, path in snapshots if not self.spool.queue.needs(name, path)])

        self.submit(work)

    def drop(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots that the queue does not need any more, soon. Those that a crash leaves are removed at the next
        start."""
        if snapshots:
            names = tuple(snapshots)
            try:
                self._sweeper.submit(lambda: _outcome(self._drop, names, {}) and None)
            except RuntimeError as exc:
                if not is_limit(exc):
                    raise
                self._drop(*names)

    def close(self) -> None:
        """Close the file and end the thread; a second call does nothing."""
        self.compaction.close()
        try:
            self.run(self.spool.close)
        except (RuntimeError, sqlite3.Error):
            # The file is closed already, or the disk is full: the WAL keeps what was committed.
            return
        finally:
            self._worker.shutdown()
            self._sweeper.shutdown()
