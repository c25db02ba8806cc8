"""Orders given to a real child through its state folder: settings, pauses, another try, stop and start."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pysubtask.common import registry, requests
from pysubtask.common.events import read_events
from pysubtask.common.lock import StateLock
from pysubtask.common.requests import Who, myself, reply_to, send
from tests.support.helpers import wait_until
from tests.support.station import Station

ME = Who("ana", 7, "a test", "here")


@pytest.fixture
def station(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    one = Station(tmp_path)
    yield one
    one.master.stop()


def order(station, op, **args):
    """Give an order and wait for the answer; its result, or AssertionError with what was answered."""
    reply = refused(station, op, **args)
    assert reply.ok, reply.error
    return reply.result


def refused(station, op, **args):
    id = send(str(station.state), op, args, ME)

    def answered():
        station.master.check_pending_notifications()
        return reply_to(str(station.state), id)

    return wait_until(answered, what=f"an answer to {op}")


def master_log(station):
    return (station.root / "logs" / "master.txt").read_text()


def kinds(station, kind):
    return [event for event in read_events(str(station.state)) if event.kind == kind]


@pytest.mark.slow
def test_settings_are_set_answered_and_kept(station):
    station.master.start()
    station.pid()
    result = order(station, "set", settings={"TimerIntervalSecs": "0.2", "base.RateLimit": "50k"}, keep=True)
    assert {row["key"]: (row["old"], row["new"]) for row in result["changed"]} == {
        "TimerIntervalSecs": (0.3, 0.2),
        "RateLimit": (0, 50000),
    }
    assert order(station, "get")["live"]["RateLimit"] == 50000
    changes = {event.fields["key"]: event.fields for event in kinds(station, "setting_changed")}
    assert changes["RateLimit"]["by"] == {"user": "ana", "pid": 7, "command": "a test", "host": "here"}
    assert (changes["RateLimit"]["old"], changes["RateLimit"]["new"], changes["RateLimit"]["kept"]) == (0, 50000, True)

    os.kill(station.pid(), signal.SIGKILL)
    assert order(station, "get")["live"]["RateLimit"] == 50000
    assert json.loads((station.state / "settings.json").read_text())["kept"] == ["RateLimit", "TimerIntervalSecs"]

    # A config that says something else since then is the later word.
    station.master.stop()
    station.base["RateLimit"] = 1000
    station.master = station.make()
    station.master.start()
    found = order(station, "get")
    assert found["live"]["RateLimit"] == 1000 and found["live"]["TimerIntervalSecs"] == 0.2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"RateLimit": "fast"}, ["RateLimit", "'fast'", "bytes per second"]),
        ({"RateLimit": -1}, ["RateLimit", "out of range"]),
        ({"RatLimit": 5}, ["RatLimit", "not known", "RateLimit"]),
        ({"TaskName": "x"}, ["TaskName", "running child does not take it", "restart"]),
        ({"dropbox.RateLimit": 5}, ["dropbox", "no section"]),
        ({}, ["KEY=VALUE"]),
    ],
)
def test_a_wrong_setting_is_refused_with_a_reason(shared, settings, words):
    reply = refused(shared, "set", settings={"RetryCount": 7, **settings} if settings else {})
    assert not reply.ok
    assert [word for word in words if word not in reply.error] == []
    assert order(shared, "get")["live"]["RetryCount"] == 5


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("shared")
        patch.setenv(registry.VARIABLE, str(root / "registry"))
        one = Station(root)
        one.master.start()
        yield one
        one.master.stop()


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("sett", {}, ["'sett' is not known", "'set'"]),
        ("pause", {"names": ["nothing.csv"]}, ["nothing.csv", "neither in the queue nor paused", "pysubtask queue"]),
        ("pause", {"names": "a.csv"}, ["list"]),
        ("drop", {}, ["name the files"]),
        ("notify", {"files": ["/etc/passwd"]}, ["/etc/passwd", "does not watch"]),
    ],
)
def test_a_wrong_order_gets_an_answer(shared, op, args, words):
    reply = refused(shared, op, **args)
    assert not reply.ok
    assert [word for word in words if word not in reply.error] == []


def test_an_unreadable_request_gets_a_reply_and_harms_nobody(shared):
    folder = shared.state / "requests"
    folder.mkdir(exist_ok=True)
    for name, text in [("garbage", "{"), ("list", "[]"), ("half", '{"format": 1, "op": "stop"}'), ("deep", "[" * 100_000)]:
        (folder / f"{name}.json").write_text(text)
    for name in ("garbage", "list", "half", "deep"):
        reply = wait_until(lambda name=name: reply_to(str(shared.state), name))
        assert not reply.ok and "cannot be read" in reply.error
    assert list(folder.iterdir()) == []


def test_a_repeated_order_is_not_carried_out_again(shared):
    order(shared, "set", settings={"RetryCount": 6})
    before = len(kinds(shared, "setting_changed"))
    id = send(str(shared.state), "set", {"settings": {"RetryCount": 9}}, ME)
    wait_until(lambda: reply_to(str(shared.state), id))
    order(shared, "set", settings={"RetryCount": 5})
    send(str(shared.state), "set", {"settings": {"RetryCount": 9}}, ME, id=id)
    wait_until(lambda: not os.listdir(shared.state / "requests"))
    assert order(shared, "get")["live"]["RetryCount"] == 5
    assert len(kinds(shared, "setting_changed")) == before + 2


@pytest.mark.slow
def test_a_paused_task_stays_paused_over_a_restart(station):
    station.master.start()
    station.pid()
    assert order(station, "pause") == {"paused": "everything"}
    station.write("a.csv", "1\n")
    station.notify("a.csv")
    wait_until(lambda: station.page().get("queue", {}).get("waiting") == 1)
    assert station.page()["state"] == "paused" and "ana" in station.page()["why"]
    (row,) = order(station, "queue")
    assert (row["name"], row["state"]) == ("a.csv", "paused") and "ana" in row["reason"]
    os.kill(station.pid(), signal.SIGKILL)
    wait_until(lambda: order(station, "queue") and station.page()["state"] == "paused")
    time.sleep(0.5)
    assert not (station.server / "a.csv").exists()
    assert order(station, "resume")["resumed"] == ["everything"]
    station.arrived("a.csv")


@pytest.mark.slow
def test_a_paused_file_waits_and_a_dropped_one_never_goes(station):
    station.master.start()
    station.pid()
    order(station, "pause")
    for name in ("box/one", "box/two", "box/three"):
        station.write(name, name)
        station.notify(name)
    wait_until(lambda: station.page().get("queue", {}).get("waiting") == 3)
    order(station, "pause", names=["one", str(station.data / "box" / "two")])
    assert order(station, "drop", names=["two"]) == {"dropped": ["two"]}
    # Only the pause of the whole task ends here.
    id = send(str(station.state), "resume", {"names": []}, ME)
    wait_until(lambda: reply_to(str(station.state), id))
    station.arrived("box/three", "box/one")
    assert not (station.server / "two").exists()
    assert [event.fields["name"] for event in kinds(station, "dropped")] == ["two"]
    wait_until(lambda: not [path for path in (station.data / "upload").rglob("*") if path.is_file()], what="no snapshot left")


@pytest.mark.slow
def test_a_stopped_task_stays_stopped_until_somebody_starts_it(station):
    station.master.start()
    station.pid()
    station.write("a.csv", "1\n")
    station.notify("a.csv")
    assert order(station, "stop") == {"stopping": True}

    def stopped():
        child = station.master.status().children[0]
        return child.pid is None and child.last_exit == "stopped by an order"

    wait_until(stopped)
    assert (station.server / "a.csv").exists()  # what was notified was still sent
    time.sleep(1.5)  # longer than the wait before a child that died by itself is started again
    assert stopped()
    assert order(station, "start") == {"running": True}
    assert "ORDER [start] of ana" in master_log(station) and "ORDER [start]" not in station.log(), "the master has answered"
    station.write("a.csv", "2\n")
    station.notify("a.csv")
    station.arrived("a.csv")


@pytest.mark.slow
def test_a_child_that_is_being_stopped_does_not_answer_a_start(station):
    station.master.start()
    pid = station.pid()
    os.kill(pid, signal.SIGSTOP)
    stop = send(str(station.state), "stop", {}, ME, wall=1000.0)
    start = send(str(station.state), "start", {}, ME, wall=1001.0)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: reply_to(str(station.state), stop))
    assert reply_to(str(station.state), start) is None
    reply = wait_until(lambda: station.master.check_pending_notifications() or reply_to(str(station.state), start), 40)
    assert reply.ok and reply.result == {"running": True}
    assert station.master.status().children[0].alive and station.pid() != pid
    assert "ORDER [start]" not in station.log()


@pytest.mark.slow
def test_a_start_is_answered_where_the_child_has_died_by_itself(station):
    station.master.start()
    pid = station.pid()
    station.kill()
    wait_until(lambda: station.master.status().children[0].last_exit == "signal SIGKILL")
    assert order(station, "start") == {"running": True}  # by the child that its guard has started meanwhile, or by the master
    assert station.pid() != pid


def test_a_start_of_a_child_that_runs_needs_no_call_of_the_app(station):
    station.master.start()
    pid = station.pid()
    station.idle()
    id = send(str(station.state), "start", {}, ME)
    assert wait_until(lambda: reply_to(str(station.state), id)).result == {"running": True}
    assert station.pid() == pid


@pytest.mark.slow
def test_a_reset_task_begins_a_new_epoch_as_the_same_process(station):
    station.master.start()
    pid, epoch = station.pid(), station.page()["epoch"]
    order(station, "set", settings={"RetryCount": 9})
    order(station, "reset")
    wait_until(lambda: station.page().get("epoch", 0) > epoch)
    assert station.pid() == pid
    assert order(station, "get")["live"]["RetryCount"] == 5  # not kept


@pytest.mark.slow
def test_an_order_waits_for_a_dead_child(station):
    station.master.start()
    station.pid()
    station.master.stop()
    id = send(str(station.state), "set", {"settings": {"RetryCount": 8}, "keep": True}, myself("a test"))
    assert reply_to(str(station.state), id) is None
    station.master.start()
    wait_until(lambda: reply_to(str(station.state), id))
    assert order(station, "get")["live"]["RetryCount"] == 8


@pytest.mark.slow
def test_notify_by_order(station):
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")
    station.write("a.csv", "2\n")
    assert order(station, "notify")["notified"] == [str(station.data / "a.csv")]
    station.arrived("a.csv")


def test_the_child_is_known_without_a_config(station):
    station.master.start()
    station.pid()
    (record,) = wait_until(registry.records)
    assert (record.task, record.extension, record.state_dir) == ("main", "folder_child", str(station.state))
    assert record.destination.startswith("file://")


def test_requests_refuse_a_strange_id(tmp_path):
    for id in ("../x", "a b", "x" * 101):
        with pytest.raises(ValueError, match="no id"):
            requests.send(str(tmp_path), "set", {}, ME, id=id)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")
def test_a_child_has_one_reader_for_data_and_requests(shared):
    handles = Path(f"/proc/{shared.pid()}/fd")
    assert [os.readlink(handle) for handle in handles.iterdir()].count("anon_inode:inotify") == 1


def test_an_order_does_not_wait_for_the_timer(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    slow = Station(tmp_path, TimerIntervalSecs=600)
    try:
        slow.master.start()
        slow.pid()
        begun = time.monotonic()
        assert order(slow, "get")["live"]["TimerIntervalSecs"] == 600
        assert time.monotonic() - begun < 60
    finally:
        slow.master.stop()


@pytest.mark.slow
def test_a_reset_is_answered_by_the_new_child(station):
    station.master.start()
    pid, epoch = station.pid(), station.page()["epoch"]
    lock = StateLock(str(station.state / "lock"))
    unheld = reads = 0
    for turn in range(1, 4):
        id = send(str(station.state), "reset", {}, ME)
        while (reply := reply_to(str(station.state), id)) is None:
            holder = lock.holder()
            reads += 1
            unheld += holder is None or holder.pid != pid
        assert reply.ok and reply.result == {"begun anew": True}
        events = [event for event in read_events(str(station.state)) if event.kind == "reset_ordered"]
        assert [event.epoch for event in events] == list(range(epoch + 1, epoch + turn + 1)), "answered after it was done"
    assert reads > 50 and unheld == 0
    station.write("a.csv", "1\n")
    station.notify("a.csv")
    station.arrived("a.csv")
    assert station.pid() == pid
    assert "PYSUBTASK_KEPT_LOCK" not in (Path("/proc") / str(pid) / "environ").read_text() or lock.holder()


@pytest.mark.slow
def test_a_reset_that_waited_is_answered_by_a_childs_start(station):
    station.master.start()
    station.pid()
    station.master.stop()
    id = send(str(station.state), "reset", {}, ME)
    epoch = station.page()["epoch"]
    station.master.start()
    assert wait_until(lambda: reply_to(str(station.state), id)).ok
    station.idle()
    assert station.page()["epoch"] == epoch + 1 and [event.epoch for event in kinds(station, "reset_ordered")] == [epoch + 1]


def test_the_log_has_orders_and_no_queries(station):
    station.master.start()
    station.pid()
    order(station, "queue")
    order(station, "get")
    assert not refused(station, "queue", limit="x").error
    order(station, "set", settings={"RetryCount": 8})
    wait_until(lambda: "ORDER [set] of ana" in station.log())
    assert "[queue]" not in station.log() and "[get]" not in station.log()


@pytest.mark.slow
def test_a_retry_connects_at_once_where_the_next_try_is_far_away(station):
    station.base |= {"RetryWaitSecs": 900, "RetryLongWaitSecs": 900}
    station.master = station.make()
    station.server.rmdir()
    station.server.write_text("no folder")
    station.master.start()
    station.pid()
    for name in ("box/one", "box/two"):
        station.write(name, name)
        station.notify(name)
    wait_until(lambda: station.page().get("state") in ("waiting", "held") and station.page()["queue"]["waiting"] == 2, 40)
    station.server.unlink()
    station.server.mkdir()
    found = order(station, "retry")
    assert found == {"offered": 2, "connection": {"state": "connecting"}}
    station.arrived("box/one", "box/two", secs=40)
    station.idle()
    assert order(station, "retry") == {"offered": 0}


@pytest.mark.slow
def test_a_stop_is_not_lost_where_a_reset_comes_with_it(station):
    station.master.start()
    pid, epoch = station.pid(), station.page()["epoch"]
    os.kill(pid, signal.SIGSTOP)
    stop = send(str(station.state), "stop", {}, ME, wall=1000.0)
    reset = send(str(station.state), "reset", {}, ME, wall=1001.0)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: reply_to(str(station.state), stop))
    # It ends, and the reset, which needs a child, has its master start another one.
    wait_until(lambda: station.master.check_pending_notifications() or reply_to(str(station.state), reset), 40)
    assert reply_to(str(station.state), reset).ok
    station.idle()
    assert station.pid() != pid and station.page()["epoch"] == epoch + 1
