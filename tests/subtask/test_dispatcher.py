"""The courier with the real spool and files, over a transport that fails on demand."""

import asyncio
import logging
import os
import random
import time

import pytest

from pysubtask.common.errors import (
    AttemptFailed,
    ConfigError,
    FileRefused,
    LoginRefused,
    NotAsLeft,
    ServerBusy,
    SourceChanged,
    TransportLost,
)
from pysubtask.common.events import read_events
from pysubtask.common.notify import Stamp
from pysubtask.common.receipts import read_receipts
from pysubtask.subtask.delivery import dispatcher, signature_tasks
from pysubtask.subtask.delta import signature
from pysubtask.subtask.spool.jobs import QueuedSnapshot
from pysubtask.subtask.spool.queue import BIG_BYTES
from pysubtask.transports.base import Append, Copy, Link
from pysubtask.transports.shared.reach import nobody_listens
from tests.support.dispatcher_bench import bench
from tests.support.helpers import wait_until

__all__ = ["bench"]


def snapshots(one):
    return [name for name in os.listdir(one.folder) if name.startswith("snapshot")]


def test_what_is_queued_arrives_and_its_snapshot_goes(bench):
    one = bench().start()
    one.put("a", "b", "dir/c")
    one.drained()
    assert set(one.transport.files) == {"a", "b", "dir/c"}
    wait_until(lambda: snapshots(one) == [], what="the snapshots are gone")
    assert sorted(receipt.name for receipt in read_receipts(one.folder)) == ["a", "b", "dir/c"]
    wait_until(lambda: one.status_model.get("delivered") == 3, what="counted")


def test_a_link_that_breaks_repeatedly_costs_few_logins_a_minute(bench):
    """Whoever logs in each second and is lost again is banned by many servers; the page says why it waits."""
    one = bench(LoginsPerMinute=3, RetryWaitSecs=0.01, RetryLongWaitSecs=0.01, RetryCount=2).start()
    one.transport.on_upload["a"] = [TransportLost("broken") for _ in range(20)]
    one.put("a")
    wait_until(lambda: "LoginsPerMinute" in str(one.status_model.get("why")), what="it says why it waits")
    assert one.transport.calls.count("connect") == 3 and one.status_model.get("state") == "waiting"
    assert "broken" in str(one.status_model.get("why"))
    # Somebody who has mended it does not wait.
    one.transport.on_upload.clear()
    assert one.dispatcher.connect_now()["state"] == "connecting"
    one.drained()
    assert one.transport.calls.count("connect") == 4


def test_no_answer_after_several_lost_logins_may_be_a_ban(bench):
    one = bench(LoginsPerMinute=6, RetryWaitSecs=0.01, RetryLongWaitSecs=0.01, RetryCount=2).start()
    one.transport.on_upload["a"] = [TransportLost("broken") for _ in range(3)]
    one.transport.on_connect = [None, None, None, *[nobody_listens("there:22") for _ in range(20)]]
    one.put("a")
    wait_until(lambda: "banned" in str(one.status_model.get("why")), what="it says why it waits")
    assert one.transport.calls.count("connect") == 5 and one.status_model.get("state") == "waiting"
    one.transport.on_connect.clear()
    assert one.dispatcher.connect_now()["state"] == "connecting"
    one.drained()


def test_a_server_that_is_down_is_tried_as_the_settings_say(bench):
    one = bench(LoginsPerMinute=1, RetryWaitSecs=0.01, RetryLongWaitSecs=0.01, RetryCount=2)
    one.transport.on_connect = [TransportLost("nothing listens") for _ in range(8)]
    one.start()
    one.put("a")
    one.drained()
    assert one.transport.calls.count("connect") == 9


@pytest.mark.slow
def test_connections_that_are_forgotten_while_idle_are_reported(bench, monkeypatch, caplog):
    monkeypatch.setattr("pysubtask.subtask.delivery.connection.IDLE_SECS", 0.2)
    one = bench(RetryWaitSecs=30).start()
    one.put("a")
    one.drained()
    for name in ("b", "c"):
        time.sleep(0.4)  # a pause; what comes of it does not depend on how long it is
        one.transport.on_upload[name] = [TransportLost("no answer")]
        one.put(name)
        one.drained()
    assert "forgets those that are idle" in caplog.text and "DeadTimeMilli" in str(one.status_model.get("last_error"))
    assert one.transport.calls.count("connect") == 3


def test_it_connects_only_when_there_is_something_to_send(bench):
    one = bench().start()
    time.sleep(0.2)
    assert one.transport.calls == []
    one.put("a")
    one.drained()
    assert one.transport.calls[0] == "connect"


def test_no_more_files_in_flight_than_allowed(bench):
    one = bench(Concurrency=3).start()
    one.put(*[f"f{n}" for n in range(20)])
    one.drained()
    assert one.transport.most == 3


@pytest.mark.slow
def test_sets_of_tries_with_a_longer_wait_between(bench):
    one = bench(RetryWaitSecs=0.1, RetryLongWaitSecs=1.0)
    one.transport.on_connect = [TransportLost("no route")] * 4
    one.start().put("a")
    one.drained()
    gaps = [after - before for before, after in zip(one.transport.times, one.transport.times[1:], strict=False)]
    assert len(gaps) == 4
    assert gaps[2] >= 1.0, "the long wait comes after three tries"
    assert all(0.1 <= gap < 1.0 for gap in (gaps[0], gaps[1], gaps[3]))
    assert one.kinds().count("connect_failed") == 1, "said once, not at every try"


def test_a_lost_connection_costs_one_try_and_no_data(bench):
    one = bench()
    one.transport.on_upload = {"a": [TransportLost("reset")]}
    one.start().put("a", "b")
    one.drained()
    assert set(one.transport.files) == {"a", "b"}
    assert one.transport.calls.count("connect") == 2
    assert "connection_lost" in one.kinds()


def test_an_upload_whose_answer_was_lost_is_not_sent_again(bench):
    one = bench()
    one.transport.after_upload = {"a": [TransportLost("cut after the rename")]}
    one.start().put("a")
    one.drained()
    assert one.transport.calls.count("upload a") == 1
    assert "stat a" in one.transport.calls
    wait_until(lambda: "unchanged" in one.kinds(), what="said to be there already")


@pytest.mark.slow
def test_an_odd_reply_about_a_file_costs_that_file_alone(bench):
    one = bench(RetryWaitSecs=0.2)
    odd = AttemptFailed("odd: renamed, but gone", step="renaming into place", file="odd", server_text="250 done")
    one.transport.on_upload = {"odd": [odd, odd]}
    one.start().put("odd", *[f"f{n}" for n in range(10)])
    wait_until(lambda: len(one.transport.files) == 10 and "odd" not in one.transport.files, what="the others are there first")
    one.drained()
    assert one.transport.calls.count("connect") == 1 and "connection_lost" not in one.kinds()
    assert one.transport.calls.count("stat odd") == 2, "it is compared with the server before it is sent again"
    found = [event.fields for event in read_events(one.folder) if event.kind == "attempt_failed"]
    assert len(found) == 2
    assert (
        found[0].items()
        >= {
            "name": "odd",
            "reason": "odd: renamed, but gone",
            "error": "AttemptFailed",
            "file": "odd",
            "step": "renaming into place",
            "said": "250 done",
        }.items()
    )
    wait_until(lambda: one.status_model.get("tried_again") == [], what="nothing is tried again")


def test_what_waits_alone_is_on_the_page(bench):
    one = bench(RetryWaitSecs=30)
    one.transport.on_upload = {"odd": [AttemptFailed("odd: an answer")]}
    one.start().put("odd")
    wait_until(lambda: one.status_model.get("tried_again") and one.status_model.get("last_error"), what="on the page")
    row = one.status_model.get("tried_again")[0]
    assert (row["name"], row["reason"], row["tries"]) == ("odd", "odd: an answer", 1) and row["next_try"]
    assert one.status_model.get("last_error")["about"] == "odd" and one.status_model.get("state") == "connected"
    one.put("b")
    wait_until(lambda: "b" in one.transport.files, what="the connection is used")


def test_after_so_many_in_a_row_it_is_parked_while_others_pass(bench):
    one = bench()
    one.transport.on_upload = {"odd": [AttemptFailed("odd")] * 9}
    one.start().put("odd")
    for n in range(50):
        one.put(f"f{n}")
        if one.spool_thread.run(one.spool_thread.spool.queue_admin.parked):
            break
        time.sleep(0.05)
    wait_until(lambda: one.spool_thread.run(one.spool_thread.spool.queue_admin.parked), what="parked")
    assert one.kinds().count("attempt_failed") == 2, "RetryCount is 3"
    assert [row.reason for row in one.spool_thread.run(one.spool_thread.spool.queue_admin.parked)] == ["odd"]
    one.put("odd")
    wait_until(lambda: one.kinds().count("parked") == 2, what="the next attempt that fails parks it again")
    assert one.kinds().count("attempt_failed") == 2


@pytest.mark.slow
def test_where_nothing_passes_a_file_is_not_blamed(bench):
    one = bench(RetryLongWaitSecs=0.1)
    one.transport.on_upload = {"a": [AttemptFailed("odd")] * 4, "b": [AttemptFailed("odd")] * 4}
    one.start().put("a", "b")
    one.drained()
    assert "parked" not in one.kinds() and one.kinds().count("attempt_failed") == 8


def test_a_login_refused_amid_an_upload_is_held_at_once(bench):
    one = bench(RetryWaitSecs=0.2)
    one.transport.on_upload = {"a": [LoginRefused("the token was withdrawn")]}
    one.start().put("a")
    wait_until(lambda: one.status_model.get("state") == "held", what="held")
    one.drained()
    assert "login_refused" in one.kinds() and "connection_lost" not in one.kinds()


def test_a_link_on_the_server_is_reported_once(bench):
    one = bench()
    upload = one.transport.upload

    async def through_a_link(job, progress):
        return (await upload(job, progress))._replace(link=Link("followed", "/disk2/a"))

    one.transport.upload = through_a_link
    one.start().put("a")
    one.drained()
    one.put("a")
    one.drained()
    found = [event.fields for event in read_events(one.folder) if event.kind == "remote_link"]
    assert found == [{"name": "a", "path": "/data/a", "done": "followed", "target": "/disk2/a", "reason": ""}]


@pytest.mark.parametrize("secs", [10.0, 0.3])
def test_what_is_queued_after_a_failed_connect_is_logged_to_wait(bench, monkeypatch, secs):
    """Whether its snapshot was expected still, or came later than that."""
    monkeypatch.setattr(dispatcher, "EXPECT_SECS", secs)
    one = bench(RetryWaitSecs=900, RetryLongWaitSecs=900)
    one.transport.on_connect = [TransportLost("no route")]
    one.start()
    one.dispatcher.expect()
    wait_until(lambda: one.status_model.get("state") == "waiting", what="the first try failed")
    if secs < 1:
        time.sleep(secs)
        one.dispatcher.queue_changed()
        wait_until(lambda: one.status_model.get("state") == "watching", what="nothing is expected any more")
    one.put("a")
    wait_until(lambda: one.status_model.get("state") == "waiting" and one.status_model.get("next_try"), what="waiting")
    time.sleep(0.1)
    assert one.status_model.get("state") == "waiting" and one.status_model.get("why") == "no route"
    assert one.transport.calls.count("connect") == 1


def test_a_refused_file_is_parked_and_the_rest_goes_on(bench):
    one = bench()
    one.transport.on_upload = {"bad": [FileRefused("permission denied")]}
    one.start().put("bad", "good")
    wait_until(
        lambda: "good" in one.transport.files and one.spool_thread.run(one.spool_thread.spool.queue_admin.parked),
        what="good sent, bad parked",
    )
    assert [row.reason for row in one.spool_thread.run(one.spool_thread.spool.queue_admin.parked)] == ["permission denied"]
    one.put("bad")
    one.drained()
    assert one.transport.files["bad"][0] == b"bad 3"


@pytest.mark.slow
def test_a_parked_file_is_offered_again_by_itself(bench):
    one = bench(ParkedRetrySecs=1)
    one.transport.on_upload = {"bad": [FileRefused("disk full")]}
    one.start().put("bad")
    one.drained()
    assert one.transport.files["bad"][0] == b"bad 1"


@pytest.mark.slow
def test_a_refused_login_holds_all_and_is_tried_ever_less_often(bench):
    one = bench(RetryWaitSecs=0.1, RetryLongWaitSecs=0.5)
    one.transport.on_connect = [LoginRefused("wrong password")] * 3
    one.start().put("a")
    wait_until(lambda: one.status_model.get("state") == "held", what="held")
    one.drained()
    gaps = [after - before for before, after in zip(one.transport.times, one.transport.times[1:], strict=False)]
    assert len(gaps) == 3 and gaps[1] >= 0.5 and gaps[2] >= 1.0
    assert one.kinds().count("login_refused") == 1


def test_a_hold_outlives_a_restart_but_not_a_new_password(bench):
    one = bench(RetryWaitSecs=30)
    one.transport.on_connect = [LoginRefused("wrong password")]
    one.start().put("a")
    wait_until(lambda: one.status_model.get("state") == "held", what="held")
    one.close()
    one.open()
    one.start()
    time.sleep(0.3)
    assert one.transport.calls.count("connect") == 1, "the first wait is not over"
    one.close()
    one.open()
    one.fingerprint = "other"
    one.start()
    one.drained()


def test_a_missing_library_is_held_like_a_refused_login(bench):
    one = bench()
    one.transport.on_connect = [ConfigError("ftp.SSHProgram", "there is none", "Install it.")]
    one.start().put("a")
    one.drained()
    assert "login_refused" in one.kinds()


def test_the_connection_rests_after_the_dead_time_and_comes_back(bench):
    one = bench(DeadTimeMilli=300).start()
    one.put("a")
    one.drained()
    wait_until(lambda: one.status_model.get("state") == "resting", what="resting")
    assert one.transport.calls[-1] == "close"
    one.put("a")
    one.drained()
    assert one.transport.files["a"][0] == b"a 2"
    assert one.transport.calls.count("connect") == 2


@pytest.mark.slow
def test_notices_keep_the_connection(bench):
    one = bench(DeadTimeMilli=400).start()
    one.put("a")
    for _ in range(8):
        time.sleep(0.1)
        one.dispatcher.jobs_added()
    assert "close" not in one.transport.calls


def test_a_stop_sends_what_is_queued(bench):
    one = bench().start()
    one.put(*[f"f{n}" for n in range(30)])
    one.stop(10)
    assert one.empty()
    assert one.transport.calls[-1] == "close"


def test_a_stop_ends_at_its_deadline_and_returns_its_claims(bench):
    one = bench()
    one.transport.open = False
    one.start().put("a")
    wait_until(lambda: one.transport.in_flight == 1, what="in flight")
    began = time.monotonic()
    one.stop(0.5)
    assert time.monotonic() - began < 5
    assert one.spool_thread.run(one.spool_thread.spool.queue_admin.counts).waiting == 1
    assert len(snapshots(one)) == 1


def test_a_stop_ends_at_its_deadline_while_a_connect_hangs(bench):
    """A program that ssh goes through may hang; a child that waits for it is killed, and nobody ends that program then."""
    one, ended = bench(), []

    async def connect():
        one.transport.calls.append("connect")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    one.transport.connect = connect
    one.start().put("a")
    wait_until(lambda: "connect" in one.transport.calls)
    one.dispatcher.stop(time.monotonic() + 0.3)
    assert one.dispatcher.join(20)
    assert ended and one.transport.calls[-1] == "close"
    assert "connect_failed" not in one.kinds()


def test_a_stop_does_not_wait_where_nothing_can_be_done(bench):
    one = bench()
    one.transport.on_upload = {"a": [FileRefused("no")]}
    one.start().put("a")
    wait_until(lambda: one.spool_thread.run(one.spool_thread.spool.queue_admin.parked), what="parked")
    began = time.monotonic()
    one.stop(30)
    assert time.monotonic() - began < 10


def test_a_snapshot_that_vanished_is_asked_for_again(bench):
    one = bench()
    one.put("a", wake=False)

    def vanished(job):
        raise SourceChanged("the snapshot is gone")

    one.transport.on_upload = {"a": [SourceChanged("the snapshot is gone")]}
    one.start()
    wait_until(lambda: one.lost == ["/data/a"], what="asked for again")
    assert one.empty()
    assert "snapshot_lost" in one.kinds()
    assert one.transport.calls.count("connect") == 1, "the connection is still good"


def test_a_refused_name_that_is_no_utf_8_is_parked_alone(bench, monkeypatch):
    # What is logged is part of the report that xdist sends, which takes no such bytes.
    monkeypatch.setattr(logging.getLogger("bench of the courier"), "disabled", True)
    one = bench()
    odd = os.fsdecode(b"Mu\xf1oz")
    one.transport.on_upload = {odd: [FileRefused(f"{odd}: server said: Failure")]}
    with open(os.path.join(one.folder, "source"), "wb") as file:
        file.write(b"1")
    queued = QueuedSnapshot(odd, f"/data/{odd}", file.name, False, 1, 10**9, "d", time.time(), Stamp(1, 1, 1))
    one.spool_thread.run(one.spool_thread.spool.queue.enqueue, [queued])
    one.put("plain", wake=False)
    one.start()
    wait_until(lambda: one.spool_thread.run(one.spool_thread.spool.queue_admin.counts).parked == 1, what="parked")
    wait_until(lambda: "plain" in one.transport.files, what="the other one")
    assert one.transport.calls.count("connect") == 1


def test_a_fault_behind_an_attempt_leaves_nothing_in_flight(bench, monkeypatch):
    one = bench()
    one.put("a", wake=False)
    one.transport.on_upload = {"a": [AttemptFailed("no")]}
    give_back, failed = one.spool_thread.give_back, []

    def fails_once(*args, **more):
        if not failed:
            failed.append(args)
            raise RuntimeError("a fault of the program")
        return give_back(*args, **more)

    monkeypatch.setattr(one.spool_thread, "give_back", fails_once)
    one.start()
    wait_until(lambda: one.spool_thread.run(one.spool_thread.spool.queue_admin.counts).parked == 1, what="parked")
    assert failed


@pytest.mark.parametrize("live", [False, True])
def test_a_snapshot_that_is_useless_goes_with_its_version(bench, live):
    """The end alone of a file, for one, of which all has to be sent; never the data file itself."""
    one = bench()
    one.put("a", wake=False, live=live)
    one.transport.on_upload = {"a": [SourceChanged("of no use")]}
    one.start()
    wait_until(lambda: one.lost == ["/data/a"], what="asked for again")
    one.dispatcher.stop(0)
    assert one.dispatcher.join(10)
    one.spool_thread.close()
    assert os.path.exists(os.path.join(one.folder, "snapshot-1")) == live


def test_what_a_confirmation_raises_stops_the_publication(bench):
    one = bench()

    def moved(version):
        raise SourceChanged("it moved")

    one.confirm = moved
    one.start().put("a")
    wait_until(lambda: one.lost == ["/data/a"], what="asked for again")
    assert one.transport.files == {}


def test_a_fault_in_a_transport_costs_one_attempt(bench):
    one = bench()
    one.transport.on_upload = {"a": [ValueError("a bug")]}
    one.start().put("a")
    one.drained()
    assert one.transport.files["a"][0] == b"a 1"


@pytest.mark.slow
def test_a_loop_that_hangs_is_seen(bench):
    one = bench(StallSecs=1)
    one.transport.blocks = 3.0
    one.start()
    assert not one.dispatcher.is_stalled(time.monotonic())
    one.put("a")
    wait_until(lambda: one.transport.in_flight == 1, what="in flight")
    assert one.dispatcher.is_stalled(time.monotonic() + 40)


def test_newest_data_goes_first(bench):
    one = bench(Concurrency=1)
    one.put(*[f"old{n}" for n in range(6)], wake=False)
    one.put("new", wake=False)
    one.start()
    one.drained()
    assert one.transport.calls[1] == "upload new"


def test_temps_of_earlier_attempts_are_swept_at_the_next_connect(bench):
    one = bench()
    one.transport.on_upload = {"a": [TransportLost("cut")]}
    one.start().put("a")
    one.drained()
    assert one.transport.calls.index("remove") > one.transport.calls.index("upload a")


def test_a_temp_is_removed_twice_before_it_is_forgotten(bench):
    """A server that is still busy with an upload that was cut may write the file once more after its removal."""
    one = bench()
    temp = one.spool_thread.run(one.spool_thread.spool.temps.note, "a", time.time())
    one.transport.on_upload = {"a": [TransportLost("cut")]}
    one.start().put("a")
    one.drained()
    assert [temp in names for names in one.transport.removals] == [True, True]
    assert temp not in one.spool_thread.run(one.spool_thread.spool.temps.names)


def test_a_connection_found_dead_after_a_pause_is_not_a_failure(bench, monkeypatch):
    from pysubtask.subtask.delivery import connection

    monkeypatch.setattr(connection, "IDLE_SECS", 0.2)
    one = bench(RetryWaitSecs=30).start()
    one.put("a")
    one.drained()
    time.sleep(0.4)
    one.transport.on_upload = {"a": [TransportLost("the server hung up")]}
    one.put("a")
    one.drained(10)
    assert one.transport.files["a"][0] == b"a 2"


@pytest.mark.slow
def test_a_busy_server_is_left_alone_as_long_as_it_says(bench):
    one = bench()
    began = []
    one.transport.on_upload = {"a": [ServerBusy("too many requests", 0.6)]}
    upload = one.transport.upload

    async def timed(job, progress):
        began.append((job.name, time.monotonic()))
        return await upload(job, progress)

    one.transport.upload = timed
    one.start().put("a")
    wait_until(lambda: one.status_model.get("problem"), what="the pause")
    assert one.status_model.get("problem") == {"kind": "server_busy", "text": "too many requests"}
    wait_until(lambda: one.status_model.get("state") == "waiting", what="it waits")
    one.put("b", "c")
    one.drained()
    first = began[0][1]
    assert [name for name, _ in began].count("a") == 2
    assert all(at - first >= 0.6 for _, at in began[1:]), "nothing was asked in the meantime"
    assert one.transport.calls.count("connect") == 1, "the connection was good"
    assert "stat a" not in one.transport.calls, "it was not done, so there is nothing to look for"
    wait_until(lambda: one.status_model.get("problem") is None, what="the end of the pause")
    assert one.kinds().count("server_busy") == 1


def test_a_cut_attempt_leaves_what_the_next_one_goes_on_from(bench):
    one = bench()
    seen = []
    upload = one.transport.upload

    async def noting(job, progress):
        seen.append((job.name, job.resume, job.replaces))
        job.note(f"{len(seen)} of {job.name}")
        return await upload(job, progress)

    one.transport.upload = noting
    one.transport.on_upload = {"a": [TransportLost("cut"), TransportLost("cut again")]}
    one.start().put("a")
    one.drained()
    assert [resume for _, resume, _ in seen] == ["", "1 of a", "2 of a"]
    one.put("a", data=b"the next version")
    wait_until(lambda: len(seen) == 4, what="the next version")
    assert seen[3][1] == "", "other bytes begin anew"
    assert [replaces is None for _, _, replaces in seen] == [True, True, True, False]


def test_what_was_noted_outlives_a_restart(bench):
    one = bench()
    upload = one.transport.upload
    seen = []

    async def noting(job, progress):
        seen.append(job.resume)
        job.note("halfway")
        return await upload(job, progress)

    one.transport.upload = noting
    one.transport.open = False
    one.start().put("a")
    wait_until(lambda: seen, what="the first attempt")
    one.close()
    one.open()
    one.transport.open = True
    one.start()
    one.drained()
    assert seen == ["", "halfway"]


def test_what_is_not_as_we_left_it_is_sent_whole_at_once(bench):
    one = bench()
    one.transport.traits = one.transport.traits._replace(appends=True)
    plans = []
    upload = one.transport.upload

    async def refusing(job, progress):
        plans.append((job.append, job.replaces is not None))
        if job.append is not None:
            raise NotAsLeft("somebody touched it")
        return await upload(job, progress)

    one.transport.upload = refusing
    old, new = b"x" * 5000, b"x" * 5000 + b"more"
    one.start().put("a", data=old)
    one.drained()
    one.put("a", data=new, prefixes={5000: old.hex()})
    one.drained()
    assert plans == [(None, False), (Append(5000, 5000), True), (None, False)]
    assert one.transport.files["a"][0] == new
    assert one.transport.calls.count("connect") == 1
    wait_until(lambda: one.kinds().count("not_as_left") == 1, what="the event")
    assert [receipt.bytes_new for receipt in read_receipts(one.folder)] == [5000, 4]


def test_complete_versions_only_where_the_settings_say_so(bench):
    one = bench(AtomicAppend=True)
    one.transport.traits = one.transport.traits._replace(appends=True, copies=True)
    jobs = []
    upload = one.transport.upload

    async def seen(job, progress):
        jobs.append((job.append, job.copies))
        return await upload(job, progress)

    one.transport.upload = seen
    old = b"x" * 5000
    one.start().put("a", data=old)
    one.drained()
    one.put("a", data=old + b"more", prefixes={5000: old.hex()})
    one.drained()
    assert jobs == [(None, ()), (None, (Copy(0, 5000, 0),))]


@pytest.mark.slow
def test_a_small_file_does_not_wait_behind_a_backlog_of_big_ones(bench):
    one = bench()
    one.transport.open = False
    big = b"x" * (BIG_BYTES + 1)
    one.start().put(*[f"big{number}" for number in range(6)], data=big)
    wait_until(lambda: one.transport.in_flight == 3, what="three of four places are taken")
    time.sleep(0.1)
    assert one.transport.in_flight == 3
    one.put("small")
    wait_until(lambda: "upload small" in one.transport.calls, what="the small one is on its way")
    one.transport.open = True
    one.drained()
    assert len(one.transport.files) == 7


@pytest.mark.slow
def test_big_files_arrive_one_by_one_and_not_all_at_the_end(bench):
    one = bench(Concurrency=16)
    one.transport.traits = one.transport.traits._replace(concurrency=16)
    one.transport.open = False
    one.start().put(*[f"big{number}" for number in range(11)], data=b"x" * (BIG_BYTES + 1))
    wait_until(lambda: one.transport.in_flight == one.transport.big_at_once == 8, what="eight of sixteen places are taken")
    one.put("small")
    wait_until(lambda: "upload small" in one.transport.calls, what="the small one is on its way")
    assert one.transport.in_flight == 9
    one.transport.open = True
    one.drained()
    assert len(one.transport.files) == 12 and one.transport.most == 9


def test_one_place_alone_is_for_big_ones_too(bench):
    one = bench(Concurrency=1)
    one.start().put("big", data=b"x" * (BIG_BYTES + 1))
    one.put("small")
    one.drained()
    assert set(one.transport.files) == {"big", "small"}


BIG = random.Random(5).randbytes(1_000_000)


@pytest.mark.slow
def test_of_a_big_file_that_changed_only_the_change_is_sent(bench):
    one = bench()
    one.transport.traits = one.transport.traits._replace(copies=True)
    one.start()
    versions = [BIG, b"new" * 20_000 + BIG, b"new" * 20_000 + BIG[:500_000] + b"more" * 10_000 + BIG[500_000:], b"all new" * 90_000]
    for content in versions:
        one.put("a", data=content)
        one.drained()
        assert one.transport.files["a"][0] == content
    receipts = list(read_receipts(one.folder))
    assert receipts[0].bytes_sent == 1_000_000
    assert 60_000 <= receipts[1].bytes_sent < 110_000
    assert 40_000 <= receipts[2].bytes_sent < 120_000
    assert receipts[3].bytes_sent == len(versions[3])
    assert [receipt.bytes_new for receipt in receipts] == [receipt.bytes_sent for receipt in receipts]
    held = signature.unpack(one.spool_thread.run(one.spool_thread.spool.remote_files.signature, "a"))
    assert held is not None and held.size == len(versions[3]), "of the last one, for the next one"


@pytest.mark.slow
@pytest.mark.parametrize("why", ["setting", "server", "small", "live", "broken"])
def test_without_a_signature_it_is_sent_whole(bench, monkeypatch, why):
    one = bench(DeltaTransfer=why != "setting")
    one.transport.traits = one.transport.traits._replace(copies=why != "server")
    if why == "broken":
        monkeypatch.setattr(signature, "_signed", lambda *args: 1 / 0)
    one.start()
    data = BIG[:200_000] if why == "small" else BIG
    for content in (data, b"new" + data):
        one.put("a", data=content, live=why == "live")
        one.drained()
    assert [receipt.bytes_sent for receipt in read_receipts(one.folder)] == [len(data), len(data) + 3]
    assert one.spool_thread.run(one.spool_thread.spool.remote_files.signature, "a") == b""
    assert one.transport.calls.count("connect") == 1


@pytest.mark.slow
def test_a_signature_is_built_once_over_any_number_of_cuts(bench, monkeypatch):
    signed_paths = []

    def noted(path, *args, sign=signature.sign):
        found = sign(path, *args)
        signed_paths.append(path)
        return found

    monkeypatch.setattr(signature, "sign", noted)
    one = bench()
    one.transport.traits = one.transport.traits._replace(copies=True)
    one.transport.after_upload["a"] = [TransportLost("the answer was lost")]
    one.transport.on_upload["a"] = [TransportLost("cut")]
    upload = one.transport.upload

    async def slowly(job, progress):
        await asyncio.to_thread(wait_until, lambda: signed_paths, 30)
        await asyncio.sleep(0.05)  # until the loop has it from the thread
        return await upload(job, progress)

    one.transport.upload = slowly
    one.start().put("a", data=BIG)
    one.drained()
    assert "stat a" in one.transport.calls and len(list(read_receipts(one.folder))) == 1
    one.put("a", data=b"new" + BIG)
    one.drained()
    assert len(signed_paths) == 1, "and none beside the second version, which was read before"
    assert list(read_receipts(one.folder))[1].bytes_sent < 50_000


@pytest.mark.slow
def test_nobody_waits_long_for_a_signature(bench, monkeypatch):
    monkeypatch.setattr(signature_tasks, "WAIT_SECS", 0.1)
    halts = []

    def endless(path, size, halted):
        while not halted():
            time.sleep(0.01)
        halts.append(path)
        raise signature.Halted

    monkeypatch.setattr(signature, "sign", endless)
    one = bench()
    one.transport.traits = one.transport.traits._replace(copies=True)
    one.start().put("a", data=BIG)
    one.drained()
    wait_until(lambda: halts, what="the thread is told")
    assert one.spool_thread.run(one.spool_thread.spool.remote_files.signature, "a") == b""
    monkeypatch.setattr(signature_tasks, "WAIT_SECS", 60)
    one.put("b", data=BIG)
    wait_until(lambda: "b" in one.transport.files, what="b is there")
    one.stop(0)
    wait_until(lambda: len(halts) == 2, what="that thread is told, too")
    assert one.empty(), "it had arrived, and that is kept"
