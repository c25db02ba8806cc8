"""The spool's thread: who asks gets the answer or the error, on a thread or a loop; nothing that was submitted is left undone."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.spool.worker import Worker


@pytest.fixture
def spool_thread(tmp_path: Path):
    opened = SpoolThread(str(tmp_path), "scripted://", lambda *paths: None)
    yield opened
    opened.close()


def test_calls_run_in_order_on_one_thread_and_all_before_the_end():
    worker, seen = Worker("one"), []

    def note(number: int) -> None:
        time.sleep(0.001)
        seen.append((number, threading.current_thread().name))

    for number in range(20):
        worker.submit(lambda number=number: note(number))
    worker.shutdown()
    worker.shutdown()
    assert seen == [(number, "one") for number in range(20)]
    with pytest.raises(RuntimeError):
        worker.submit(lambda: None)


def test_a_thread_that_cannot_start_is_reported_and_asked_again(monkeypatch):
    worker, seen = Worker("later"), []

    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            worker.submit(lambda: seen.append("never"))
    worker.submit(lambda: seen.append("now"))
    worker.shutdown()
    assert seen == ["now"]


def test_who_asks_on_a_thread_gets_the_value_or_the_error(spool_thread: SpoolThread):
    assert spool_thread.run(lambda left, *, right: left + right, 1, right=2) == 3
    with pytest.raises(ZeroDivisionError):
        spool_thread.run(lambda: 1 // 0)
    spool_thread.submit(lambda: 1 // 0)  # nobody waits: it harms nothing
    assert spool_thread.run(threading.current_thread).name == "spool"


async def test_an_awaited_call_gives_value_or_error_and_blocks_nobody(spool_thread: SpoolThread):
    gate = threading.Event()
    slow = asyncio.create_task(spool_thread.ask(gate.wait))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.wait_for(slow, 10)
    with pytest.raises(ZeroDivisionError):
        await spool_thread.ask(lambda: 1 // 0)


async def test_a_call_is_done_though_its_caller_was_cancelled_or_ended(spool_thread: SpoolThread):
    gate, seen = threading.Event(), []

    first = asyncio.create_task(spool_thread.ask(gate.wait))
    second = asyncio.create_task(spool_thread.ask(lambda: seen.append("done")))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    gate.set()
    assert spool_thread.run(lambda: list(seen)) == ["done"]
