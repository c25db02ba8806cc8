"""The guard, of children that upload: kills of child, guard and both, and the end of the app."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from proofs.guard.run import parent_of, run
from pysubtask.common import restarts
from pysubtask.common.process import is_alive
from tests.support.helpers import wait_until
from tests.support.station import Station


@pytest.fixture
def station(tmp_path, monkeypatch):
    monkeypatch.setattr(restarts, "FIRST_WAIT_SECS", 0.2)
    station = Station(tmp_path, TimerIntervalSecs=5)  # so that what wakes a child is seen apart from its ticks
    yield station
    station.close()


def gone(pid):
    return not is_alive(pid, "")


def begun(station):
    station.write("a.csv", "1\n")
    station.master.start()
    station.notify("a.csv")
    station.arrived("a.csv")
    child = station.pid()
    guard = parent_of(child)
    assert guard != os.getpid() and station.master.status().children[0].pid == child
    return child, guard


def arrives_again(station):
    station.write("a.csv", "more\n", "a")
    station.notify("a.csv")
    station.arrived("a.csv")


@pytest.mark.slow
def test_a_killed_child_delivers_while_the_app_sleeps(tmp_path):
    """The short form of 'python -m proofs.guard'."""
    done = run(tmp_path, 1, print)
    assert [one.problem for one in done] == [""]
    assert all(0 < one.pss <= 3 * 1024 for one in done), done


@pytest.mark.slow
def test_a_killed_guard_takes_its_child_along(station):
    child, guard = begun(station)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: gone(child), 60, what="the end of the child")
    assert "orphaned" not in station.kinds(), "the master lives"
    arrives_again(station)
    assert parent_of(station.pid()) != guard and station.pid() != child


@pytest.mark.slow
def test_both_killed_they_come_back_with_the_next_call(station):
    child, guard = begun(station)
    os.kill(guard, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    arrives_again(station)
    assert station.pid() != child


@pytest.mark.slow
def test_a_kill_of_the_child_alone_keeps_the_guard(station):
    child, guard = begun(station)
    for _ in range(2):
        os.kill(child, signal.SIGKILL)
        wait_until(lambda before=child: gone(before), 60)
        arrives_again(station)
        assert station.pid() != child and parent_of(station.pid()) == guard
        child = station.pid()


def test_an_order_to_stop_ends_the_guard(station):
    child, guard = begun(station)
    os.kill(child, signal.SIGTERM)
    wait_until(lambda: gone(child) and gone(guard), 60, what="the end of both")


APP = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from tests.support.station import Station
    station = Station(Path(sys.argv[1]), OrphanLingerSecs=5)
    station.write("a.csv", "1\\n")
    station.master.start()
    station.notify("a.csv")
    station.arrived("a.csv")
    print(station.pid(), flush=True)
    time.sleep(600)
    """
)


@pytest.mark.slow
@pytest.mark.parametrize("also", ["", "guard"])
def test_the_end_of_the_app_is_the_end_of_both(also, tmp_path):
    with subprocess.Popen([sys.executable, "-c", APP, str(tmp_path)], stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        child = int(app.stdout.readline())
        guard = parent_of(child)
        app.kill()
        app.wait()  # a guard that is gone before the app is a guard that is gone alone
        if also:
            os.kill(guard, signal.SIGKILL)
    wait_until(lambda: gone(child) and gone(guard), 90, what="the end of both")
    events = (tmp_path / "data/.pysubtask/main/folder_child/events.jsonl").read_text()
    assert '"orphaned"' in events, "it ends by the rule of an orphan"
