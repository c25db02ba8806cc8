"""Writes the status page from the status model and the queue: after a change, but not more than twice a second."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from typing import Any

from ... import __version__
from ...common.events import EventLog, utc
from ...common.status import write_status
from ..spool.spool_thread import SpoolThread
from .status_model import StatusModel

PAGE_SECS = 0.5
RATE_SECS = 5.0


class StatusWriter:
    """The main thread of the child writes the page; any thread may call :meth:`touch`. Times are monotonic seconds. ``group``:
    the number of a group that may read the page."""

    def __init__(
        self,
        state_dir: str,
        status_model: StatusModel,
        events: EventLog,
        spool_thread: SpoolThread,
        wall: Callable[[], float],
        group: int | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._group = group
        self._status_model = status_model
        self._events = events
        self._spool_thread = spool_thread
        self._wall = wall
        self._at = float("-inf")
        self._stale = True
        self._n = -1
        self._samples: deque[tuple[float, int]] = deque()

    def touch(self) -> bool:
        """Note that the page is out of date; True where it was up to date before."""
        is_new, self._stale = not self._stale, True
        return is_new

    def due_at(self) -> float | None:
        """When the page should be written (monotonic seconds); None while it is up to date."""
        return self._at + PAGE_SECS if self._stale or self._status_model.changed or self._events.n != self._n else None

    def write(self, now: float, *, force: bool = False) -> None:
        """Replace status.json if that is due."""
        due = self.due_at()
        if not force and (due is None or now < due):
            return
        self._at, self._stale = now, False
        page, moved = self._spool_thread.run(self._facts)
        self._n = page["n"]
        page["rate"] = self._rate(now, moved) if page["moving"] else None
        try:
            write_status(self._state_dir, page, self._group)
        except OSError:
            # A full disk: the page is written as soon as there is room.
            self._stale = True

    def _facts(self) -> tuple[dict[str, Any], int]:
        """The page as of one moment, and how many bytes had moved by then. On the spool's thread: each change of the queue and
        the event that reports it run there, too; what else changes together with an event does so under the guard of the
        status model. So the page and its (epoch, n) always agree."""
        counts = self._spool_thread.spool.queue_admin.counts()
        parked = [row._asdict() for row in self._spool_thread.spool.queue_admin.parked()] if counts.parked else []
        queue = counts._asdict() | {"oldest": None if counts.oldest is None else utc(counts.oldest)}
        with self._status_model.guard:
            page = self._status_model.page()
            page.update(
                epoch=self._events.epoch,
                n=self._events.n,
                at=utc(self._wall()),
                queue=queue,
                parked=parked,
                events_lost=self._events.lost,
            )
            return page, self._status_model.moved

    def _rate(self, now: float, moved: int) -> int | None:
        """Bytes per second in the last seconds; None where nothing was measured."""
        while self._samples and self._samples[0][0] < now - RATE_SECS:
            self._samples.popleft()
        self._samples.append((now, moved))
        since, before = self._samples[0]
        return int((moved - before) / (now - since)) if now - since >= PAGE_SECS / 2 else None

    def summary(self) -> dict[str, Any]:
        """The facts for the second file of a heartbeat, enough to see from afar what is wrong. From any thread."""
        facts = self._status_model.page_of("last_delivery", "last_error", "state", "why", "disk_low")
        counts = self._spool_thread.run(self._spool_thread.spool.queue_admin.counts)
        wall = self._wall()
        return facts | {
            "clock": utc(wall),
            "version": __version__,
            "queued": counts.waiting + counts.sending + counts.parked,
            "parked": counts.parked,
            "oldest_age_secs": None if counts.oldest is None else max(0.0, wall - counts.oldest),
            "free_disk_bytes": shutil.disk_usage(self._state_dir).free,
        }
