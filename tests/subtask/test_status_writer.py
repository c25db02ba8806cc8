"""The status page is the state as of its event, exactly, whatever goes on at the same time."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace

import pytest

from pysubtask.common.events import EventLog, read_events
from pysubtask.common.notify import Stamp
from pysubtask.common.status import read_status
from pysubtask.subtask.delivery.context import DeliveryContext
from pysubtask.subtask.snapshot.queue_writer import QueueWriter
from pysubtask.subtask.spool.jobs import DeliveryResult, QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.subtask.status.status_writer import StatusWriter
from pysubtask.transports.base import RemoteStat

COUNT = 300


def entry(name):
    return QueuedSnapshot(name, "/d/" + name, "/s/" + name, True, 10, 5, name, 1.0, Stamp(5, 10, 1))


def context_and_writer(folder):
    spool_thread, status_model = SpoolThread(str(folder), "sftp://h/", lambda *paths: None), StatusModel(time.time)
    events = EventLog(str(folder), spool_thread.spool.start.epoch, time.time, status_model.guard)
    status_model.set(delivered=0, receipt=0)
    context = DeliveryContext(spool_thread, status_model, events, logging.getLogger("test_page"), time.monotonic, time.time)
    return context, StatusWriter(str(folder), status_model, events, spool_thread, time.time)


@pytest.mark.slow
def test_each_page_has_what_its_events_say_and_nothing_else(tmp_path):
    context, page = context_and_writer(tmp_path)
    writer = SimpleNamespace(_context=context)
    alive = [True, True]

    def queue():
        for at in range(0, COUNT, 3):
            context.spool_thread.run(QueueWriter.enqueue, writer, [entry(f"{at + more}") for more in range(3)])
        alive[0] = False

    def deliver():
        parked, done = set(), 0
        while done < COUNT:
            for version in context.spool_thread.run(context.take, 4, time.monotonic(), time.time()):
                if int(version.name) % 10 == 0 and version.name not in parked:
                    parked.add(version.name)
                    context.spool_thread.run(context.give_back, version, "no", 0.0, park=True)
                    continue
                context.status_model.progress(version.id, 5)
                unchanged = int(version.name) % 7 == 0
                context.spool_thread.run(
                    context.deliver, [DeliveryResult(version.id, RemoteStat(10, 5), 10, "size", unchanged=unchanged)]
                )
                done += 1
            with context.status_model.guard:
                kind = "resting" if done % 2 else "connected"
                context.events.emit(kind)
                context.status_model.state(kind)
        alive[1] = False

    threads = [threading.Thread(target=queue), threading.Thread(target=deliver)]
    for thread in threads:
        thread.start()
    pages = []
    while any(alive):
        page.write(time.monotonic(), force=True)
        pages.append(read_status(str(tmp_path)))
    for thread in threads:
        thread.join()
    context.spool_thread.close()
    events = list(read_events(str(tmp_path)))
    assert len({found["n"] for found in pages}) > 30
    for found in pages:
        queued, parked, delivered, state, receipt = set(), set(), 0, None, 0
        for event in events[: found["n"]]:
            name = event.fields.get("name")
            if event.kind == "queued":
                queued.add(name)
            elif event.kind == "parked":
                parked.add(name)
            elif event.kind in ("delivered", "unchanged"):
                queued.remove(name)
                parked.discard(name)
                delivered += event.kind == "delivered"
                receipt = event.fields["receipt"]
            else:
                state = event.kind
        assert (found["delivered"], found["receipt"], found.get("state")) == (delivered, receipt, state)
        numbers = found["queue"]
        assert numbers["waiting"] + numbers["sending"] + numbers["parked"] == len(queued)
        assert len(found["moving"]) == numbers["sending"] and {row["name"] for row in found["moving"]} <= queued
        assert {row["name"] for row in found["parked"]} <= parked


def test_an_event_makes_a_page_due_and_an_idle_one_stays(tmp_path):
    context, page = context_and_writer(tmp_path)
    page.write(0.0)
    assert page.due_at() is None
    context.events.emit("retry_ordered")
    assert page.due_at() == 0.5
    page.write(0.4)
    assert read_status(str(tmp_path))["n"] == 0
    page.write(0.5)
    assert read_status(str(tmp_path))["n"] == 1 and page.due_at() is None
    context.spool_thread.close()


def test_bytes_per_second_of_what_moves_now(tmp_path):
    context, page = context_and_writer(tmp_path)

    def rate(now):
        page.write(now, force=True)
        return read_status(str(tmp_path))["rate"]

    context.status_model.begin(1, "a", 10_000)
    context.status_model.begin(2, "goes on", 10**9, anew=False)
    assert rate(0.0) is None
    context.status_model.progress(1, 3000)
    context.status_model.progress(2, 10**9 - 5000)  # that much was there before
    assert rate(1.0) == 3000
    context.status_model.progress(2, 10**9 - 4000)
    assert rate(2.0) == 2000
    context.status_model.end(1, 10_000)  # its last 7,000 bytes were reported with its end
    assert rate(4.0) == 2750
    assert rate(30.0) is None, "what was long ago says nothing"
    context.status_model.end(2, 5000)
    assert rate(31.0) is None, "nothing moves"
    context.spool_thread.close()


def test_events_written_together_are_numbered_and_lost_together(tmp_path):
    log = EventLog(str(tmp_path), 2)
    assert log.emit_all([("a", {"x": 1}), ("b", {})]) == 2
    assert log.emit_all([]) == 2
    assert [(event.n, event.kind, event.fields) for event in read_events(str(tmp_path))] == [(1, "a", {"x": 1}), (2, "b", {})]
    gone = EventLog(str(tmp_path / "gone"), 1)
    gone.emit_all([("a", {}), ("b", {})])
    assert (gone.n, gone.lost) == (2, 2)
