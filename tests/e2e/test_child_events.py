"""What an app hears of its children and tells them: events, callbacks, proof of delivery, pause, settings."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pysubtask import ConfigError
from tests.support.helpers import wait_until
from tests.support.station import Station


@pytest.fixture
def station(tmp_path):
    one = Station(tmp_path)
    yield one
    one.master.stop()


def heard(station, kind, secs=20):
    """Wait for an event of this kind; its fields."""

    def fields_of_event():
        station.master.check_pending_notifications()
        return next(
            (child_event.event.fields for child_event in station.master.events()[0] if child_event.event.kind == kind), None
        )

    return wait_until(fields_of_event, secs, what=f"the event {kind}")


@pytest.mark.slow
def test_wait_delivered_says_yes_only_of_the_file_as_it_is(station):
    station.master.start()
    path = station.write("a.csv", "1\n")
    station.notify("a.csv")
    assert station.master.wait_delivered(path, 20)
    assert (station.server / "a.csv").read_text() == "1\n"
    station.write("a.csv", "22\n")
    begun = time.monotonic()
    assert not station.master.wait_delivered(path, 0.3)
    assert time.monotonic() - begun < 5
    station.notify("a.csv")
    assert station.master.wait_delivered(os.fsencode(path), 20)
    assert (station.server / "a.csv").read_text() == "22\n"
    assert not station.master.wait_delivered(station.data / "missing", 5)


@pytest.mark.slow
def test_events_go_on_from_a_position_over_a_childs_restart(station):
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")
    heard(station, "delivered")
    first, position = station.master.events()
    assert {child_event.extension for child_event in first} == {"folder_child"}
    assert [child_event.event.kind for child_event in first if child_event.event.kind in ("started", "delivered")] == [
        "started",
        "delivered",
    ]
    station.master.stop()
    station.write("a.csv", "2\n")
    station.master.start()
    station.arrived("a.csv")
    wait_until(lambda: any(child_event.event.kind == "delivered" for child_event in station.master.events(position)[0]))
    later, _ = station.master.events(position)
    numbers = [(child_event.event.epoch, child_event.event.n) for child_event in first + later]
    assert numbers == sorted(set(numbers))


@pytest.mark.slow
def test_a_callback_runs_in_the_apps_thread_by_the_timer_call(station):
    threads, names = set(), []

    @station.master.on_event
    def fails(child_event):
        raise ValueError("a fault of the app")

    def good(child_event):
        threads.add(threading.get_ident())
        names.append((child_event.event.kind, child_event.event.fields.get("name")))

    station.master.on_event(good)
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")  # makes the timer call
    wait_until(lambda: station.master.check_pending_notifications() or ("delivered", "a.csv") in names)
    assert threads == {threading.get_ident()}
    assert "A callback of on_event failed" in (station.root / "logs" / "master.txt").read_text()
    station.master.off_event(good)
    count = len(names)
    station.write("a.csv", "2\n")
    station.notify("a.csv")
    station.arrived("a.csv")
    station.master.check_pending_notifications()
    assert len(names) == count
    with pytest.raises(ValueError):
        station.master.off_event(good)


@pytest.mark.slow
def test_pause_resume_and_set_from_the_app(station):
    station.master.start()
    station.pid()
    station.master.pause()
    heard(station, "paused")
    station.write("a.csv", "1\n")
    station.notify("a.csv")
    wait_until(lambda: station.page().get("queue", {}).get("waiting") == 1)
    station.master.set(RateLimit=70_000, keep=True)
    changed = heard(station, "setting_changed")
    assert (changed["key"], changed["old"], changed["new"], changed["kept"]) == ("RateLimit", 0, 70_000, True)
    assert changed["by"]["pid"] == os.getpid() and changed["by"]["command"] == "BaseTaskMaster.set"
    assert not (station.server / "a.csv").exists()
    station.master.resume()
    station.arrived("a.csv")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"RateLimt": 5}, "Did you mean 'RateLimit'"),
        ({"RateLimit": -5}, "out of range"),
        ({"TaskName": "x"}, "does not take it"),
        ({}, "no setting is named"),
    ],
)
def test_a_wrong_setting_is_refused_at_once_and_nothing_ordered(station, settings, words):
    with pytest.raises(ConfigError, match=words):
        station.master.set(**settings)
    assert not (station.state / "requests").exists()


def test_an_order_before_the_start_waits_for_it(station):
    station.master.set(RetryCount=9)
    station.master.start()
    assert heard(station, "setting_changed")["new"] == 9
