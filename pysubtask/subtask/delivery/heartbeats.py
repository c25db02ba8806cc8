"""Puts the heartbeat files on the server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ...common import limits
from ...common.errors import SourceError, TransportError, TransportLost, told_of
from ...common.limits import is_limit
from ...transports.base import Job, Transport
from .context import Desk


class Heartbeats:
    """``beat`` writes the files, in a thread, and gives their paths. ``due``: whether they are to be sent. ``more``: where a
    person is told more of what is wrong."""

    def __init__(self, transport: Transport, desk: Desk, beat: Callable[[], list[str]], more: str) -> None:
        self._transport = transport
        self._desk = desk
        self._beat = beat
        self._more = more
        self._problem = ""
        self.due = False

    async def send(self) -> Exception | None:
        """Send them, with the server's clock for their time; what kept them from it. A cancelled one is due again."""
        self.due = False
        try:
            for path in await asyncio.to_thread(self._beat):
                name = os.path.basename(path)
                temp = await self._desk.ask(self._desk.spool.note_temp, name, self._desk.wall())
                job = Job(path, os.stat(path).st_size, None, name, temp, snapshot=True)
                await self._transport.upload(job, lambda done: None)
                await self._desk.ask(self._desk.spool.temps_swept, (), (temp,), self._desk.wall())
        except (TransportError, SourceError) as exc:
            return exc
        except asyncio.CancelledError:
            self.due = True
            raise
        except Exception as exc:
            if is_limit(exc):
                return TransportLost(limits.words())
            if isinstance(exc, OSError):
                return SourceError(str(exc))
            self._desk.log.exception("Heartbeat failed")
            return TransportLost(f"internal error: {exc!r}")
        self._problem = ""
        self._desk.board.over("heartbeat_failed")
        return None

    def failed(self, error: Exception) -> None:
        """Tell that they could not be sent, and not at every try."""
        if str(error) != self._problem:
            self._problem = str(error)
            self._desk.log.error("Heartbeat cannot be sent: %s; %s", error, self._more)
            self._desk.events.emit("heartbeat_failed", reason=str(error), **told_of(error))
        self._desk.error("heartbeat_failed", str(error), "", error)
