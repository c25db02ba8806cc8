"""What a transport learns of its server is kept in the queue's file, reported once, and forgotten with the destination."""

import logging
import time

import pytest

from pysubtask.common.events import read_events
from pysubtask.control.view.status_view import status
from pysubtask.control.view.task_status import TaskStatus
from pysubtask.subtask.spool.spool import Spool
from pysubtask.transports.shared import means
from pysubtask.transports.shared.profile import Profile
from tests.support.dispatcher_bench import Bench
from tests.support.helpers import wait_until


@pytest.fixture
def bench(tmp_path):
    opened = Bench(tmp_path)
    opened.transport.profile = Profile(time.time)
    yield opened
    opened.close()


def learn(bench, *rungs):
    """While it is connected."""
    for ladder, rung in rungs:
        bench.transport.profile.learn(ladder, rung, "no such thing")


def kept(bench):
    return bench.spool_thread.run(bench.spool_thread.spool.meta.profile)


def reported(bench):
    return [event.fields for event in read_events(bench.folder) if event.kind == "server_profile"]


def test_a_step_down_is_kept_reported_once_and_on_the_page(bench, caplog):
    with caplog.at_level(logging.INFO):
        bench.start()
        learn(bench, (means.PUBLISH, "aside"), (means.PUBLISH, "aside"), (means.SIZE, "after_close"))
        wait_until(lambda: "after_close" in kept(bench), 20, "what was learned in the spool")
        wait_until(lambda: len(bench.status_model.get("server") or []) == 2, 20, "what was learned on the page")
    [first, second] = reported(bench)
    assert first == {
        "means": "publish",
        "before": "posix_rename",
        "now": "aside",
        "reason": "no such thing",
        "text": means.PUBLISH.lacks["aside"],
    }
    assert second["now"] == "after_close"
    messages = [record.getMessage() for record in caplog.records if record.getMessage().startswith("SERVER")]
    assert messages[0] == f"SERVER: {means.PUBLISH.lacks['aside']} (it said: no such thing)"
    assert len(messages) == 2


def test_it_is_known_before_the_first_connect_of_the_next_child(bench):
    bench.start()
    learn(bench, (means.APPEND, "none"))
    wait_until(lambda: "none" in kept(bench), 20, "what was learned in the spool")
    bench.close()
    known = []

    async def connect(self=bench.transport):
        known.append(self.profile.rung(means.APPEND))

    bench.open()
    bench.transport.profile = Profile(time.time)
    bench.transport.connect = connect
    bench.put("a")
    bench.start()
    wait_until(lambda: known, 20, "a connect")
    assert known == ["none"]
    assert bench.status_model.get("server") == [means.APPEND.lacks["none"]]
    assert len(reported(bench)) == 1, "told once, not at each start"


def test_a_requested_retry_may_mean_the_server_was_mended(bench):
    bench.start()
    profile = bench.transport.profile
    learn(bench, (means.APPEND, "none"))
    assert not profile.is_due(means.APPEND)
    bench.dispatcher.connect_now()
    assert profile.is_due(means.APPEND)


def test_another_destination_is_another_server(tmp_path):
    path = str(tmp_path / "spool.db")
    spool = Spool(path, "sftp://here/", 0.0)
    spool.meta.keep_profile("of here")
    spool.close()
    spool = Spool(path, "sftp://there/", 0.0)
    assert spool.meta.profile() == ""
    spool.meta.keep_profile("of there")
    spool.close()
    spool = Spool(path, "sftp://here/", 0.0)
    assert spool.meta.profile() == "", "who comes back may find another server"
    spool.close()


def test_status_shows_it():
    page = {"state": "connected", "server": [means.DELETE.lacks["refused"]]}
    lines = status([TaskStatus("main/ftp", "sftp://h/", page, 1, 0.0, 0.0, {}, "")], 200)
    assert [line for line in lines if f"Note: {means.DELETE.lacks['refused']}" in line]
