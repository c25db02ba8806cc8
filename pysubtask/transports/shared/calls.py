"""Blocking work in a thread of its own, awaited on the event loop for as long as it makes progress.

A thread cannot be ended from outside: a thread that is given up ends at its next step. The threads are daemons, so that
one that never wakes does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ...common.errors import TransportLost

_T = TypeVar("_T")


class GivenUp(Exception):
    """Raised inside a thread whose result nobody waits for any more."""


def fail(future: asyncio.Future[Any], exc: BaseException) -> None:
    """End a wait with an error, marked as retrieved: the waiter may be gone, and asyncio would log the error."""
    future.set_exception(exc)
    future.exception()


class Call(Generic[_T]):
    """One piece of work in a thread called ``name``, started at once, and its state on the event loop."""

    def __init__(self, work: Callable[[Call[_T]], _T], name: str) -> None:
        self.given_up = False
        self._beat = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[_T] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    # --- in the thread

    def step(self, more_secs: float = 0.0) -> None:
        """Report progress; the next step may take ``more_secs`` longer than others. GivenUp, which ends the work, where nobody
        waits for it."""
        self._beat = time.monotonic() + more_secs
        if self.given_up:
            raise GivenUp

    def tell(self, answer: Callable[..., None], *values: Any) -> None:
        """Call ``answer(*values)`` on the loop, unless the call was given up or has its result."""
        # RuntimeError: the loop is closed, so nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer, answer, values)

    def _answer(self, answer: Callable[..., None], values: tuple[Any, ...]) -> None:
        if not self.given_up and not self._result.done():
            answer(*values)

    def _run(self, work: Callable[[Call[_T]], _T]) -> None:
        try:
            value = work(self)
        except BaseException as exc:  # noqa: BLE001 - any exception is passed to the awaiting side
            self.tell(fail, self._result, exc)
        else:
            self.tell(self._result.set_result, value)

    # --- on the loop

    async def outcome(self, closed: asyncio.Future[None], limit: float, late: str, hung: list[threading.Thread]) -> _T:
        """The result of the work, or its exception; to be awaited once.

        TransportLost when ``closed`` is done first, and with the message ``late`` when there is no step for ``limit``
        seconds; the thread is then added to ``hung``.
        """
        either: list[asyncio.Future[Any]] = [self._result, closed]
        try:
            while True:
                left = self._beat + limit - time.monotonic()
                if left <= 0:
                    raise TransportLost(late)
                await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if self._result.done():
                    return self._result.result()
                if closed.done():
                    raise TransportLost("closed meanwhile")
        finally:
            self.given_up = True
            if not self._result.done():
                hung.append(self._thread)
                self._result.cancel()
