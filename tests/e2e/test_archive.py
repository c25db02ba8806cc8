"""Restarts with real processes: old files are cleared away, nothing is sent twice, nothing unsent is archived."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysubtask.common.receipts import read_receipts
from tests.support.helpers import wait_until
from tests.support.station import Station, pause

DAY = 86400
FULL = bool(os.environ.get("PYSUBTASK_FULL_SIZE"))


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(**kwargs):
        stations.append(Station(tmp_path, **kwargs))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


def age(path, days):
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def archived(one):
    root = one.data / "archive"
    return {path.name: path for path in root.rglob("*") if path.is_file()}


def on_server(one):
    return {path.name for path in one.server.iterdir() if not path.name.startswith(".")}


def ready(one):
    page = one.page()
    return page.get("pid") == one.master.status().children[0].pid and page.get("state") not in (None, "starting", "stopped")


@pytest.mark.slow
@pytest.mark.parametrize(("kill", "count"), [(False, 1000 if FULL else 200), (True, 1000)], ids=["after a stop", "after a kill"])
def test_a_restart_after_1000_deliveries_is_quick_and_sends_none(station, kill, count):
    one = station()
    boxed = [f"box/f{n}" for n in range(count * 6 // 10)]
    beside = [f"old{n}.csv" for n in range(count - len(boxed) - 1)] + ["a.csv"]
    names, old = boxed + beside, boxed[: len(boxed) // 2] + beside[: len(beside) // 2]
    for name in names:
        one.write(name, name)
    for name in old:
        age(one.data / name, 4)
    one.master.start(precleanup_old_files=True)
    assert archived(one) == {}, "nothing is delivered yet"
    wait_until(lambda: len(on_server(one)) == count, 60, "all on the server")
    one.idle()
    assert len(one.sent()) == count
    if kill:
        one.kill()
        one.master.stop(forcekill=True)
    else:
        one.master.stop(forcekill=False)
    one.master = one.make()
    begun = time.monotonic()
    one.master.start(precleanup_old_files=True)
    called = time.monotonic() - begun
    wait_until(lambda: ready(one), what="ready")
    print(f"start() took {called:.2f} s, ready after {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < 10

    def all_moved():
        one.master.check_pending_notifications()
        return len(archived(one)) == len(old)

    wait_until(all_moved, what="the old half in the archive")
    pause(1)
    one.idle()
    assert len(one.sent()) == count, "0 of them again"
    assert sorted(archived(one)) == sorted(os.path.basename(name) for name in old)
    assert (one.data / "a.csv").exists()
    assert not [path for path in (one.data / "box").glob("*.notify") if not path.with_suffix("").exists()]


APP = """
import os, sys, time
from pysubtask import BaseMaster, Section
master = BaseMaster({entries!r}, Section('', **{base!r}), 'tests.support.folder_child', LogToConsole=False)
master.start(precleanup_old_files=True)
print('up', flush=True)
while True:
    time.sleep(0.1)
    master.check_pending_notifications()
"""


@pytest.mark.slow
def test_after_a_power_cut_old_files_arrive_before_any_archive(station, tmp_path):
    one = station()
    one.server.rename(tmp_path / "away")  # the server is not there
    names = [f"box/f{n}" for n in range(25)] + [f"old{n}.csv" for n in range(24)] + ["a.csv"]
    for name in names:
        one.write(name, name)
        age(one.data / name, 4)
    code = APP.format(entries=one.entries, base=one.base)
    app = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert app.stdout.readline() == "up\n"
        wait_until(lambda: one.kinds().count("queued") >= 20, what="some in the queue")
        child = one.pid()
    finally:
        app.kill()
        app.communicate()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{child}"), what="both gone")
    assert archived(one) == {}

    one.master = one.make()
    one.master.start(precleanup_old_files=True)
    wait_until(lambda: ready(one), what="ready")
    one.master.archive_expired_files()
    pause(0.5)
    assert archived(one) == {}
    (tmp_path / "away").rename(one.server)

    def proven_before_archived():
        one.master.archive_expired_files()
        gone = set(archived(one))
        receipts = {receipt.name for receipt in read_receipts(str(one.state))}
        assert gone <= receipts
        return len(gone) == 50

    deadline = time.monotonic() + 60
    while not proven_before_archived():
        assert time.monotonic() < deadline
        pause(0.02)
    assert on_server(one) == {os.path.basename(name) for name in names}
    assert sorted(one.sent()) == sorted(os.path.basename(name) for name in names), "each once"


@pytest.mark.slow
def test_what_was_archived_is_what_was_delivered(station):
    one = station()
    path = one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    age(path, 4)  # a receipt of another state
    one.master.archive_expired_files()
    assert archived(one) == {}
    one.notify("a.csv")
    one.wait_kind("unchanged")
    wait_until(lambda: one.master.archive_expired_files() == 1, what="archived")
    day = time.strftime("%Y%m/%d", time.localtime(time.time() - 4 * DAY))
    assert (one.data / "archive" / day / "a.csv").read_text() == "1\n"
    # The file begins anew, and so does its delivery.
    one.write("a.csv", "2\n")
    one.notify("a.csv")
    one.arrived("a.csv")


@pytest.mark.slow
def test_a_changed_destination_does_not_inherit_receipts(station, monkeypatch, tmp_path):
    one = station()
    path = one.write("a.csv", "1\n")
    age(path, 4)
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    one.master.stop(forcekill=True)
    one.base["ConnectTimeoutSecs"] = 19  # any other settings may mean another server
    one.master = one.make()
    assert one.master.archive_expired_files() == 0
    one.master.start(precleanup_old_files=True)
    wait_until(lambda: ready(one), what="ready")
    wait_until(lambda: one.master.archive_expired_files() == 1, what="it turns out to be the same")


@pytest.mark.slow
def test_residual_files_are_delivered_once_under_their_own_names(station):
    one = station()
    (one.data / "other.csv").symlink_to(one.write("target.txt", "no"))
    one.write("left.csv", "left over")
    one.write("box/left.csv.bin", "in the folder")
    one.write("no.txt", "another ending")
    one.master.start()
    one.arrived("box/left.csv.bin")
    pause(0.5)
    assert on_server(one) == {"left.csv.bin"}, "only where it is asked for"
    one.master.reset()
    one.master.copy_residual_files()
    one.arrived("left.csv")
    one.write("later.csv", "while it runs")
    assert one.master.copy_residual_files() == [str(one.data / name) for name in ("later.csv", "left.csv")]
    one.arrived("later.csv")
    one.idle()
    assert sorted(one.sent()) == ["later.csv", "left.csv", "left.csv.bin"]
    one.master.stop(forcekill=False)
    one.master = one.make()
    one.write("before.csv", "asked for before the start")
    assert len(one.master.copy_residual_files()) == 3
    one.master.start()
    one.arrived("before.csv")
    one.idle()
    assert sorted(one.sent()) == ["before.csv", "later.csv", "left.csv", "left.csv.bin"]


@pytest.mark.slow
def test_a_residual_file_does_not_take_a_watched_files_name(station):
    one = station()
    one.entries = [{"file": str(one.data / "a.csv"), "as": "b.csv"}]
    one.master = one.make()
    one.write("b.csv", "an old one")
    one.master.start(precleanup_old_files=True)
    one.wait_kind("clash")
    one.write("a.csv", "the real one")
    one.notify("a.csv")
    wait_until((one.server / "b.csv").exists, what="the real one")
    assert (one.server / "b.csv").read_text() == "the real one"


@pytest.mark.slow
@pytest.mark.parametrize("none", ["ArchiveToFolder", "BakToFolder"])
def test_none_means_none(station, none):
    one = station(**{none: None})
    one.write("old.csv", "1")
    one.write("notes.txt", "2")
    for name in ("old.csv", "notes.txt"):
        age(one.data / name, 4)
    one.master.start(precleanup_old_files=True)
    one.arrived("old.csv")
    one.idle()
    assert one.master.archive_expired_files() == (none == "BakToFolder")
    assert (one.data / "archive").exists() == (none == "BakToFolder")
    assert (one.data / "upload").exists() == (none == "ArchiveToFolder")
    assert (one.data / "old.csv").exists() == (none == "ArchiveToFolder")
    assert (one.data / "notes.txt").exists() == (none == "ArchiveToFolder")


def test_logs_beside_the_data_stay(station, tmp_path):
    data = tmp_path / "data"
    logs = {"Master_Log_FileName": str(data / "master.txt"), "Subtask_Log_FileName": str(data / "child.csv")}
    one = station(**logs)
    one.master.start()
    wait_until(lambda: ready(one), what="ready")
    for path in logs.values():
        age(path, 9)
    stale = one.write("stale.txt", "")
    age(stale, 9)
    assert one.master.archive_expired_files() == 1
    assert all(Path(path).exists() for path in logs.values())


@pytest.mark.slow
def test_a_long_run_archives_once_a_day_on_its_own_calls(station, monkeypatch):
    one = station()
    one.master.start(precleanup_old_files=True)
    stale = one.write("stale.txt", "")
    age(stale, 9)
    pause(0.3)
    one.master.check_pending_notifications()
    assert stale.exists(), "today's look is over"
    ages = one.master._supervisor.old_files._archive.ages
    monkeypatch.setattr(ages, "_wall", lambda: time.time() + DAY)

    def gone():
        one.master.check_pending_notifications()
        return not stale.exists()

    wait_until(gone, what="the next day's look")
