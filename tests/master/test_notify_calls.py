"""What the app calls while it works: it costs next to nothing and never hurts."""

import errno
import os

import pytest

from pysubtask.common.notify import Toucher, read_stamp
from tests.support.helpers import calls_of, of_the_system

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def log_of(app):
    return (app.folder / "logs/base_taskmaster.log.txt").read_text()


def stamps(*paths):
    return [read_stamp(path) for path in paths]


def test_index_counts_static_files_only(app):
    master = app.master([{"dir": "in"}, {"file": "a.csv"}, {"file": "b.csv"}])
    assert master.notify_file_by_index(1)
    assert stamps("a.csv.notify", "b.csv.notify")[0] is None
    assert master.notify_file_by_index(0, ignore_burst_mode=True)
    assert None not in stamps("a.csv.notify", "b.csv.notify")
    assert os.listdir("in") == []


@pytest.mark.parametrize("index", [2, -1, 10**30, "0", None, 1.0])
def test_index_out_of_range(app, index):
    master = app.master([{"file": "a.csv"}, {"file": "b.csv"}])
    assert master.notify_file_by_index(index) is False
    assert log_of(app).endswith(f"ERROR: Notify file index [{index}] out of range!\n")


def test_every_notify_is_a_new_stamp(app):
    master = app.master()
    seen = set()
    for _ in range(50):
        assert master.notify_all_files()
        seen.update(stamps("a.csv.notify", "b.csv.notify"))
    assert len(seen) == 100


def test_by_path(app, tmp_path):
    master = app.master()
    os.symlink(app.path("in"), app.path("link"))
    accepted = {
        "a.csv": "a.csv",
        "./in/../b.csv": "b.csv",
        app.path("a.csv"): "a.csv",
        os.fsencode(app.path("b.csv")): "b.csv",
        'in/new, "file" é.csv': 'in/new, "file" é.csv',
        "link/other": "in/other",
        tmp_path / "in" / "-dash": "in/-dash",
        b"in/\xff.csv": "in/\udcff.csv",
    }
    for given, notified in accepted.items():
        before = read_stamp(notified + ".notify")
        assert master.notify_file(given), given
        assert read_stamp(notified + ".notify") != before, given


@pytest.mark.parametrize("path", ["c.csv", "in", "in/sub/x", "../a.csv", "in/x.notify", "", None, 3, "a\0b", "in/a\0b"])
def test_path_that_is_not_watched(app, path):
    master = app.master()
    before = sorted(os.listdir())
    assert master.notify_file(path) is False
    assert "ERROR: Notify file" in log_of(app)
    assert sorted(os.listdir()) == before
    assert os.listdir("in") == []


def test_failing_touch_is_logged_once_kept_and_repeated(app, monkeypatch):
    master = app.master()
    fails = []
    touch = Toucher.touch

    def full(self, path):
        if fails:
            raise NO_SPACE
        return touch(self, path)

    monkeypatch.setattr(Toucher, "touch", full)
    fails.append(True)
    for _ in range(5):
        assert master.notify_all_files() is False
        assert master.notify_file_by_index(0) is False
    assert master.status().unstamped == 2
    assert log_of(app).count("ERROR") == 1
    assert stamps("a.csv.notify", "b.csv.notify") == [None, None]
    fails.clear()
    master.check_pending_notifications()
    assert None not in stamps("a.csv.notify", "b.csv.notify")
    assert master.status().unstamped == 0
    assert log_of(app).count("written again") == 1
    fails.append(True)
    master.notify_file_by_index(1)
    assert log_of(app).count("ERROR") == 2


def test_folder_that_is_gone_comes_back(app):
    os.mkdir("data")
    master = app.master([{"file": "data/a.csv"}, {"file": "b.csv"}])
    os.rmdir("data")
    assert master.notify_all_files() is False
    assert read_stamp("b.csv.notify")
    assert master.notify_file_by_index(1), "another folder does not suffer"
    os.mkdir("data")
    assert master.notify_file("nothing.csv") is False
    assert read_stamp("data/a.csv.notify"), "any call makes it good"


def test_one_file_that_cannot_be_written_delays_no_others(app, monkeypatch):
    os.mkdir("data")
    master = app.master([{"file": "gone/a.csv"}, {"file": "data/b.csv"}])
    os.rmdir("data")
    assert master.notify_all_files() is False
    os.mkdir("data")
    for _ in range(2):
        master.check_pending_notifications()
    assert read_stamp("data/b.csv.notify")
    assert master.status().unstamped == 1


def test_stop_writes_what_could_not_be_written(app):
    os.mkdir("data")
    master = app.master([{"file": "data/a.csv"}])
    master.start()
    os.rename("data", "away")
    assert master.notify_file_by_index(0) is False
    os.rename("away", "data")
    master.stop()
    assert read_stamp("data/a.csv.notify")


def test_no_line_for_an_ordinary_notify(app):
    master = app.master()
    master.start()
    before = log_of(app)
    for _ in range(10):
        master.notify_all_files()
    assert log_of(app) == before


def test_a_notify_is_a_touch_and_little_more(app):
    master = app.master()
    master.start()
    app.page(master)
    master.notify_file_by_index(0)
    calls = calls_of(lambda: master.notify_file_by_index(0))
    print(calls)
    assert of_the_system(calls) <= 6, calls
    assert calls["python"] + calls["builtin"] <= 100, calls
