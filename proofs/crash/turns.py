"""The turns of a child: a tick takes what is due, the dispatcher delivers it, both on one event loop with a virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pysubtask.subtask.delivery.dispatcher import Dispatcher
from pysubtask.subtask.engine import upload_delivery
from pysubtask.subtask.engine.child_parts import ChildParts
from pysubtask.subtask.engine.delivery import Delivery
from pysubtask.subtask.engine.tick import Tick

from .virtual_time import VirtualLoop

_TURNS = 20
_PAUSE_SECS = 3.0
"""Between two versions: longer than TimerIntervalSecs, shorter than the dead time."""
_LONGEST_SECS = 100_000.0
_LONGEST_TURN_SECS = 5000.0


def _dispatcher_of(delivery: Delivery) -> Dispatcher:
    assert isinstance(delivery, upload_delivery.UploadDelivery)
    assert delivery._dispatcher is not None
    return delivery._dispatcher


async def _carry(delivery: Delivery, deadline: float) -> None:
    """Deliver until nothing is due before ``deadline``."""
    dispatcher = _dispatcher_of(delivery)
    dispatcher.stop(deadline)
    await dispatcher.main()


def separate_turns(parts: ChildParts, tick: Tick, loop: VirtualLoop, write_on: Callable[[], bool]) -> bool:
    """Take and deliver until there is no more, with a connection for each turn; whether the queue is empty in the end."""
    for turn in range(_TURNS):
        tick.run(loop.time())
        has_more = write_on()
        loop.run_until_complete(_carry(parts.delivery, loop.time() + _LONGEST_SECS))
        if has_more:
            loop.wait(_PAUSE_SECS)
        if turn > 1 and not has_more and _is_empty(parts):
            return True
    return False


async def connected_turns(parts: ChildParts, tick: Tick, loop: VirtualLoop, write_on: Callable[[], bool]) -> bool:
    """As :func:`separate_turns`, but the connection stays open: a job is claimed when it is put into the queue."""
    dispatcher = _dispatcher_of(parts.delivery)
    sending = asyncio.create_task(dispatcher.main())
    await asyncio.sleep(_PAUSE_SECS)
    has_more, turn, is_empty = True, 0, True
    while is_empty and turn < _TURNS and (has_more or turn < 2):
        tick.run(loop.time())
        has_more = write_on()
        turn += 1
        end = loop.time() + _LONGEST_TURN_SECS
        while not (is_empty := _is_empty(parts)) and loop.time() < end and not sending.done():  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(1.0)
        await asyncio.sleep(_PAUSE_SECS)
    dispatcher.stop(loop.time() + _LONGEST_SECS)
    await sending
    return is_empty and not has_more


def _is_empty(parts: ChildParts) -> bool:
    queue = parts.child.spool_thread
    counts = queue.run(queue.spool.queue_admin.counts)
    return not (counts.waiting or counts.sending or counts.parked)
