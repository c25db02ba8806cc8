"""Work in threads of its own: an error that comes as its caller goes is dropped, and not printed into the child's log."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pysubtask.common.errors import TransportLost
from pysubtask.transports.ftp.pool import Pool
from pysubtask.transports.shared.calls import Call

Work = Callable[[], Any]


class Control:
    """As much of a session's control connection as waiting for it takes."""

    def enter(self, limit: float) -> None:
        self.due = time.monotonic() + limit

    def leave(self) -> None:
        return

    def cut(self) -> None:
        return


def over_ftp(work: Work) -> Awaitable[Any]:
    class Session:
        control = Control()

    pool = Pool.__new__(Pool)
    pool._closed, pool._hung = asyncio.get_running_loop().create_future(), []
    return pool._run_in_thread(Session(), work, 20.0)  # type: ignore[arg-type]


def by_a_call(work: Work) -> Awaitable[Any]:
    call = Call(lambda call: work(), "test")
    return call.outcome(asyncio.get_running_loop().create_future(), 20.0, "late", [])


@pytest.mark.slow
@pytest.mark.parametrize("means", [over_ftp, by_a_call])
def test_an_error_that_meets_its_callers_cancel_is_not_logged(means: Callable[[Work], Awaitable[Any]]):
    reported: list[dict[str, Any]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        begun, go = asyncio.Event(), threading.Event()
        futures: list[asyncio.Future[Any]] = []
        create = loop.create_future
        loop.create_future = lambda: futures.append(create()) or futures[-1]  # type: ignore[method-assign,func-returns-value]

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            go.wait(20)
            raise TransportLost("the server closed the connection")

        async def call() -> None:
            await means(work)

        task = asyncio.create_task(call())
        await begun.wait()
        for future in [future for future in futures if not future.done()]:
            # In the very turn of the loop in which the work has ended.
            future.add_done_callback(lambda _: task.cancel())
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        futures.clear()

    asyncio.run(run())
    gc.collect()
    assert reported == []
