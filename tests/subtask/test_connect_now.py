"""Somebody does not want to wait for the next connection: tried at once, but no account gets locked."""

from __future__ import annotations

import asyncio

import pytest

from pysubtask.common.errors import LoginRefused, ServerBusy, TransportLost
from pysubtask.delivery_rules.retry import EXTRA_LOGIN_SECS, extra_login_in
from pysubtask.subtask.delivery import login_schedule
from tests.support.dispatcher_bench import Bench
from tests.support.helpers import wait_until

LONG = {"RetryWaitSecs": 600, "RetryLongWaitSecs": 600}


@pytest.fixture
def bench(tmp_path):
    opened = Bench(tmp_path, **LONG)
    yield opened
    opened.close()


def state(bench, word):
    wait_until(lambda: bench.status_model.get("state") == word, what=word)


def test_a_wait_for_a_connection_ends(bench):
    bench.transport.on_connect = [TransportLost("refused"), TransportLost("refused"), None]
    bench.start().put("a")
    for tries in (1, 2):
        wait_until(
            lambda tries=tries: bench.transport.calls.count("connect") == tries and bench.status_model.get("state") == "waiting"
        )
        assert bench.dispatcher.connect_now() == {"state": "connecting"}
    bench.drained()
    assert bench.transport.calls.count("connect") == 3
    assert bench.dispatcher.connect_now() == {"state": "connected"}


def test_a_try_that_goes_on_and_fails_is_repeated_once(bench):
    gate = [True]

    async def connect():
        bench.transport.calls.append("connect")
        while gate[0]:  # noqa: ASYNC110 - opened from another thread
            await asyncio.sleep(0.01)
        if bench.transport.calls.count("connect") == 1:
            raise TransportLost("it was of before")

    bench.transport.connect = connect
    bench.start().put("a")
    wait_until(lambda: "connect" in bench.transport.calls)
    assert bench.dispatcher.connect_now() == {"state": "connecting"}
    gate[0] = False
    bench.drained()


def test_a_refused_login_is_tried_at_once_and_then_once_a_minute(bench):
    bench.transport.on_connect = [LoginRefused("wrong password")] * 9
    bench.start().put("a")
    state(bench, "held")
    assert bench.dispatcher.connect_now() == {"state": "connecting"}
    wait_until(lambda: bench.transport.calls.count("connect") == 2, what="the extra try")
    state(bench, "held")
    for _ in range(20):
        found = bench.dispatcher.connect_now()
        assert found["state"] == "held" and EXTRA_LOGIN_SECS - 30 < found["secs"] <= EXTRA_LOGIN_SECS
    assert bench.transport.calls.count("connect") == 2
    # Another child of the same task keeps to it.
    bench.close()
    bench.open()
    bench.start()
    state(bench, "held")
    assert bench.dispatcher.connect_now()["state"] == "held"
    assert bench.transport.calls.count("connect") == 2


@pytest.mark.slow
def test_the_extra_try_comes_when_it_is_allowed(bench, monkeypatch):
    monkeypatch.setattr(login_schedule, "extra_login_in", lambda last, now: max(0.0, 0.5 - (now - last)))
    bench.transport.on_connect = [LoginRefused("wrong password")] * 2
    bench.start().put("a")
    state(bench, "held")
    assert bench.dispatcher.connect_now() == {"state": "connecting"}
    wait_until(lambda: bench.transport.calls.count("connect") == 2, what="the extra try")
    state(bench, "held")
    assert bench.dispatcher.connect_now()["state"] in ("held", "connecting")
    bench.drained()


def test_a_pause_that_the_server_asked_for_is_kept(bench):
    bench.transport.on_connect = [ServerBusy("later", 300)]
    bench.start().put("a")
    state(bench, "waiting")
    found = bench.dispatcher.connect_now()
    assert found["state"] == "busy" and 200 < found["secs"] <= 360
    assert bench.transport.calls.count("connect") == 1


def test_what_is_paused_stays_paused(bench):
    bench.spool_thread.run(bench.spool_thread.spool.queue_admin.pause, [""], "ana", "2027-01-01T00:00:00.000Z")
    bench.start().put("a")
    assert bench.dispatcher.connect_now() == {"state": "paused"}
    assert "connect" not in bench.transport.calls


@pytest.mark.parametrize(
    ("last", "now", "secs"),
    [(float("-inf"), 0.0, 0.0), (100.0, 100.0, 60.0), (100.0, 130.0, 30.0), (100.0, 160.0, 0.0), (100.0, 50.0, 60.0)],
)
def test_when_an_extra_login_is_allowed(last, now, secs):
    assert extra_login_in(last, now) == secs
