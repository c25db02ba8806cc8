"""Bursts with real processes: what is held arrives by its due time, whatever becomes of the app."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.helpers import wait_until
from tests.support.station import Station, pause

EXPIRE = 2.0


class BurstStation(Station):
    """a.csv and the files of box are in burst mode; ``burst`` is the section."""

    def __init__(self, root, burst=None, **base):
        self.burst = {"start_trigger_milli": 1000, "expire_milli": EXPIRE * 1000, **(burst or {})}
        data = root / "data"
        entries = [
            {"file": str(data / "a.csv"), "burstmode": True},
            {"dir": str(data / "box"), "burstmode": True, "settle_secs": 0},
        ]
        super().__init__(root, entries, **base)

    def config(self):
        return {"base": self.base, "burst_mode": self.burst}

    def make(self):
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        from pysubtask import BaseMaster

        return BaseMaster(self.entries, self.config(), "tests.support.folder_child", LogToConsole=False)


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(**kwargs):
        stations.append(BurstStation(tmp_path, **kwargs))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


def settle(one, *names):
    """The first version of each file is on the server, and nothing is going on."""
    for name in names:
        one.write(name, "0\n")
    one.master.start()
    one.arrived(*names)
    one.idle()
    pause(0.1)  # the child may just be making the notify file of a new file: a touch at once is one with that
    for name in names:
        one.notify(name)
    one.wait_kind("unchanged", len(names))
    one.idle()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "box/x"])
def test_the_app_never_calls_again_and_its_held_data_arrives(station, name):
    one = station()
    settle(one, name)
    before = len(one.sent())
    for n in range(1, 5):
        one.write(name, f"{n}\n", "a")
        one.notify(name)
    held = time.monotonic()
    assert one.master.status().held == 1
    assert (one.data / f"{name}.hold").exists()

    def same():
        return (one.server / os.path.basename(name)).read_bytes() == (one.data / name).read_bytes()

    wait_until(same, what="the held data")  # nobody calls the master meanwhile
    took = time.monotonic() - held
    print(f"{took:.2f} s after the last call, {EXPIRE} s being the longest")
    assert EXPIRE / 2 < took < EXPIRE + 2
    one.idle()
    assert one.sent()[before:] == [os.path.basename(name)], "one delivery for the whole burst"
    one.master.check_pending_notifications()
    assert not (one.data / f"{name}.hold").exists()


APP = """
import os, signal, sys, time
from pysubtask import BaseMaster
master = BaseMaster({entries!r}, {config!r}, 'tests.support.folder_child', LogToConsole=False)
master.start()
print('up', flush=True)
sys.stdin.readline()
for n in range(1, 8):
    with open({data!r}, 'a') as file:
        file.write(f'line {{n}}\\n')
    assert master.notify_file_by_index(0)
    time.sleep(0.05)
print(master.status().held, flush=True)
if {stop!r}:
    os.kill(os.getpid(), signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [False, True], ids=["killed", "frozen"])
def test_the_last_line_of_an_app_killed_amid_a_burst_arrives(station, stop):
    # A slow timer: it is not the timer that sees the hold file in time.
    one = station(TimerIntervalSecs=1.5)
    one.write("a.csv", "0\n")
    code = APP.format(entries=one.entries, config=one.config(), data=str(one.data / "a.csv"), stop=stop)
    app = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert app.stdout.readline() == "up\n"
        wait_until(lambda: (one.server / "a.csv").exists(), what="the first line")
        app.stdin.write("go\n")
        app.stdin.flush()
        assert app.stdout.readline() == "1\n", "the last line is held"
        dead = time.monotonic()
        wait_until(lambda: (one.server / "a.csv").read_text().endswith("line 7\n"), what="the last line")
        took = time.monotonic() - dead
        print(f"{took:.2f} s")
        assert took < EXPIRE + 2
        assert (one.server / "a.csv").read_bytes() == (one.data / "a.csv").read_bytes()
    finally:
        app.send_signal(signal.SIGCONT)
        app.kill()
        app.communicate()


@pytest.mark.slow
def test_a_child_killed_in_the_middle_of_a_burst_too(station):
    one = station()
    settle(one, "a.csv")
    one.kill()
    for n in range(1, 5):
        one.write("a.csv", f"{n}\n", "a")
        one.notify("a.csv")
    assert one.master.status().held == 1
    one.arrived("a.csv")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "reset"])
def test_stop_and_reset_deliver_what_is_held(station, how):
    one = station(burst={"expire_milli": 60_000, "start_trigger_milli": 60_000})
    settle(one, "a.csv", "box/x")
    for name in ("a.csv", "box/x"):
        one.write(name, "held\n", "a")
        one.notify(name)
    assert one.master.status().held == 2
    pause(0.5)
    assert (one.server / "a.csv").read_text() == (one.server / "x").read_text() == "0\n"
    if how == "stop":
        one.master.stop(forcekill=False)
        assert (one.server / "a.csv").read_text() == (one.server / "x").read_text() == "0\nheld\n"
        assert not [*one.data.rglob("*.notify"), *one.data.rglob("*.hold")]
    else:
        one.master.reset()
        one.arrived("a.csv", "box/x")


@pytest.mark.slow
def test_a_steady_stream_is_delivered_once_in_a_while(station):
    one = station()
    settle(one, "a.csv")
    before, end = len(one.sent()), time.monotonic() + 3 * EXPIRE
    calls = 0
    while time.monotonic() < end:
        one.write("a.csv", f"{calls}\n", "a")
        one.notify("a.csv")
        calls += 1
        pause(0.1)
    one.arrived("a.csv")
    one.idle()
    sent = len(one.sent()) - before
    print(f"{calls} calls, {sent} deliveries")
    assert calls >= 20
    assert 2 <= sent <= 6
