"""The guard of a child, with real processes and kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysubtask.common import guard_record, guarded_restart, restarts
from pysubtask.common.guard_record import GuardRecord, parse
from pysubtask.common.process import is_alive, process_start
from pysubtask.common.restarts import Restarts
from pysubtask.master.guard import Guard, Master
from tests.support.helpers import wait_until

MOST_PSS_KB = 3 * 1024


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(restarts, "FIRST_WAIT_SECS", 0.1)
    monkeypatch.setattr(restarts, "LONGEST_WAIT_SECS", 0.2)


def guard_of(master):
    return master._supervisor.children[0].child._pid


def written(app):
    """The page of the child, without a call of the master's."""
    path = Path(app.path(".pysubtask/main/tiny_child/status.json"))
    return json.loads(path.read_text()) if path.exists() else {}


def dead(pid):
    return not is_alive(pid, "")


def begun(app, **more):
    master = app.master(**more)
    master.start()
    return master, app.page(master).pid


def another(app, pid):
    return wait_until(lambda: (found := written(app).get("pid")) and found != pid and found, 60)


@pytest.mark.slow
def test_a_dead_child_comes_back_while_the_app_sleeps(app):
    master, first = begun(app)
    guard = guard_of(master)
    assert guard != first
    os.kill(first, signal.SIGKILL)
    second = another(app, first)
    os.kill(second, signal.SIGSEGV)
    third = another(app, second)
    status = app.page(master)
    assert (status.pid, status.restarts, status.last_exit, status.next_restart_in) == (third, 2, "signal SIGSEGV", None)
    assert guard_of(master) == guard
    master._supervisor.next_check = 0
    master.check_pending_notifications()
    log = Path("logs/base_taskmaster.log.txt").read_text()
    assert "ended by itself (signal SIGSEGV): its guard starts it again" in log
    assert written(app)["pid"] == third, "no second child"


@pytest.mark.parametrize("status", [0, 2, 3, 4])
def test_an_exit_that_is_meant_ends_the_guard(app, status):
    app.order(die=status)
    master = app.master()
    master.start()
    guard = guard_of(master)
    wait_until(lambda: dead(guard), 60)
    first = written(app)["pid"]
    assert master._supervisor.children[0].child.poll() == f"exit status {status}"
    assert written(app)["pid"] == first


def test_an_exit_as_failed_does_not_end_the_guard(app):
    app.order(die=1)
    master = app.master()
    master.start()
    first = wait_until(lambda: written(app).get("pid"), 60)
    another(app, first)
    assert master.status().children[0].last_exit == "exit status 1"


@pytest.mark.parametrize("forcekill", [True, False])
def test_a_stop_ends_both(app, forcekill):
    master, child = begun(app)
    guard = guard_of(master)
    master.stop(forcekill=forcekill)
    assert dead(guard) and dead(child)
    assert master.status().children[0].last_exit == ("signal SIGKILL" if forcekill else "exit status 0")
    assert os.path.exists(app.path(".pysubtask/main/tiny_child/handled.json")) is not forcekill


def test_sigterm_to_the_guard_is_the_childs(app):
    master, child = begun(app)
    os.kill(guard_of(master), signal.SIGTERM)
    wait_until(lambda: dead(child) and dead(guard_of(master)), 60)
    assert master._supervisor.children[0].child.poll() == "exit status 0"
    assert os.path.exists(app.path(".pysubtask/main/tiny_child/handled.json"))


def test_a_frozen_guard_is_ended_too(app):
    master, child = begun(app)
    guard = guard_of(master)
    os.kill(guard, signal.SIGSTOP)
    master.stop()
    assert dead(guard) and dead(child)


def test_a_stop_ends_the_wait_before_a_restart(app, monkeypatch):
    monkeypatch.setattr(restarts, "FIRST_WAIT_SECS", 60.0)
    monkeypatch.setattr(restarts, "LONGEST_WAIT_SECS", 60.0)
    app.order(die=1)
    master = app.master()
    master.start()
    due = wait_until(lambda: master.status().children[0].next_restart_in, 60)
    status = master.status().children[0]
    assert 30 < due <= 60 and not status.alive and status.restarts == 1
    begin = time.monotonic()
    master.stop(forcekill=False)
    assert time.monotonic() - begin < 20


@pytest.mark.slow
def test_both_killed_the_next_call_starts_the_child_again(app):
    master, child = begun(app)
    os.kill(guard_of(master), signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: master.check_pending_notifications() or master.status().children[0].restarts, 60)
    assert app.page(master, other_than=child).pid != child


def test_signals_that_the_app_ignores_or_blocks(app):
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    try:
        master, first = begun(app)
        os.kill(first, signal.SIGKILL)
        second = another(app, first)
        guard = guard_of(master)
        master.stop(forcekill=False)
        assert dead(second) and dead(guard)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_its_own_memory(app):
    master, _ = begun(app)
    rows = Path(f"/proc/{guard_of(master)}/smaps_rollup").read_text().splitlines()
    [pss] = [int(row.split()[1]) for row in rows if row.startswith("Pss:")]
    assert 0 < pss <= MOST_PSS_KB


def test_without_the_setting_there_is_none(app):
    master, child = begun(app, config={"Guard": False})
    assert guard_of(master) == child


def test_a_record_is_read_line_by_line():
    text = "started 100.5\npid 7\nended 137 2 4 120.0\npid 8\nstop\npid 9"
    assert parse("started 100.5\n") == GuardRecord(None, Restarts(started=100.5))
    assert parse("started 100.5\npid 7\n").pid == 7
    assert parse("ended 137 2 4 120.0\n") == GuardRecord(None, Restarts(4.0, 2, 0.0, 120.0), 137)
    assert parse(text) == GuardRecord(8, Restarts(4.0, 2, 120.0, None), 137, True)
    assert parse("pid\nsome thing\n") == GuardRecord()


def test_the_wait_is_the_masters_rule(monkeypatch, capsys):
    monkeypatch.setattr(restarts, "FIRST_WAIT_SECS", 1.0)
    me = (str(os.getpid()), process_start(os.getpid()) or "")
    guard = Guard(Master(int(me[0]), me[1]))
    waits = []
    for _ in range(7):
        assert guarded_restart.main(["--handoff", str(guard.fd), "1", "1", "60", *me]) == 0
        waits.append(float(capsys.readouterr().out))
        os.write(guard.fd, b"pid 7\n")
    assert waits == [1, 2, 4, 8, 16, 32, 60]
    assert guard.record().restarts.times == 7
    size = os.fstat(guard.fd).st_size
    guarded_restart.main(["--handoff", str(guard.fd), "1", "1", "60", *me])
    os.write(guard.fd, b"pid 7\n")
    assert abs(os.fstat(guard.fd).st_size - size) < 10, "it does not grow"
    guard.close()


def test_no_child_is_started_where_its_folder_is_another(tmp_path, capsys):
    me = (str(os.getpid()), process_start(os.getpid()) or "")
    place = tmp_path / "a disk\n"
    place.mkdir()
    guard = Guard(Master(int(me[0]), me[1], (str(place), str(tmp_path))))
    words = ["--handoff", str(guard.fd), "1", "1", "60", *me]
    for _ in range(2):
        assert guarded_restart.main(words) == 0
    place.rename(tmp_path / "drawn out")
    assert guarded_restart.main(words) == 1
    place.mkdir()
    assert guarded_restart.main(words) == 1, "the folder that the disk was mounted on"
    place.rmdir()
    (tmp_path / "drawn out").rename(place)
    assert guarded_restart.main(words) == 0
    assert capsys.readouterr().out.split() == ["1", "1", "1"]
    guard.close()


def test_no_child_is_started_again_for_a_dead_master(capsys):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    guard = Guard(Master(1, ""))
    assert guarded_restart.main(["--handoff", str(guard.fd), "1", "1", "60", gone.stdout.strip(), "x"]) == 1
    assert capsys.readouterr().out == "" and guard_record.read(guard.fd).status is None
    guard.close()


def test_no_child_is_started_again_with_settings_of_before(capsys):
    me = (str(os.getpid()), process_start(os.getpid()) or "")
    guard = Guard(Master(int(me[0]), me[1]))
    words = ["--handoff", str(guard.fd), "1", "1", "60", *me]
    assert guarded_restart.main(words) == 0
    guard.plan_changed()
    assert guarded_restart.main(words) == 1
    assert capsys.readouterr().out.split() == ["1"]
    guard.close()
