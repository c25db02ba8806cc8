"""A real master and a real child over a folder: what an app, a touch, a kill or a bad disk does to them."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from pysubtask.common.heartbeat import is_past_due
from pysubtask.common.receipts import read_receipts
from tests.support.helpers import wait_until
from tests.support.station import Station, pause


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(*args, **kwargs):
        stations.append(Station(tmp_path, *args, **kwargs))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


@pytest.mark.slow
def test_notified_files_arrive_and_a_stop_leaves_nothing(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.master.notify_all_files()
    one.write("box/picture", os.urandom(200_000))
    one.arrived("a.csv", "box/picture")
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    one.arrived("a.csv")
    one.master.stop(forcekill=False)
    assert one.leftovers() == []
    assert not list(one.data.rglob("*.notify"))
    assert one.page()["state"] == "stopped"
    assert threading.active_count() == 1


@pytest.mark.slow
def test_a_touch_by_any_program_is_a_notify(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.write("a.csv", "2\n", "a")
    subprocess.run(["touch", str(one.data / "a.csv.notify")], check=True)
    one.arrived("a.csv")
    assert not (one.data / "box" / "x.notify").exists()
    one.write("box/x", "1")
    one.arrived("box/x")
    assert (one.data / "box" / "x.notify").exists(), "auto-made"
    one.write("box/x", "22")
    os.utime(one.data / "box" / "x.notify")
    one.arrived("box/x")


@pytest.mark.slow
def test_a_restart_sends_only_what_changed_meanwhile(station):
    one = station()
    one.write("a.csv", "1\n")
    for n in range(50):
        one.write(f"box/f{n}", f"{n}")
    one.master.start()
    one.arrived("a.csv", *[f"box/f{n}" for n in range(50)])
    one.idle()
    before = len(one.sent())
    one.master.stop(forcekill=True)
    one.write("box/f7", "changed and never notified")
    one.master.start()
    one.arrived("box/f7")
    one.idle()
    assert one.sent()[before:] == ["f7"]


@pytest.mark.slow
def test_an_unchanged_notified_file_is_not_sent(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    one.notify("a.csv")
    one.wait_kind("unchanged")
    assert one.sent() == ["a.csv"]
    wait_until(lambda: "[a.csv] unchanged, already on server" in one.log(), what="a line of the log")
    (one.server / "a.csv").unlink()
    pause(0.1)  # two touches at one moment are one
    one.notify("a.csv")
    one.arrived("a.csv")


@pytest.mark.slow
def test_what_was_notified_survives_kills_of_child_and_app(station, tmp_path):
    one = station()
    one.write("a.csv", "1\n")
    one.server.rename(tmp_path / "away")
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("queued")
    one.kill()
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    one.master.stop(forcekill=True)
    (tmp_path / "away").rename(one.server)
    one.master.start()
    one.arrived("a.csv")


@pytest.mark.slow
def test_a_killed_child_is_started_again_by_the_next_calls(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    first = one.pid()
    one.kill()
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    one.arrived("a.csv")
    assert one.pid() != first


@pytest.mark.slow
def test_a_missing_file_keeps_its_notify_until_it_exists(station):
    one = station()
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("source_missing")
    pause(0.5)
    assert one.kinds().count("source_missing") == 1, "said once"
    one.write("a.csv", "late\n")
    one.arrived("a.csv")
    assert "notified but does not exist!" in one.log()


def test_a_new_notify_waits_for_no_earlier_one_that_came_in_vain(station, monkeypatch):
    monkeypatch.setenv("TEST_FIRST_WAIT", "60")
    one = station()
    one.master.start()
    for _ in range(3):
        one.notify("a.csv")
        pause(0.1)
    one.wait_kind("source_missing")
    one.write("a.csv", "there at last\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    assert one.kinds().count("source_missing") == 1, "said once"


@pytest.mark.slow
def test_a_graceful_stop_queues_what_is_due_and_keeps_the_rest(station):
    one = station([{"file": "a"}, {"file": "b"}], TimerIntervalSecs=60)
    one.entries = [{"file": str(one.data / "a")}, {"file": str(one.data / "b")}]
    one.master = one.make()
    one.master.start()
    one.pid()
    one.write("a", "1")
    one.notify("a")
    one.notify("b")
    one.master.stop(forcekill=False)
    assert (one.server / "a").read_text() == "1"
    assert not (one.data / "a.notify").exists()
    assert (one.data / "b.notify").exists(), "there is no b yet: its notify is still due"


@pytest.mark.slow
def test_forced_stop_keeps_notifies_for_the_next_start(station):
    one = station(TimerIntervalSecs=60)
    one.master.start()
    one.pid()
    one.master.stop(forcekill=True)
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    assert (one.data / "a.csv.notify").exists()
    one.master.start()
    one.arrived("a.csv")


@pytest.mark.slow
def test_two_files_with_one_remote_name_do_not_take_turns(station):
    one = station()
    (one.data / "other").mkdir()
    one.entries = [{"dir": str(one.data / "box"), "settle_secs": 0}, {"dir": str(one.data / "other"), "settle_secs": 0}]
    one.master = one.make()
    one.write("box/same", "first")
    one.master.start()
    state = one.data / "box" / ".pysubtask" / "main" / one.extension
    type(one).state, kept = property(lambda self: state), type(one).state
    try:
        one.arrived("box/same")
        one.write("other/same", "second")
        one.wait_kind("clash")
        assert (one.server / "same").read_text() == "first"
        assert "give one of the two entries an 'as'" in one.log()
        (one.data / "box" / "same").unlink()
        one.arrived("other/same")
    finally:
        type(one).state = kept


@pytest.mark.slow
def test_a_destroyed_queue_is_put_aside_and_all_is_offered_again(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    one.master.stop(forcekill=True)
    (one.state / "spool.db").write_bytes(os.urandom(8192))
    for name in ("spool.db-wal", "spool.db-shm"):
        (one.state / name).unlink(missing_ok=True)
    one.write("a.csv", "2\n", "a")
    one.master.start()
    one.arrived("a.csv")
    assert [name for name in os.listdir(one.state) if name.startswith("spool.db.damaged-")]
    assert "spool_damaged" in one.kinds()


@pytest.mark.slow
def test_the_bak_folder_removed_while_running_costs_nothing(station, tmp_path):
    one = station()
    one.server.rename(tmp_path / "away")
    one.write("a.csv", "1\n")
    one.master.start()
    one.wait_kind("queued")
    subprocess.run(["rm", "-rf", str(one.data / "upload")], check=True)
    (tmp_path / "away").rename(one.server)
    one.arrived("a.csv")


@pytest.mark.slow
def test_below_min_free_bytes_nothing_is_copied_and_nothing_lost(station):
    one = station(MinFreeBytes=1 << 60)
    one.write("a.csv", "1\n")
    one.master.start()
    one.notify("a.csv")
    wait_until(lambda: one.page().get("disk_low") is True, what="status says disk_low")
    pause(0.7)
    assert one.kinds().count("disk_low") == 1
    assert not (one.server / "a.csv").exists()
    one.master.stop(forcekill=True)
    one.base["MinFreeBytes"] = 0
    one.master = one.make()
    one.master.start()
    one.arrived("a.csv")


@pytest.mark.slow
def test_without_a_bak_folder_the_live_file_is_sent_and_kept(station):
    one = station(BakToFolder=None)
    one.write("a.csv", "1\n")
    one.write("box/x", "live")
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv", "box/x")
    for n in range(20):
        one.write("a.csv", f"{n}\n", "a")
        one.notify("a.csv")
    one.arrived("a.csv")
    assert (one.data / "a.csv").exists()
    assert not (one.data / "upload").exists()


@pytest.mark.slow
def test_the_child_of_a_dead_app_queues_delivers_and_ends(station, tmp_path):
    one = station(TimerIntervalSecs=0.3)
    one.write("a.csv", "1\n")
    code = f"""
import os, signal, sys
from pysubtask import BaseMaster, Section
master = BaseMaster({one.entries!r}, Section('', **{one.base!r}), 'tests.support.folder_child', LogToConsole=False)
master.start()
print('up', flush=True)
sys.stdin.readline()
with open({str(one.data / "a.csv")!r}, 'a') as file:
    file.write('last words\\n')
master.notify_all_files()
os.kill(os.getpid(), signal.SIGKILL)
"""
    app = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert app.stdout.readline() == "up\n"
    pid = one.pid()
    wait_until(lambda: (one.server / "a.csv").exists(), what="the first line")
    app.communicate("go\n")
    wait_until(lambda: (one.server / "a.csv").read_text() == "1\nlast words\n", what="the last words")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the child's end")
    assert "orphaned" in one.kinds()


@pytest.mark.slow
def test_an_unseen_second_master_is_refused_and_named(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    second = one.make()
    second.start()
    try:
        wait_until(lambda: second.check_pending_notifications() or f"locked by the child {one.pid()}" in one.log(), what="refusal")
        one.write("a.csv", "2\n", "a")
        one.notify("a.csv")
        one.arrived("a.csv")
    finally:
        second.stop(forcekill=True)


@pytest.mark.slow
def test_a_new_master_takes_over_from_the_child_of_a_dead_one(station):
    one = station(OrphanLingerSecs=60)
    one.write("a.csv", "1\n")
    code = f"""
import os, signal, time
from pysubtask import BaseMaster, Section
master = BaseMaster({one.entries!r}, Section('', **{one.base!r}), 'tests.support.folder_child', LogToConsole=False)
master.start()
while not os.path.exists({str(one.server / "a.csv")!r}):
    time.sleep(0.05)
os.rename({str(one.server)!r}, {str(one.server) + "-away"!r})
with open({str(one.data / "a.csv")!r}, 'a') as file:
    file.write('undeliverable for now\\n')
master.notify_all_files()
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    lingering = one.pid()
    one.master.start()
    wait_until(lambda: one.master.check_pending_notifications() or one.pid() != lingering, what="the new child")
    os.rename(str(one.server) + "-away", one.server)
    one.arrived("a.csv")


@pytest.mark.slow
def test_an_idle_child_writes_nothing(station):
    one = station(TimerIntervalSecs=0.05)
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    pause(2.6)  # the second check of a young file is over

    def states():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in one.data.rglob("*") if path.is_file()}

    before, written = states(), _written(one.pid())
    pause(1.5)
    assert states() == before
    assert _written(one.pid()) == written


def _written(pid):
    with open(f"/proc/{pid}/io") as file:
        fields = dict(line.split(": ") for line in file.read().splitlines())
    return int(fields["write_bytes"])


@pytest.mark.slow
def test_a_courier_that_hangs_is_replaced_with_its_process(station, monkeypatch, tmp_path):
    """A transport that blocks the loop for ever: the child begins anew under the same pid."""
    marker = tmp_path / "hang once"
    marker.write_text("")
    monkeypatch.setenv("TEST_HANG_MARKER", str(marker))
    one = station(StallSecs=1, TimerIntervalSecs=0.2)
    one.write("a.csv", "1\n")
    one.master.start()
    pid = one.pid()
    one.arrived("a.csv", secs=60)
    assert one.pid() == pid
    assert "courier_hangs" in one.kinds()
    assert not marker.exists()


@pytest.mark.slow
def test_stop_while_everything_is_slow_ends_in_time(station):
    one = station(StopWaitSecs=1)
    one.write("a.csv", "1\n")
    one.master.start()
    pid = one.pid()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    one.master.stop(forcekill=False)
    assert time.monotonic() - began < 15
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
def test_receipts_say_what_was_delivered(station):
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    wait_until(lambda: list(read_receipts(str(one.state))), what="a receipt")
    (receipt,) = read_receipts(str(one.state))
    local = (one.data / "a.csv").stat()
    assert (receipt.path, receipt.name, receipt.size, receipt.mtime_ns) == (str(one.data / "a.csv"), "a.csv", 2, local.st_mtime_ns)
    assert (receipt.destination, receipt.bytes_sent, receipt.verified) == (f"file://{one.server}", 2, "size")


@pytest.mark.slow
def test_a_stop_right_after_the_start_still_delivers(station):
    one = station()
    for n in range(3):
        one.write("a.csv", f"{n}\n", "a")
        one.master.start()
        one.notify("a.csv")
        one.master.stop(forcekill=False)
        assert (one.server / "a.csv").read_bytes() == (one.data / "a.csv").read_bytes()


@pytest.mark.slow
def test_heartbeats_arrive_at_once_and_with_the_servers_time(station):
    one = station([{"file": "a.csv"}], HeartbeatIntervalSecs=1, HeartbeatName="roof", HeartbeatStatus=True)
    one.entries = [{"file": str(one.data / "a.csv")}]
    one.master = one.make()
    one.master.start()
    beat = one.server / "roof.heartbeat"
    wait_until(beat.exists, what="the first beat")
    assert int(beat.read_text()) == 11
    first = beat.stat().st_mtime_ns
    assert abs(time.time() - beat.stat().st_mtime) < 30
    wait_until(lambda: beat.stat().st_mtime_ns > first, what="the next beat")
    details = json.loads((one.server / "roof.heartbeat.json").read_text())
    assert details["queued"] == 0 and details["free_disk_bytes"] > 0 and details["version"]
    assert (one.data / "roof.heartbeat").exists()
    one.master.stop(forcekill=False)
    assert not (one.data / "roof.heartbeat").exists()
    assert "Heartbeat: File [" in one.log()


@pytest.mark.slow
def test_a_late_beat_is_one_beat_and_never_stale(station, tmp_path):
    one = station(HeartbeatIntervalSecs=0.3, HeartbeatName="roof")
    one.server.rename(tmp_path / "away")
    one.master.start()
    one.wait_kind("connect_failed")
    pause(1.5)
    came_back = time.time()
    (tmp_path / "away").rename(one.server)
    beat = one.server / "roof.heartbeat"
    wait_until(beat.exists, what="the beat")
    assert beat.stat().st_mtime > came_back - 1
    assert is_past_due(str(beat)) is False
    assert is_past_due(str(beat), time.time() + 3600) is True
    one.master.stop(forcekill=True)


@pytest.mark.slow
def test_a_disk_that_takes_no_more_costs_time_and_nothing_else(station):
    """No file of the child may grow beyond what its queue has now: its commits and snapshots fail, then succeed."""
    one = station()
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    pid = one.pid()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    for n in range(30):
        one.write(f"box/f{n}", os.urandom(20_000))
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    pause(1.5)
    assert not (one.server / "f0").exists()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    one.arrived("a.csv", *[f"box/f{n}" for n in range(30)], secs=60)
    assert one.pid() == pid, "the child lived through it"


@pytest.mark.slow
def test_a_small_file_does_not_wait_for_the_copy_of_a_big_one(station, monkeypatch):
    """The disk reads the big one at 20 MB/s."""
    monkeypatch.setenv("TEST_SLOW_READS", "20000000")
    one = station(BakToFolder="upload")
    big = one.data / "box" / "video.bin"
    one.write(".video", os.urandom(60_000_000))
    one.write("a.csv", "0\n")
    one.master.start()
    one.pid()
    os.replace(one.data / ".video", big)
    wait_until(lambda: list((one.data / "upload").glob(".*video*")), what="the copy of the big one begins")
    begun = time.monotonic()
    for number in range(3):
        one.write("a.csv", f"{number}\n", "a")
        one.notify("a.csv")
        one.arrived("a.csv")
    assert not (one.server / "video.bin").exists(), "it was overtaken"
    assert time.monotonic() - begun < 3
    one.arrived("box/video.bin", secs=30)
    one.idle()
    assert one.sent().count("video.bin") == 1
