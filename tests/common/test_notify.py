"""Names, stamps and touches of notify files."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common import notify
from pysubtask.common.notify import Stamp, Toucher, data_name, is_signal_file, make_notify, notify_name, read_stamp
from tests.support.helpers import calls_of, of_the_system


@pytest.mark.parametrize("data", ["out/notes.txt", "a.json", "./data/x.csv", "a.notify.csv", "of", "yyy.notif", "x y,'\"\n"])
def test_data_name_takes_off_the_ending_and_nothing_else(data: str):
    assert data_name(notify_name(data)) == data


@given(st.text(min_size=1))
def test_any_name_survives_the_round_trip(name: str):
    assert data_name(notify_name(name)) == name
    assert is_signal_file(notify_name(name))


def test_data_name_of_the_other_signals():
    assert data_name("a.csv.hold") == "a.csv"
    assert data_name("host.heartbeat") == "host"
    assert data_name("plain.csv") == "plain.csv"


@pytest.mark.parametrize("name", ["a.csv.notify", "a.hold", "/x/pi.heartbeat", ".pysubtask-00ff.part", "/x/.up-1.part"])
def test_signals_and_our_temporaries_are_no_data(name: str):
    assert is_signal_file(name)


@pytest.mark.parametrize("name", ["a.csv", "notify", "a.notify.csv", "film.part", ".bashrc", "/.x/film.part"])
def test_everything_else_is_data(name: str):
    assert not is_signal_file(name)


def test_read_stamp(tmp_path):
    path = str(tmp_path / "a")
    assert read_stamp(path) is None
    assert read_stamp(str(tmp_path / ("n" * 300))) is None
    (tmp_path / "a").write_bytes(b"abc")
    assert read_stamp(path + "/below") is None
    found = os.stat(path)
    assert read_stamp(path) == Stamp(found.st_mtime_ns, 3, found.st_ino)


def test_touch_makes_the_file_and_sets_rising_stamps(tmp_path, monkeypatch):
    path = str(tmp_path / "a.csv.notify")
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    toucher = Toucher()
    given_back, seen = [], []
    for _ in range(50):
        given_back.append(toucher.touch(path))
        stamp = read_stamp(path)
        assert stamp is not None
        seen.append(stamp.mtime_ns)
    assert given_back == seen == [1_700_000_000_000_000_000 + step for step in range(50)]
    assert os.path.getsize(path) == 0


def test_a_clock_that_is_set_back_does_not_hide_a_touch(tmp_path, monkeypatch):
    times = iter([2_000_000_000, 1_000_000_000, 2_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    toucher = Toucher()
    assert [toucher.touch(str(tmp_path / "n")) for _ in range(3)] == [2_000_000_000, 2_000_000_001, 2_000_000_002]


def test_touch_leaves_what_is_in_the_file_and_respects_the_umask(tmp_path):
    kept = tmp_path / "kept.notify"
    kept.write_text("somebody wrote here")
    old = os.umask(0o027)
    try:
        Toucher().touch(str(kept))
        Toucher().touch(str(tmp_path / "new.notify"))
    finally:
        os.umask(old)
    assert kept.read_text() == "somebody wrote here"
    assert os.stat(tmp_path / "new.notify").st_mode & 0o777 == 0o640


def test_touch_raises_where_it_cannot_be_done(tmp_path):
    with pytest.raises(FileNotFoundError):
        Toucher().touch(str(tmp_path / "missing" / "a.notify"))


def test_touch_never_waits_on_a_fifo_nor_follows_a_link(tmp_path):
    os.mkfifo(tmp_path / "fifo.notify")
    with pytest.raises(OSError):
        Toucher().touch(str(tmp_path / "fifo.notify"))
    (tmp_path / "link.notify").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        Toucher().touch(str(tmp_path / "link.notify"))
    assert not (tmp_path / "elsewhere").exists()


def test_touch_leaks_no_handle(tmp_path):
    toucher = Toucher()
    toucher.touch(str(tmp_path / "n"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        toucher.touch(str(tmp_path / "n"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_only_may_be_written_gets_the_systems_time(tmp_path, monkeypatch):
    path = str(tmp_path / "n")
    Toucher().touch(path)
    os.utime(path, ns=(5, 5))
    real = os.utime

    def of_another_user(target, times=None, *, ns=None, **more):
        if ns is not None:
            raise PermissionError(1, "Operation not permitted")
        return real(target, times, **more)

    monkeypatch.setattr(notify.os, "utime", of_another_user)
    Toucher().touch(path)
    stamp = read_stamp(path)
    assert stamp is not None and stamp.mtime_ns > 1_000_000_000


def test_make_notify_leaves_a_stamp_that_is_there(tmp_path):
    path = str(tmp_path / "n")
    assert make_notify(path)
    os.utime(path, ns=(7, 7))
    assert not make_notify(path)
    assert os.stat(path).st_mtime_ns == 7
    with pytest.raises(OSError):
        make_notify(str(tmp_path / "no" / "n"))


def test_a_touch_is_six_calls_into_the_system(tmp_path):
    path = str(tmp_path / "n")
    toucher = Toucher()
    toucher.touch(path)
    calls = calls_of(lambda: toucher.touch(path))
    # The folder and the file are opened and closed, the folder is looked at, the time is set.
    assert of_the_system(calls) <= 6, calls
    assert calls["python"] + calls["builtin"] <= 60, calls


def test_importing_it_loads_nothing_heavy():
    code = "import sys, pysubtask.common.notify; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=os.getcwd(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.split()
    assert "pysubtask.common.notify" in loaded
    assert not {"dataclasses", "shutil", "tempfile", "asyncio", "sqlite3", "inspect"} & set(loaded)
