"""A dispatcher with a real queue and a transport that fails on demand."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from types import SimpleNamespace

import pytest

from pysubtask import defaults_config
from pysubtask.common.config import values_of
from pysubtask.common.events import EventLog, read_events
from pysubtask.common.notify import Stamp
from pysubtask.subtask.delivery.context import DeliveryContext
from pysubtask.subtask.delivery.dispatcher import Dispatcher
from pysubtask.subtask.delivery.interfaces import ChildSide, LoginContext
from pysubtask.subtask.delta.signature_cache import SignatureCache
from pysubtask.subtask.snapshot.prefix_hashes import Prefixes
from pysubtask.subtask.snapshot.sources import open_data
from pysubtask.subtask.spool.jobs import QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.transports.base import RemoteStat, Sent, Traits, Transport
from tests.support.helpers import wait_until

SETTINGS = {
    **values_of(defaults_config.base),
    **values_of(defaults_config.ftp),
    "RetryWaitSecs": 0.05,
    "RetryLongWaitSecs": 0.4,
    "RetryCount": 3,
    "ParkedRetrySecs": 60,
    "Concurrency": 4,
}


class Scripted(Transport):
    """A server in memory. ``on_connect`` and ``on_upload[name]`` hold what the next calls raise; ``gate``, where
    set, holds uploads until it is opened."""

    name = "scripted"

    def __init__(self, settings=None, workdir=""):
        self.traits = Traits(True, True, 4)
        self.files = {}
        self.on_connect = []
        self.on_upload = {}
        self.after_upload = {}
        self.calls = []
        self.removals = []
        self.times = []
        self.in_flight = self.most = 0
        self.blocks = 0.0
        self.open = True

    @classmethod
    def identity(cls, settings):
        return "scripted://"

    async def connect(self):
        self.calls.append("connect")
        self.times.append(time.monotonic())
        if self.on_connect:
            error = self.on_connect.pop(0)
            if error:
                raise error

    async def close(self):
        self.calls.append("close")

    async def upload(self, job, progress):
        self.calls.append(f"upload {job.name}")
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            time.sleep(self.blocks)  # noqa: ASYNC251 - a library that blocks the loop
            while not self.open:  # noqa: ASYNC110 - opened from another thread
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            errors = self.on_upload.get(job.name)
            if errors:
                raise errors.pop(0)
            with open(job.source, "rb") as file:
                data = file.read(job.size)
            copied = sum(copy.size for copy in job.copies)
            if copied:
                assert job.replaces is not None and job.replaces.size == len(self.files[job.name][0])
            for at, size, origin in job.copies:
                data = data[:at] + self.files[job.name][0][origin : origin + size] + data[at + size :]
            job.confirm()
            self.files[job.name] = (data, None if job.mtime_ns is None else job.mtime_ns // 10**9)
            progress(job.size)
            errors = self.after_upload.get(job.name)
            if errors:
                raise errors.pop(0)
            return Sent(RemoteStat(job.size, self.files[job.name][1]), job.size - copied)
        finally:
            self.in_flight -= 1

    async def stat(self, name):
        self.calls.append(f"stat {name}")
        return RemoteStat(len(self.files[name][0]), self.files[name][1]) if name in self.files else None

    async def remove(self, names):
        self.calls.append("remove")
        self.removals.append(list(names))
        return set(names)


def child_side(**methods):
    """A child that does nothing, but for these methods."""
    defaults = {
        "page_changed": lambda: None,
        "server_can": lambda builds, copies: None,
        "write_heartbeat": list,
        "open_live": open_data,
        "confirm": lambda version: None,
        "snapshot_lost": lambda path: None,
        "is_anothers": lambda name, path: False,
        "name_harmed": lambda name: None,
    }
    child = SimpleNamespace(**{**defaults, **methods})
    return ChildSide(child, child, child, SignatureCache(), Prefixes())


class Bench:
    """A courier with everything around it."""

    def __init__(self, folder, **settings):
        self.folder = str(folder)
        self.settings = {**SETTINGS, **settings}
        self.transport = Scripted()
        self.count = 0
        self.lost = []
        self.fingerprint = "mark"
        self.confirm = lambda version: None
        self.dispatcher = None
        self.open()

    def open(self):
        def drop(*paths):
            for path in filter(os.path.exists, paths):
                os.unlink(path)

        self.spool_thread = SpoolThread(self.folder, "scripted://", drop)
        self.events = EventLog(self.folder, self.spool_thread.spool.start.epoch)
        self.status_model = StatusModel(time.time)

    def start(self):
        log = logging.getLogger("bench of the courier")
        context = DeliveryContext(self.spool_thread, self.status_model, self.events, log, time.monotonic, time.time)
        child = child_side(snapshot_lost=self.lost.append, confirm=lambda version: self.confirm(version))
        self.dispatcher = Dispatcher(context, self.transport, self.settings, child, LoginContext(self.fingerprint))
        self.dispatcher.start()
        return self

    def put(self, *names, data=None, wake=True, prefixes=None, live=False):
        entries = []
        for name in names:
            self.count += 1
            snapshot = os.path.join(self.folder, f"snapshot-{self.count}")
            content = data if data is not None else f"{name} {self.count}".encode()
            with open(snapshot, "wb") as file:
                file.write(content)
            mtime = (1000 + self.count) * 10**9
            entries.append(
                QueuedSnapshot(
                    name,
                    f"/data/{name}",
                    snapshot,
                    live,
                    len(content),
                    mtime,
                    content.hex(),
                    time.time(),
                    Stamp(mtime, 1, 1),
                    prefixes=prefixes or {},
                )
            )
        self.spool_thread.drop(self.spool_thread.run(self.spool_thread.spool.queue.enqueue, entries))
        if wake and self.dispatcher:
            self.dispatcher.jobs_added()
            self.dispatcher.queue_changed()

    def empty(self):
        return sum(self.spool_thread.run(self.spool_thread.spool.queue_admin.counts)[:3]) == 0

    def drained(self, secs=10.0):
        wait_until(self.empty, secs, what="the queue is empty")

    def kinds(self):
        return [event.kind for event in read_events(self.folder)]

    def stop(self, secs=5.0):
        if self.dispatcher:
            self.dispatcher.stop(time.monotonic() + secs)
            assert self.dispatcher.join(secs + 5)

    def close(self):
        self.stop(0)
        self.spool_thread.close()


@pytest.fixture
def bench(tmp_path):
    opened = []

    def make(**settings):
        opened.append(Bench(tmp_path, **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
