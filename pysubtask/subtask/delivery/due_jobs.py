"""When jobs can be claimed from the queue, and what ends the wait for that."""

from __future__ import annotations

import asyncio

from .next_action import NEVER


class DueJobs:
    """Belongs to the dispatcher's event loop. All times are monotonic, in seconds.

    The queue may hold jobs that can be claimed now (``at`` is 0 then); otherwise none is due before ``at``. It is asked only when
    that may have changed, as each question costs a statement on the spool's thread.
    """

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._has_more = True
        self._due_at = 0.0
        self.claimed_at = 0.0
        """When a job was claimed last."""

    @property
    def at(self) -> float:
        """When a job can be claimed; 0 for now."""
        return 0.0 if self._has_more else self._due_at

    def added(self) -> None:
        """Jobs were added to the queue."""
        self._has_more = True
        self._woken.set()

    def changed(self) -> None:
        """The queue was changed in any way (a pause, a retry, a drop, a job given back): what is due is read again."""
        self._due_at = 0.0
        self.added()

    def due(self, at: float | None) -> None:
        """A job is due at this time; None where that is not new."""
        if at is not None:
            self._due_at = min(self._due_at, at)
        self._woken.set()

    def upload_ended(self, large: bool) -> None:
        """A place for an upload is free. Large jobs may have waited for that of a large one."""
        self._has_more = self._has_more or large

    def wake(self) -> None:
        """End the wait."""
        self._woken.set()

    def begin_claim(self, now: float) -> bool:
        """A claim begins: what is added from here on may be missed by it. Whether a job may have become due since the last one."""
        reads_due = self._due_at <= now
        self._has_more = False
        if reads_due:
            self._due_at = NEVER
        return reads_due

    def claimed(self, count: int, room: int, now: float, due: float | None, *, reads_due: bool) -> None:
        """``count`` jobs were claimed for ``room`` places. ``due``: when the next one is due, None where that was not read."""
        if count:
            self.claimed_at = now
        if count == room:
            self._has_more = True
            if reads_due:
                self._due_at = 0.0
        elif due is not None:
            self._due_at = min(self._due_at, due)

    def all_claimed(self, now: float) -> None:
        """Every job that was added so far is claimed."""
        self.claimed_at = now
        self._has_more = False

    def forget(self) -> None:
        """There is no connection: all is read again after the next login."""
        self._due_at, self._has_more = 0.0, True

    def begin_turn(self) -> None:
        """The facts of the next decision are collected from now on: what changes later ends the wait."""
        self._woken.clear()

    async def wait(self, secs: float) -> None:
        """Wait until woken, at most ``secs``."""
        if secs <= 0 or self._woken.is_set():
            return
        timer = asyncio.get_running_loop().call_later(secs, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
