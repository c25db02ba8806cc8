"""The SDK's blocking calls: each in a thread of its own, a limited number at once, and none outlives a close."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ...common.errors import ServerBusy, TransportError, TransportLost
from ..shared.calls import Call
from .http_session import HttpSession
from .verdict import verdict

T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]
_A_DAY = 86400.0  # a limit that is never reached: the HTTP session ends stalled calls much earlier


class CallPool:
    """Runs blocking calls for the event loop on which it was created. ``number``: calls at once."""

    def __init__(self, http: HttpSession, number: int) -> None:
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(number)
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._not_before = 0.0

    def close(self) -> None:
        """End every call in progress, and every later one, in TransportLost."""
        if not self._closed.done():
            self._closed.set_result(None)
        # In a thread, as shutting a socket down may block for a moment.
        threading.Thread(target=self._http.cut, name="dropbox-close", daemon=True).start()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Run]:
        """A slot among those for calls that carry bytes, from reading the source to the reply; gives :meth:`run`."""
        async with self._places:
            yield self.run

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """One call. Raises TransportLost, ServerBusy, LoginRefused or FileRefused; an ApiError is raised unchanged."""
        # The server asked for a pause: no call begins before its end.
        while not self._closed.done() and (left := self._not_before - self._loop.time()) > 0:
            await asyncio.wait([self._closed], timeout=left)
        if self._closed.done():
            raise TransportLost("closed meanwhile")
        try:
            return await Call(lambda call: self._translated(work, args), "dropbox-call").outcome(self._closed, _A_DAY, "a day", [])
        except ServerBusy as exc:
            self._not_before = max(self._not_before, self._loop.time() + exc.retry_after)
            raise

    def _translated(self, work: Callable[..., T], args: tuple[Any, ...]) -> T:
        """In the thread: the call, its errors translated by ``verdict``."""
        self._http.forget_answer()
        try:
            return work(*args)
        except TransportError:
            raise
        except Exception as exc:
            translated = verdict(exc, self._http.retry_after())
            if translated is exc:
                raise
            raise translated from exc
