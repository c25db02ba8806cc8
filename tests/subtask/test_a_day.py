"""A day in seconds: the real courier, queue, retry, heartbeat and burst rules on a made-up clock.

The event loop jumps to the next thing that is due instead of waiting for it, and the queue's thread is done away with,
so that nothing depends on how fast this machine is.
"""

import asyncio
import logging
import os
import random
import selectors
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pysubtask import defaults_config
from pysubtask.common.config import values_of
from pysubtask.common.errors import TransportLost
from pysubtask.common.events import EventLog, read_events
from pysubtask.common.notify import Stamp
from pysubtask.master import burst
from pysubtask.subtask.delivery import dispatch_loop
from pysubtask.subtask.delivery.context import DeliveryContext
from pysubtask.subtask.delivery.dispatcher import Dispatcher
from pysubtask.subtask.delivery.interfaces import LoginContext
from pysubtask.subtask.spool.jobs import QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.spool.worker import Worker
from pysubtask.subtask.status.heartbeat import Heartbeat
from pysubtask.subtask.status.status_model import StatusModel
from tests.support.dispatcher_bench import SETTINGS, Scripted, child_side

HOUR, DAY = 3600, 86400
NOON = 1_790_000_000  # the wall clock at the day's start
BEAT = 600
DEAD = 180
OUTAGE = (3 * HOUR + 30, 4 * HOUR + 30)


class WarpLoop(asyncio.SelectorEventLoop):
    """Its time is a number that it moves on by itself whenever it has nothing to do."""

    def __init__(self):
        super().__init__(Warp(self))
        self.now = 0.0
        self.set_default_executor(AtOnce())

    def time(self):
        return self.now


class Warp(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self._loop.now += timeout
        return ready


class AtOnce(ThreadPoolExecutor):
    """An executor that does it at once."""

    def submit(self, call, *args, **kwargs):
        future = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except BaseException as exc:
            future.set_exception(exc)
        return future


class Inline(Worker):
    """A worker that does it at once."""

    def submit(self, call):
        call()


class Day:
    """The station: bursts of notifies at every full hour, heartbeats, an hour without a link."""

    def __init__(self, folder, loop):
        self.loop = loop
        self.folder = str(folder)
        self.transport = Scripted()
        self.transport.connect = self.connect
        self.tries = {"ok": 0, "failed": 0}
        self.beats = []
        self.touches = 0
        settings = {
            **SETTINGS,
            "RetryWaitSecs": 3,
            "RetryLongWaitSecs": 30,
            "RetryCount": 5,
            "DeadTimeMilli": DEAD * 1000,
            "StallSecs": 60,
        }
        self.spool_thread = SpoolThread(self.folder, "scripted://", lambda *paths: [os.unlink(path) for path in paths], self.wall)
        self.spool_thread._worker.shutdown()
        self.spool_thread._worker = Inline("spool")
        self.heartbeat = Heartbeat(BEAT, os.path.join(self.folder, "x.heartbeat"), None)
        self.rule = burst.Rule.of(values_of(defaults_config.burst_mode))
        self.state = burst.Burst()
        log = logging.getLogger("test.day")
        log.setLevel(logging.CRITICAL)
        status_model, events = StatusModel(self.wall), EventLog(self.folder, 1, self.wall)
        context = DeliveryContext(self.spool_thread, status_model, events, log, loop.time, self.wall)
        self.dispatcher = Dispatcher(context, self.transport, settings, child_side(write_heartbeat=self.write_beat), LoginContext())

    def wall(self):
        return NOON + self.loop.now

    def is_down(self):
        return OUTAGE[0] <= self.loop.now < OUTAGE[1]

    async def connect(self):
        self.tries["failed" if self.is_down() else "ok"] += 1
        if self.is_down():
            raise TransportLost("no route to host")

    def write_beat(self):
        self.beats.append(self.loop.now)
        return self.heartbeat.write(self.loop.now, {})

    def touch(self):
        """What the app's touch leads to in the child: a snapshot in the queue."""
        self.touches += 1
        path = os.path.join(self.folder, f"snapshot-{self.touches}")
        with open(path, "w") as file:
            file.write(str(self.touches))
        mtime = int(self.wall() * 10**9)
        size, digest = len(str(self.touches)), f"d{self.touches}"
        entry = QueuedSnapshot("a.csv", "/data/a.csv", path, False, size, mtime, digest, self.wall(), Stamp(mtime, 1, 1))
        self.spool_thread.drop(self.spool_thread.run(self.spool_thread.spool.queue.enqueue, [entry]))
        self.dispatcher.jobs_added()
        self.dispatcher.queue_changed()

    def notify(self):
        decision = burst.called(self.rule, self.state, int(self.loop.now * 10**9))
        self.state = decision.state
        if decision.hold is None:
            self.touch()

    def check_pending(self):
        decision = burst.looked(self.state, int(self.loop.now * 10**9))
        if decision is not None:
            self.state = decision.state
            if decision.hold is None:
                self.touch()

    async def app(self):
        for hour in range(24):
            await asyncio.sleep(hour * HOUR - self.loop.now)
            for _ in range(50):
                self.notify()
                await asyncio.sleep(0.2)
            for _ in range(10):
                self.check_pending()
                await asyncio.sleep(1.0)

    async def timer(self):
        while True:
            if self.heartbeat.is_due(self.loop.now):
                self.heartbeat.asked(self.loop.now)
                self.dispatcher.send_heartbeat()
            await asyncio.sleep(10)

    async def live(self):
        parts = [asyncio.create_task(part) for part in (self.dispatcher.main(), self.app(), self.timer())]
        await asyncio.sleep(DAY - 1)
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


@pytest.mark.slow
def test_a_day_ends_with_the_counts_the_settings_imply(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch_loop, "TURN_SECS", 60.0)
    random.seed(1)
    began = time.monotonic()
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        day = Day(tmp_path, runner.get_loop())
        runner.run(day.live())
    print(f"a day in {time.monotonic() - began:.1f} s")
    kinds = [event.kind for event in read_events(str(tmp_path))]
    # A burst of ten seconds goes out as its first notify, one after five seconds, and its end.
    assert day.touches == 24 * 3
    # Of the three that fell into the outage only the last is worth sending.
    assert kinds.count("delivered") == 24 * 3 - 2
    # One beat each ten minutes; the six in the outage are one, late but not stale.
    slots = DAY // BEAT
    missed = [slot for slot in range(0, DAY, BEAT) if OUTAGE[0] <= slot < OUTAGE[1]]
    assert len(day.beats) == slots - len(missed) + 1
    assert day.transport.calls.count("upload x.heartbeat") == len(day.beats)
    late = [beat for beat in day.beats if beat % BEAT > 10]
    assert len(late) == 1 and OUTAGE[1] <= late[0] < OUTAGE[1] + 37
    # The connection rests in between: one for each beat that could be sent, and one when the link is back.
    assert day.tries["ok"] == slots - len(missed) + 1
    assert kinds.count("connected") == day.tries["ok"]
    assert kinds.count("resting") == day.tries["ok"]
    # Sets of five tries, three seconds apart and then thirty, with up to a fifth of jitter.
    down = OUTAGE[1] - missed[0]
    assert down / (1.2 * 42) * 5 - 5 <= day.tries["failed"] <= down / 42 * 5 + 5
    assert kinds.count("connect_failed") == 1, "said once"
    assert day.spool_thread.run(day.spool_thread.spool.queue_admin.counts)[:3] == (0, 0, 0)
    assert day.spool_thread.run(day.spool_thread.spool.temps.names) == []
