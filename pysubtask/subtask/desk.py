"""What the courier and its uploads share: the queue, the page, the events, the log and the clocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..common.errors import DiskLow
from ..common.events import EventLog, utc
from .board import Board
from .store import Store

COMMIT_AGAIN_SECS = 5.0


class Desk:
    """Belongs to the courier's event loop. ``clock`` is monotonic, ``wall`` the wall clock, both in seconds."""

    def __init__(
        self,
        store: Store,
        board: Board,
        events: EventLog,
        log: logging.Logger,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.store = store
        self.spool = store.spool
        self.board = board
        self.events = events
        self.log = log
        self.clock = clock
        self.wall = wall

    async def ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call on the spool's thread, awaited. With a full disk: wait and ask again."""
        while True:
            try:
                return await asyncio.wrap_future(self.store.submit(call, *args, **kwargs))
            except DiskLow as exc:
                self.problem("disk_low", str(exc))
                await asyncio.sleep(COMMIT_AGAIN_SECS)

    def problem(self, kind: str, text: str) -> None:
        """Something keeps everything from moving. Said once, not at every try."""
        if self.board.get("problem") != {"kind": kind, "text": text}:
            self.events.emit(kind, reason=text)
        self.board.set(problem={"kind": kind, "text": text})
        self.error(kind, text)

    def error(self, kind: str, text: str) -> None:
        """The last error, for the status page."""
        self.board.set(last_error={"at": utc(self.wall()), "kind": kind, "text": text})
