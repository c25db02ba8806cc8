"""Named files of which any change counts: however they are written, with file events and without, and at what cost."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.notify import Stamp, write_hold
from pysubtask.subtask.watch.changing_files import FEW, ROUND_SECS, ChangingFiles
from pysubtask.subtask.watch.settle_queue import longest_wait
from pysubtask.subtask.watch.watcher import Due, Watcher
from tests.support.helpers import wait_until
from tests.support.watched_world import Memory, World

CHANGED = [("a.csv", "change")]


def world(folder: Path, **more: object) -> World:
    return World(str(folder), [{"file": "a.csv", "on_change": True, **more}])


def rewrite(one: World, data: bytes) -> None:
    one.write("a.csv", data)


def save_by_rename(one: World, data: bytes) -> None:
    one.write("a.csv~new", data)
    os.replace(one.path("a.csv~new"), one.path("a.csv"))


def delete_and_recreate(one: World, data: bytes) -> None:
    os.unlink(one.path("a.csv"))
    one.round()
    one.write("a.csv", data)


def append(one: World, data: bytes) -> None:
    one.write("a.csv", data, "ab")


def folder_created_again(one: World, data: bytes) -> None:
    shutil.rmtree(one.folder)
    one.round()
    os.mkdir(one.folder)
    one.write("a.csv", data)


METHODS = [rewrite, save_by_rename, delete_and_recreate, append, folder_created_again]


@pytest.mark.parametrize("method", METHODS)
def test_each_kind_of_write_is_a_change_once_the_file_is_quiet(tmp_path: Path, method):
    (tmp_path / "in").mkdir()
    one = world(tmp_path / "in")
    one.write("a.csv", b"1\n")
    assert one.quiet() == [("a.csv", "start")]
    one.wait(5)
    method(one, b"1\n2\n")
    assert one.round() == []
    one.wait(0.5)
    assert one.round() == []
    one.wait(0.51)
    assert one.round() == CHANGED
    one.wait(5)
    assert one.quiet() == []
    assert one.sent[one.path("a.csv")][-1].endswith(b"2\n")


def test_without_it_a_change_alone_is_nothing(tmp_path: Path):
    one = World(str(tmp_path), [{"file": "a.csv"}])
    one.write("a.csv", b"1\n")
    one.quiet()
    one.wait(5)
    one.write("a.csv", b"2\n")
    one.wait(5)
    assert one.quiet() == []


def test_a_file_that_comes_later_and_goes_is_no_error(tmp_path: Path):
    one = world(tmp_path)
    assert one.quiet() == []
    one.write("a.csv", b"1\n")
    assert one.quiet() == CHANGED
    os.unlink(one.path("a.csv"))
    one.wait(5)
    assert one.quiet() == []
    one.write("a.csv", b"1\n")
    one.round()
    os.unlink(one.path("a.csv"))
    assert one.quiet() == []


@pytest.mark.parametrize("entry", [{"file": "a.csv", "on_change": True}, {"dir": ".", "on_change": True, "notify_files": False}])
def test_a_file_that_grows_without_a_pause_is_sent_now_and_then(tmp_path: Path, entry):
    one = World(str(tmp_path), [entry])
    one.write("a.csv", b"0\n")
    one.quiet()
    found = []
    for number in range(1, 121):
        one.wait(0.5)
        one.write("a.csv", f"{number}\n".encode(), "ab")
        found += one.round()
    # A minute of it: about each ten seconds, though it was never quiet for one.
    assert 4 <= found.count(("a.csv", "change")) <= 6
    assert one.sent[one.path("a.csv")][-1].startswith(b"0\n1\n")


def test_a_new_file_in_a_folder_waits_until_whole_however_long(tmp_path: Path):
    one = World(str(tmp_path), [{"dir": ".", "on_change": True, "notify_files": False}])
    one.quiet()
    for _ in range(60):
        one.write("big.jpg", b"x" * 10, "ab")
        assert one.round() == []
        one.wait(0.5)


def picture(one: World, pieces: int = 5) -> list[tuple[str, str]]:
    """Write big.jpg in place within 0.4 s, then be quiet for 0.3 s; what was due meanwhile."""
    found, known = [], len(one.sent.get(one.path("big.jpg"), []))
    for piece in range(pieces):
        one.write("big.jpg", b"piece %d " % piece, "wb" if piece == 0 else "ab")
        found += one.round()
        one.wait(0.1)
    for _ in range(3):
        one.wait(0.1)
        found += one.round()
    assert len(one.sent.get(one.path("big.jpg"), [])) >= known
    return found


def test_a_picture_rewritten_always_is_taken_between_two_writes(tmp_path: Path):
    one = World(str(tmp_path), [{"dir": ".", "on_change": True, "notify_files": False}])
    one.quiet()
    found = [due for _ in range(400) for due in picture(one)]
    sent = one.sent[one.path("big.jpg")]
    # First after a minute at the latest, then each ten seconds: 280 s in all.
    assert 20 <= len(found) == len(sent) <= 40
    assert set(sent) == {b"".join(b"piece %d " % piece for piece in range(5))}


def test_a_new_file_without_counted_changes_is_never_taken_half(tmp_path: Path):
    one = World(str(tmp_path), [{"dir": ".", "notify_files": False, "settle_secs": 2}])
    one.quiet()
    for _ in range(600):
        one.write("film.mp4", b"x" * 10, "ab")
        assert one.round() == []
        one.wait(0.5)
    (row,) = one.watch.report.never_quiet(one.ns / 1e9)
    assert row == {"path": one.path("film.mp4"), "for_secs": 300, "settle_secs": 2.0, "goes": False}
    assert [name for name, _ in one.quiet()] == ["film.mp4"]
    assert one.watch.report.never_quiet(one.ns / 1e9) == []


def test_the_longest_wait_follows_from_what_is_asked_for():
    assert [longest_wait(secs) for secs in (0, 0.1, 1, 60)] == [0.0, 10.0, 10.0, 600.0]


def test_no_quiet_is_asked_for(tmp_path: Path):
    one = world(tmp_path, settle_secs=0)
    one.quiet()
    one.write("a.csv", b"1\n")
    assert one.round() == CHANGED


def test_what_a_stop_finds_is_not_kept_waiting(tmp_path: Path):
    one = world(tmp_path, settle_secs=60)
    one.quiet()
    one.write("a.csv", b"1\n")
    assert one.round() == []
    one.wait(1)
    assert one.round(everything=True) == CHANGED


def test_a_touch_takes_the_change_along(tmp_path: Path):
    one = world(tmp_path)
    one.write("a.csv", b"1\n")
    one.quiet()
    one.wait(5)
    one.write("a.csv", b"2\n")
    one.round()
    one.touch("a.csv")
    assert one.round() == [("a.csv", "notify")]
    one.wait(5)
    assert one.quiet() == []


def test_a_change_between_snapshot_and_commit_is_not_missed(tmp_path: Path):
    one = world(tmp_path)
    one.write("a.csv", b"1\n")
    one.wait(2)
    (due,) = one.scan()
    copied = one.copy(due)
    one.wait(1)
    one.write("a.csv", b"2\n")
    one.commit(copied)
    assert one.quiet() == CHANGED
    assert one.sent[due.path] == [b"1\n", b"2\n"]


def test_a_rewrite_of_the_same_size_within_a_tick_of_the_clock(tmp_path: Path):
    one = World(str(tmp_path), [{"file": "a.csv", "on_change": True, "settle_secs": 0}], tick=2 * 10**9)
    one.quiet()
    one.write("a.csv", b"1")
    assert one.round() == CHANGED
    one.write("a.csv", b"2")
    one.quiet(rechecks=True)
    assert one.sent[one.path("a.csv")][-1] == b"2"


def test_a_burst_keeps_its_changes_until_it_is_over(tmp_path: Path):
    one = world(tmp_path, burstmode=True)
    one.write("a.csv", b"1\n")
    one.quiet()
    one.wait(5)
    write_hold(one.path("a.csv.hold"), one.ns + 3 * 10**9)
    one.write("a.csv", b"1\n2\n")
    for _ in range(5):
        one.wait(0.5)
        assert one.round() == []
    one.wait(2)
    assert one.round() == [("a.csv", "hold")]
    one.wait(5)
    assert one.quiet() == []


def test_a_named_file_inside_a_folder_keeps_its_own_rule(tmp_path: Path):
    one = World(str(tmp_path), [{"file": "a.csv", "on_change": True}, {"dir": ".", "notify_files": False}])
    one.write("a.csv", b"1\n")
    one.write("b.csv", b"1\n")
    one.wait(5)
    assert sorted(one.quiet()) == [("a.csv", "start"), ("b.csv", "start")]
    one.wait(5)
    for name in ("a.csv", "b.csv"):
        one.write(name, b"2\n", "ab")
    assert one.quiet() == CHANGED
    save_by_rename(one, b"3\n")
    assert one.quiet() == CHANGED


def test_a_named_file_excluded_by_its_folder_is_not_gone(tmp_path: Path):
    """Else what is known of it is forgotten at each scan of the folder: it is sent again and again, and never appended to."""
    folder = {"dir": ".", "notify_files": False, "on_change": True, "exclude": ["a.csv"]}
    one = World(str(tmp_path), [{"file": "a.csv", "on_change": True}, folder])
    one.write("a.csv", b"1\n")
    one.write("b.csv", b"1\n")
    one.wait(5)
    assert sorted(one.quiet()) == [("a.csv", "start"), ("b.csv", "start")]
    for number in range(3):
        one.wait(5)
        one.write("a.csv", b"2\n", "ab")
        assert one.quiet() == CHANGED
        one.write(f"c{number}.csv", b"1\n")
        one.wait(5)
        assert "a.csv" not in [name for name, _ in one.quiet()]
        assert one.watch.gone() == []


def test_our_own_log_is_sent_when_notified_and_not_for_ever(tmp_path: Path):
    one = World(str(tmp_path), [{"file": "a.csv", "on_change": True}], skip=(str(tmp_path / "a.csv"),))
    one.write("a.csv", b"1\n")
    assert one.quiet() == [("a.csv", "start")]
    one.wait(5)
    one.write("a.csv", b"2\n", "ab")
    assert one.quiet() == []
    one.touch("a.csv")
    assert one.quiet() == [("a.csv", "notify")]


def test_a_new_notify_file_sends_a_file_of_a_folder_again(tmp_path: Path):
    one = World(str(tmp_path), [{"dir": ".", "notify_files": False}])
    one.write("a.jpg", b"1\n")
    one.wait(5)
    assert one.quiet() == [("a.jpg", "start")]
    assert os.listdir(tmp_path) == ["a.jpg"]
    one.wait(5)
    one.touch("a.jpg")
    assert one.round() == [("a.jpg", "notify")]
    one.wait(5)
    assert one.quiet() == []
    one.touch("a.jpg")
    assert one.round() == [("a.jpg", "notify")]


# -- with the real events of the system ------------------------------------------------------------------------------


class Live:
    """A watch of ``a.csv`` with file events; ``wakes`` counts how often they would have woken the child."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("a.csv",), **more: object) -> None:
        self.memory, self.wakes, self.woken = Memory(), 0, threading.Event()
        named = [{"file": name, "on_change": True, "settle_secs": 0.2, **more} for name in names]
        self.entries = read_entries(named, cwd=str(folder))
        self.watch = Watcher(self.entries, self.memory, (), self.wake)
        self.watch.start()
        assert self.watch.mode == "events"

    def wake(self) -> None:
        self.wakes += 1
        self.woken.set()

    def taken(self) -> list[Due]:
        found = self.watch.scan(time.monotonic())
        for due in found:
            seen = os.stat(due.path)
            self.memory.sources[due.path] = Stamp(seen.st_mtime_ns, seen.st_size, seen.st_ino)
            self.watch.done(due)
        return found

    def wait(self, cause: str = "change") -> None:
        wait_until(lambda: any(due.cause == cause for due in self.taken()), what=cause)


@pytest.fixture
def no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events alone have to tell."""
    monkeypatch.setattr(ChangingFiles, "turn", lambda self, now, everything: iter(()))


@pytest.mark.slow
def test_each_kind_of_write_gives_an_event(tmp_path: Path, no_turns):
    (tmp_path / "a.csv").write_text("1\n")
    live = Live(tmp_path)
    try:
        live.wait("start")
        live.taken()
        for number, how in enumerate(("append", "rename", "recreate", "utime")):
            live.woken.clear()
            if how == "append":
                with open(tmp_path / "a.csv", "a") as file:
                    file.write("2\n")
            elif how == "rename":
                (tmp_path / "new").write_text(f"{number}\n")
                os.replace(tmp_path / "new", tmp_path / "a.csv")
            elif how == "recreate":
                os.unlink(tmp_path / "a.csv")
                (tmp_path / "a.csv").write_text("3\n4\n")
            else:
                os.utime(tmp_path / "a.csv", (1, 1))
            assert live.woken.wait(10), how
            live.wait()
    finally:
        live.watch.stop()


def test_a_program_that_keeps_the_file_open_is_found_by_the_scan(tmp_path: Path):
    with open(tmp_path / "a.csv", "w") as file:
        live = Live(tmp_path)
        try:
            live.wait("start")
            live.taken()
            file.write("1\n")
            file.flush()
            live.wait()
        finally:
            live.watch.stop()


@pytest.mark.slow
def test_a_folder_that_is_removed_and_recreated(tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("1\n")
    live = Live(folder)
    try:
        live.wait("start")
        for text in ("2\n", "3\n"):
            shutil.rmtree(folder)
            live.taken()
            folder.mkdir()
            (folder / "a.csv").write_text(text)
            live.wait()
    finally:
        live.watch.stop()


@pytest.mark.slow
def test_a_writer_that_closes_rapidly_wakes_nobody_meanwhile(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("1\n")
    os.utime(path, (time.time() - 3600,) * 2)  # what is quiet for long is taken at the start at once
    live = Live(tmp_path, settle_secs=30)
    try:
        live.wait("start")
        live.taken()
        with open(path, "a") as file:
            file.write("2\n")
        assert live.woken.wait(10)
        live.taken()
        before = live.wakes
        for _ in range(2000):
            with open(path, "a") as file:
                file.write("2\n")
        # What is read of a burst is read within a quarter of a second.
        time.sleep(0.5)
        assert live.wakes == before
    finally:
        live.watch.stop()


# -- which are looked at, and when -----------------------------------------------------------------------------------


def test_few_files_are_scanned_in_each_tick_and_many_in_a_round():
    few = ChangingFiles([f"/x/{number}" for number in range(FEW)], lambda: 0.0)
    assert len(list(few.turn(0.0, False))) == len(list(few.turn(0.1, False))) == FEW
    many = ChangingFiles([f"/x/{number}" for number in range(10_000)], lambda: 0.0)
    assert list(many.turn(0.0, False)) == []
    seen: list[str] = []
    for tick in range(1, 11):
        found = list(many.turn(tick * ROUND_SECS / 10, False))
        assert len(found) in (999, 1000, 1001)
        seen += found
    assert len(set(seen)) >= 9990
    assert len(list(many.turn(100.0, True))) == 10_000


def test_looking_at_many_takes_at_most_a_25th_of_the_time():
    clock = [0.0]
    many = ChangingFiles([f"/x/{number}" for number in range(1000)], lambda: clock[0])
    now, looked = 0.0, 0
    while now < 1000:
        for _ in many.turn(now, False):
            # A disk that takes 10 ms for each.
            clock[0] += 0.01
            looked += 1
        now += 1.0
    assert 1000 * 0.04 * 0.8 <= looked * 0.01 <= 1000 * 0.04 * 1.3


@pytest.mark.slow
def test_an_idle_tick_of_ten_thousand_entries_touches_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = tuple(f"{number}.csv" for number in range(10_000))
    live = Live(tmp_path, names)
    try:
        live.taken()
        looked = []
        monkeypatch.setattr(live.watch._due._stamps, "_read", lambda path: looked.append(path))
        now = time.monotonic()
        for tick in range(10):
            live.watch.scan(now + tick)
        # A thousand a second, not ten thousand at each tick.
        assert len(looked) <= 11_000
    finally:
        live.watch.stop()
