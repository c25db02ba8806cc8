"""Uploads the heartbeat files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ...common import limits
from ...common.errors import SourceError, TransportError, TransportLost, event_fields
from ...common.limits import is_limit
from ...transports.base import Job, Transport
from .context import DeliveryContext


class Heartbeats:
    """``write`` writes the files, in a thread, and returns their paths. ``more``: where a person finds more about a problem.
    Several requests before one is sent become one heartbeat."""

    def __init__(self, transport: Transport, context: DeliveryContext, write: Callable[[], list[str]], more: str) -> None:
        self._transport = transport
        self._context = context
        self._write = write
        self._more = more
        self._problem = ""
        self._is_due = False

    @property
    def is_due(self) -> bool:
        """Whether the files are to be sent."""
        return self._is_due

    def begin(self) -> None:
        """Sending begins: a request from now on is one for another heartbeat."""
        self._is_due = False

    def request(self) -> None:
        """The files are to be sent."""
        self._is_due = True

    async def send(self) -> Exception | None:
        """Send the files, with the server's clock for their time; the error that kept them from being sent, or None. A cancelled
        heartbeat is due again."""
        try:
            for path in await asyncio.to_thread(self._write):
                name = os.path.basename(path)
                temp = await self._context.ask(self._context.spool.temps.note, name, self._context.wall())
                job = Job(path, os.stat(path).st_size, None, name, temp, snapshot=True)
                await self._transport.upload(job, lambda done: None)
                await self._context.ask(self._context.spool.temps.swept, (), (temp,), self._context.wall())
        except (TransportError, SourceError) as exc:
            return exc
        except asyncio.CancelledError:
            self._is_due = True
            raise
        except Exception as exc:
            if is_limit(exc):
                return TransportLost(limits.words())
            if isinstance(exc, OSError):
                return SourceError(str(exc))
            self._context.log.exception("Heartbeat failed")
            return TransportLost(f"internal error: {exc!r}")
        self._problem = ""
        self._context.status_model.over("heartbeat_failed")
        return None

    def failed(self, error: Exception) -> None:
        """Log that the files could not be sent, once and not at every try."""
        if str(error) != self._problem:
            self._problem = str(error)
            self._context.log.error("Heartbeat cannot be sent: %s; %s", error, self._more)
            self._context.events.emit("heartbeat_failed", reason=str(error), **event_fields(error))
        self._context.error("heartbeat_failed", str(error), "", error)
