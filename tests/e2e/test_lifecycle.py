"""Starting, stopping, starving, stopping the clock: real processes throughout."""

import glob
import os
import signal
import time

import pytest

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation, Station, pause

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


@pytest.fixture
def station(tmp_path):
    one = Station(tmp_path)
    yield one
    one.close()


@pytest.fixture
def link(tmp_path):
    """A station behind a relay to a real sshd."""
    if missing():
        pytest.skip(missing())
    with openssh_server(tmp_path / "sshd") as server, Relay("127.0.0.1", server.port) as relay:
        ftp = {**server.settings(), "HostPort": relay.port, "HostKey": server.host_key, "KnownHostsFile": None, "StallSecs": 5}
        one = SFTPStation(tmp_path, server.files, ftp, StopWaitSecs=1)
        yield one, relay
        relay.heal()
        one.close()


def ended(pid):
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
def test_reset_begins_anew_and_loses_nothing(station):
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")
    first = station.pid()
    station.write("a.csv", "2\n", "a")
    station.notify("a.csv")
    station.master.reset()
    station.arrived("a.csv")
    assert ended(first)
    assert station.pid() != first
    log = (station.root / "logs" / "master.txt").read_text()
    assert "RESET: BaseTaskMaster and BaseSubtask (Timer)!" in log


@pytest.mark.slow
def test_a_second_start_starts_nothing(station):
    station.master.start()
    first = station.pid()
    station.master.start()
    pause(0.5)
    assert station.pid() == first
    assert len([child for child in station.master.status().children if child.alive]) == 1


@pytest.mark.slow
def test_stop_while_connecting(link):
    one, relay = link
    relay.stall()
    one.write("a.csv", "1\n")
    one.master.start()
    one.notify("a.csv")
    wait_until(lambda: one.page().get("state") == "connecting", what="connecting")
    pid, began = one.pid(), time.monotonic()
    one.master.stop(forcekill=False)
    assert time.monotonic() - began < 15
    assert ended(pid)
    relay.heal()
    one.master.start()
    one.arrived("a.csv")


@pytest.mark.slow
def test_stop_with_a_server_that_answers_no_more(link):
    one, relay = link
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    relay.stall()
    one.write("a.csv", os.urandom(100_000))
    one.notify("a.csv")
    wait_until(lambda: one.page().get("moving"), what="the upload hangs")
    pid, began = one.pid(), time.monotonic()
    one.master.stop(forcekill=False)
    assert time.monotonic() - began < 15
    assert ended(pid)
    assert not list(one.data.glob("*.notify")), "it is in the queue"
    relay.heal()
    one.master.start()
    one.arrived("a.csv")


@pytest.mark.slow
def test_a_stalled_link_is_left_and_tried_again(link):
    one, relay = link
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    relay.stall()
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    one.wait_kind("connection_lost")
    relay.heal()
    relay.cut_all()
    one.arrived("a.csv")


@pytest.mark.slow
def test_a_child_that_was_stopped_and_goes_on(station):
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")
    pid = station.pid()
    os.kill(pid, signal.SIGSTOP)
    station.write("a.csv", "2\n", "a")
    began = time.perf_counter()
    station.notify("a.csv")
    assert time.perf_counter() - began < 1, "the app does not notice"
    pause(1)
    os.kill(pid, signal.SIGCONT)
    station.arrived("a.csv")
    assert station.pid() == pid


@pytest.mark.slow
@pytest.mark.parametrize("jump", ["-1d", "+1d"])
def test_a_clock_set_by_a_day_delays_nothing(station, monkeypatch, tmp_path, jump):
    """The child's wall clock jumps while it runs; the clock that counts is the monotonic one."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed (apt-get install faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", FAKETIME)
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
    station.write("a.csv", "1\n")
    station.master.start()
    station.arrived("a.csv")
    before = station.page()["at"]
    clock.write_text(jump + "\n")
    for n in range(3):
        station.write("a.csv", f"{n}\n", "a")
        station.notify("a.csv")
        station.arrived("a.csv", secs=15)
    station.write("box/x", "new file in a folder")
    station.arrived("box/x", secs=15)
    wait_until(lambda: station.page()["at"][:10] != before[:10], what="the child lives in another day")
