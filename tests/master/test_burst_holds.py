"""What bursts hold back, as the app sees it: calls, hold files, lines."""

import errno
import logging
import os
import threading
import time

import pytest

from pysubtask import ConfigError
from pysubtask.common.notify import HOLD, Toucher, read_stamp
from pysubtask.master import burst_holds as holds_module
from pysubtask.master.burst import Rule
from pysubtask.master.burst_holds import Holds
from pysubtask.master.notify_writer import Stamps

MS = 1_000_000
START = 1_000_000 * MS
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def log_of(app):
    return (app.folder / "logs/base_taskmaster.log.txt").read_text()


class Clock:
    """Nanoseconds, monotonic; the wall's are a day ahead of nothing in particular."""

    def __init__(self):
        self.now = START

    def at(self, secs):
        self.now = START + int(secs * 1000) * MS

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def burst(app, clock):
    """A master whose b.csv, and folder in, are in burst mode, on a made-up clock."""

    def make(entries=None, **values):
        entries = entries or [{"file": "a.csv"}, {"file": "b.csv", "burstmode": True}, {"dir": "in", "burstmode": True}]
        master = app.master(entries, {"burst_mode": values, "base": {}})
        master._notifier.holds._clock = clock
        master._notifier.holds._wall = lambda: clock.now + 10**18
        return master

    return make


def due_of(name):
    """When a hold file is due, in ms of the made-up clock, or None."""
    stamp = read_stamp(name + HOLD)
    return None if stamp is None else (stamp.mtime_ns - 10**18 - START) // MS


def test_the_timeline_through_the_master(app, burst, clock):
    master = burst()
    touched, seen, dues = [], None, {}
    for tenths in range(0, 58, 2):
        clock.at(tenths / 10)
        assert master.notify_file_by_index(1)
        stamp = read_stamp("b.csv.notify")
        if stamp != seen:
            touched.append(tenths / 10)
            seen = stamp
        dues[tenths / 10] = due_of("b.csv")
    assert touched == [0, 5.2]
    assert [dues[at] for at in (0, 0.2, 0.4, 5.0, 5.2, 5.4, 5.6)] == [None, 1000, 5200, 5200, None, 6200, 10400]
    assert master.status().held == 1
    for at in (6, 7, 10.399):
        clock.at(at)
        master.check_pending_notifications()
        assert read_stamp("b.csv.notify") == seen
    clock.at(10.4)
    master.check_pending_notifications()
    assert read_stamp("b.csv.notify") != seen
    assert due_of("b.csv") is None
    assert master.status().held == 0
    seen = read_stamp("b.csv.notify")
    clock.at(30)
    master.check_pending_notifications()
    assert read_stamp("b.csv.notify") == seen, "once"
    lines = [line.split("INFO: ")[1].split(" File [")[0] for line in log_of(app).splitlines() if " File [" in line]
    assert lines == [
        "Initial notify (Burst mode)",
        "Burst detected *BUT* waiting for [2] in a row.",
        "Burst detected. Starting Burst mode!",
        "Burst (previous) expired. Notifying! [5000]",
        "Burst detected *BUT* waiting for [2] in a row.",
        "Burst detected. Starting Burst mode!",
        "Pending data detected. *BUT*, has NOT expired yet. [4.400] secs to go.",
        "Pending AND expired data detected. Notifying!",
    ]
    assert f"File [{app.path('b.csv')}]" in log_of(app)


def test_files_without_burstmode_are_never_held(burst, clock):
    master = burst()
    seen = set()
    for _ in range(10):
        clock.at(0.01)
        assert master.notify_file_by_index(0)
        assert master.notify_file_by_index(1, ignore_burst_mode=True)
        assert master.notify_file("in/x", ignore_burst_mode=True)
        seen.update(read_stamp(name + ".notify") for name in ("a.csv", "b.csv", "in/x"))
    assert len(seen) == 30
    assert master.status().held == 0


def test_each_file_in_a_folder_has_its_own_bursts(burst, clock):
    master = burst()
    for at in (0, 0.2, 0.4):
        clock.at(at)
        assert master.notify_file("in/x")
    first = read_stamp("in/y.notify"), read_stamp("in/x.notify")
    assert master.notify_file("in/y")
    assert (due_of("in/x"), due_of("in/y")) == (5200, None)
    assert read_stamp("in/y.notify") != first[0]
    assert read_stamp("in/x.notify") == first[1]


def test_the_word_of_the_files_own_entry_counts(burst, clock):
    master = burst([{"file": "in/x"}, {"dir": "in", "burstmode": True}, {"file": "b.csv", "burstmode": True}, {"dir": "."}])
    for at in (0, 0.2):
        clock.at(at)
        for name in ("in/x", "in/y", "b.csv", "c"):
            assert master.notify_file(name)
    assert [due_of(name) for name in ("in/x", "in/y", "b.csv", "c")] == [None, 1000, 1000, None]


@pytest.mark.parametrize("how", ["all", "ignoring"])
def test_a_notify_that_ignores_bursts_clears_the_hold(burst, clock, how):
    master = burst()
    for at in (0, 0.2):
        clock.at(at)
        master.notify_file_by_index(1)
    assert due_of("b.csv") == 1000
    assert master.notify_all_files() if how == "all" else master.notify_file_by_index(1, ignore_burst_mode=True)
    assert due_of("b.csv") is None
    seen = read_stamp("b.csv.notify")
    clock.at(100)
    master.check_pending_notifications()
    assert read_stamp("b.csv.notify") == seen


@pytest.mark.parametrize("how", ["kill", "gracefully", "reset"])
def test_stop_and_reset_notify_what_is_held(app, burst, clock, how):
    master = burst()
    master.start()
    app.page(master)
    for at in (0, 0.2, 0.4):
        clock.at(at)
        master.notify_file_by_index(1)
        master.notify_file("in/x")
    before = read_stamp("b.csv.notify"), read_stamp("in/x.notify")
    if how == "reset":
        master.reset()
    else:
        master.stop(forcekill=how == "kill")
    assert (due_of("b.csv"), due_of("in/x")) == (None, None)
    assert read_stamp("b.csv.notify") != before[0]
    assert read_stamp("in/x.notify") != before[1]
    assert master.status().held == 0
    clock.at(0.6)
    master.notify_file_by_index(1)
    assert log_of(app).count("Initial notify") == 3, "bursts begin anew"


def test_the_users_section_is_honoured(burst, clock):
    master = burst(start_trigger_milli=100, start_trigger_count=3, expire_milli=700)
    dues = []
    for tenths in range(5):
        clock.at(tenths / 20)
        master.notify_file_by_index(1)
        dues.append(due_of("b.csv"))
    assert dues == [None, 100, 150, 800, 800]


def test_by_bytes_through_the_master(burst, clock, app):
    master = burst(start_trigger_bytes=1000, start_trigger_mode="bytes")
    dues = []
    for at, grow in ((0, 10), (0.1, 10), (0.2, 10), (60, 1000), (60.1, 1), (120, 1), (180, -2000), (240, 3000)):
        clock.at(at)
        size = os.path.getsize("b.csv") if os.path.exists("b.csv") else 0
        with open("b.csv", "ab") as file:
            file.truncate(max(0, size + grow))
        assert master.notify_file_by_index(1)
        dues.append(due_of("b.csv"))
    assert dues == [None, None, None, 65_000, 65_000, None, None, 245_000]


def test_bytes_without_a_number_are_refused(app):
    with pytest.raises(ConfigError, match="start_trigger_mode"):
        app.master(config={"burst_mode": {"start_trigger_mode": "bytes"}})


def test_what_cannot_be_held_on_disk_is_notified(burst, clock, monkeypatch):
    master = burst()
    master.notify_file_by_index(1)
    before = read_stamp("b.csv.notify")

    def full(path, due):
        raise NO_SPACE

    monkeypatch.setattr(holds_module, "write_hold", full)
    clock.at(0.2)
    assert master.notify_file_by_index(1)
    assert read_stamp("b.csv.notify") != before
    assert master.status().held == 0


def test_while_the_stamp_cannot_be_written_the_hold_file_stays(burst, clock, monkeypatch):
    master = burst()
    for at in (0, 0.2):
        clock.at(at)
        master.notify_file_by_index(1)
    touch = Toucher.touch
    fails = [True]

    def full(self, path):
        if fails:
            raise NO_SPACE
        return touch(self, path)

    monkeypatch.setattr(Toucher, "touch", full)
    clock.at(1)
    master.check_pending_notifications()
    assert due_of("b.csv") == 1000
    assert master.status().unstamped == 1
    fails.clear()
    before = read_stamp("b.csv.notify")
    master.check_pending_notifications()
    assert read_stamp("b.csv.notify") != before
    clock.at(60)
    assert master.notify_file_by_index(1)
    assert due_of("b.csv") is None


def test_a_hold_file_of_an_earlier_run_goes_at_the_first_notify(burst):
    with open("b.csv.hold", "w"):
        pass
    assert burst().notify_file_by_index(1)
    assert not os.path.exists("b.csv.hold")


def test_graceful_stop_removes_handled_hold_files(app, burst):
    for name in ("a.csv.hold", "in/x.hold", "in/y.hold", "other.hold"):
        (app.folder / name).write_text("")
    app.order(handle=[app.path(name) for name in ("a.csv.hold", "in/x.hold", "other.hold")])
    master = burst()
    master.start()
    app.page(master)
    master.stop(forcekill=False)
    assert [name for name in ("a.csv.hold", "in/x.hold", "in/y.hold", "other.hold") if os.path.exists(name)] == [
        "in/y.hold",
        "other.hold",
    ]


def test_quiet_files_are_forgotten_and_held_ones_never(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(holds_module, "_REMEMBERED", 10)
    logger = logging.Logger("quiet")
    some = Holds(Rule(1000 * MS, 2, 5000 * MS), Stamps(logger), logger, clock, lambda: clock.now)
    held = str(tmp_path / "held.notify")
    some.call(held)
    clock.at(0.1)
    some.call(held)
    for n in range(200):
        clock.at(10 + n)
        some.call(str(tmp_path / f"{n}.notify"))
    assert len(some._bursts) < 60
    assert len(some) == 1
    some.check_due()
    assert len(some) == 0
    assert not os.path.exists(tmp_path / "held.hold")


@pytest.mark.slow
def test_calls_from_many_threads_leave_no_hold_file_unminded(app):
    master = app.master([{"file": "b.csv", "burstmode": True}], {"burst_mode": {"expire_milli": 3, "start_trigger_milli": 2}})
    until = time.monotonic() + 1.5
    problems = []

    def work():
        try:
            while time.monotonic() < until:
                assert master.notify_file_by_index(0)
                master.check_pending_notifications()
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert os.path.exists("b.csv.hold") == (master.status().held == 1)


def test_a_forked_copy_may_notify_though_a_thread_was_in_a_burst(app):
    master = app.master([{"file": "b.csv", "burstmode": True}])
    master.notify_file_by_index(0)
    entered, leave = threading.Event(), threading.Event()

    def work():
        with master._notifier.holds._alone():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(60)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if master.notify_file_by_index(0) else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_held_calls_are_cheap(app):
    """In the middle of a burst nothing is written at all."""
    master = app.master([{"file": "b.csv", "burstmode": True}])
    for _ in range(3):
        master.notify_file_by_index(0)
    hold, notify = read_stamp("b.csv.hold"), read_stamp("b.csv.notify")
    size = len(log_of(app))
    for _ in range(1000):
        assert master.notify_file_by_index(0)
    assert (read_stamp("b.csv.hold"), read_stamp("b.csv.notify"), len(log_of(app))) == (hold, notify, size)
