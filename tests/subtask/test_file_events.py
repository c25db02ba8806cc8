"""File events of the real system: what wakes a child, and what happens where there are none."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.notify import Stamp, Toucher
from pysubtask.subtask.platform import mounts
from pysubtask.subtask.watch import file_events, incomplete_events, inotify
from pysubtask.subtask.watch.file_events import FileEvents
from pysubtask.subtask.watch.inotify import Inotify
from pysubtask.subtask.watch.named_files import ROUND_SECS
from pysubtask.subtask.watch.watchdog_events import WatchdogEvents
from pysubtask.subtask.watch.watcher import Watcher
from tests.support.event_child import Child, both, source
from tests.support.helpers import wait_until
from tests.support.watched_world import Memory

__all__ = ["source"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


@pytest.mark.slow
@both
def test_a_touch_wakes_and_is_due(tmp_path):
    (tmp_path / "a").write_text("1")
    with Child(tmp_path, [{"file": "a"}]) as child:
        assert (child.watch.mode, child.watch.mode_reason) == ("events", "")
        child.until(("a", "start"))
        toucher = Toucher()
        for _ in range(3):
            toucher.touch(str(tmp_path / "a.notify"))
            child.until(("a", "notify"))
        subprocess.run(["touch", tmp_path / "a.notify"], check=True)
        child.until(("a", "notify"))
        (tmp_path / "a").write_text("2")
        (tmp_path / "other").write_text("2")
        child.nothing()


@pytest.mark.slow
@both
def test_new_files_in_a_folder_however_they_come(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "moved").write_text("1")
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0.1}]) as child:
        (tmp_path / "d" / "written").write_text("1")
        child.until(("written", "new"))
        os.rename(tmp_path / "moved", tmp_path / "d" / "moved")
        child.until(("moved", "new"))
        os.rename(tmp_path / "d" / "moved", tmp_path / "d" / "renamed")
        child.until(("renamed", "new"))
        os.link(tmp_path / "d" / "renamed", tmp_path / "d" / "linked")
        child.until(("linked", "new"))
        (tmp_path / "d" / "written").unlink()
        (tmp_path / "d" / "written").write_text("2")
        child.until(("written", "new"))
        subprocess.run(["touch", tmp_path / "d" / "written.notify"], check=True)
        child.until(("written", "notify"))
        with open(tmp_path / "d" / "written", "a") as file:
            file.write("3")
        child.nothing()


@both
def test_changes_where_they_count(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0.1, "on_change": True}]) as child:
        (tmp_path / "d" / "x").write_text("1")
        child.until(("x", "new"))
        with open(tmp_path / "d" / "x", "a") as file:
            file.write("3")
        child.until(("x", "change"))


@pytest.mark.slow
def test_a_file_written_again_and_again_is_taken_when_quiet(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 1.5}]) as child:
        for number in range(10):
            with open(tmp_path / "d" / "x", "a") as file:
                file.write(str(number))
            time.sleep(0.05)
            child.poll()
        assert child.found == []
        child.until(("x", "new"))


@both
def test_a_folder_that_is_deleted_and_recreated(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        for number in range(3):
            shutil.rmtree(tmp_path / "d")
            child.poll()
            (tmp_path / "d").mkdir()
            (tmp_path / "d" / f"before{number}").write_text("1")

            def caught(name: str = f"before{number}") -> bool:
                child.poll()
                return any(found[0] == name for found in child.found)

            wait_until(caught)
            wait_until(lambda: child.poll() is not None and child.watch.mode == "events")
            child.found.clear()
            child.woken.clear()
            (tmp_path / "d" / f"after{number}").write_text("1")
            child.until((f"after{number}", "new"))


@both
def test_a_folder_that_is_moved_away_and_replaced(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        os.rename(tmp_path / "d", tmp_path / "away")
        (tmp_path / "d").mkdir()
        child.poll()
        (tmp_path / "d" / "x").write_text("1")
        (tmp_path / "away" / "y").write_text("1")
        child.until(("x", "new"))
        child.nothing(0.1)


@both
def test_a_folder_that_comes_later_and_one_behind_a_link(tmp_path):
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        assert child.watch.mode == "events"
        (tmp_path / "real").mkdir()
        (tmp_path / "d").symlink_to("real")
        child.poll()
        (tmp_path / "d" / "x").write_text("1")
        child.until(("x", "new"))


@both
def test_names_of_any_bytes(tmp_path):
    (tmp_path / "d").mkdir()
    name = os.fsdecode(b"\xff ,'\n")
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        with open(os.path.join(tmp_path, "d", name), "w") as file:
            file.write("1")
        child.until((name, "new"))


@both
def test_many_files_at_once(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0.05}]) as child:
        names = [f"f{number}" for number in range(500)]
        for name in names:
            (tmp_path / "d" / name).write_text("1")
        child.until(*[(name, "new") for name in names], secs=60)


def test_an_overflow_makes_everything_be_looked_at(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}, {"file": "a"}]) as child:
        events = child.watch.file_events
        assert events is not None
        # Lost to the queue: no event of these files arrives.
        events.inbox.file = lambda folder, name, created: False
        (tmp_path / "d" / "x").write_text("1")
        Toucher().touch(str(tmp_path / "a.notify"))
        child.nothing(0.2)
        events._source._tell(struct.pack("iIII", -1, 0x4000, 0, 0))
        child.until(("x", "new"), ("a", "notify"))


def test_an_overflow_that_watchdog_logs_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(inotify, "available", lambda: False)
    with Child(tmp_path, [{"file": "a"}]) as child:
        events = child.watch.file_events
        reader = getattr(events._source._observer, "_inotify_fd", None)
        if not hasattr(reader, "handle_event"):
            pytest.skip("this version of watchdog does not tell of an overflow")
        reader.handle_event(SimpleNamespace(is_queue_overflow=True))
        assert events.take().lost


@pytest.mark.slow
def test_a_real_overflow_loses_nothing(tmp_path):
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip(f"the queue of this system holds {limit} events")
    (tmp_path / "d").mkdir()
    (tmp_path / "t" / "old").mkdir(parents=True)
    watched = [{"dir": name, "settle_secs": 0, "notify_files": False, "recursive": name == "t"} for name in "dt"]
    with Child(tmp_path, watched) as child:
        events = child.watch.file_events
        assert events is not None
        over: list[int] = []
        real = events.inbox.lose
        events.inbox.lose = lambda: (over.append(1), real())[0]
        # The reader is held up, as on a busy machine, while the queue of the kernel runs over.
        with events._source._lock:
            names = [f"f{number}" for number in range(limit // 2 + 6000)]
            for name in names:
                os.close(os.open(tmp_path / "d" / name, os.O_CREAT | os.O_WRONLY))
            # Of all this no event arrives.
            shutil.rmtree(tmp_path / "t" / "old")
            (tmp_path / "t" / "old").mkdir()
            (tmp_path / "t" / "new" / "deep").mkdir(parents=True)
            (tmp_path / "t" / "new" / "deep" / "x").write_text("1")
        # Sooner than the scan that comes every minute anyway.
        child.until(*[(name, "new") for name in [*names, "x"]], secs=50)
        assert over
        (tmp_path / "t" / "old" / "y").write_text("1")
        (tmp_path / "t" / "new" / "z").write_text("1")
        child.until(("y", "new"), ("z", "new"))


def test_without_watchdog(tmp_path, monkeypatch):
    monkeypatch.setattr(inotify, "available", lambda: False)
    real = builtins.__import__

    def missing(name, *args, **more):
        if name.startswith("watchdog"):
            raise ImportError("No module named 'watchdog'")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        assert child.watch.mode == "polling" and "watchdog is not installed" in child.watch.mode_reason
        (tmp_path / "d" / "x").write_text("1")
        wait_until(lambda: child.poll() and child.found)
        assert child.found == [("x", "new")]


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances"), (errno.EIO, "Input/output")]
)
def test_where_the_system_gives_no_more_watches(tmp_path, monkeypatch, source, code, words):
    kind = Inotify if source == "inotify" else WatchdogEvents
    real, refused = kind.add, []

    def refuse(*args, **more):
        refused.append(1)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kind, "add", refuse)
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        assert child.watch.mode == "polling" and words in child.watch.mode_reason
        (tmp_path / "d" / "x").write_text("1")
        wait_until(lambda: child.poll() and child.found)
        tries = len(refused)
        for _ in range(20):
            child.poll()
        assert len(refused) == tries, "a refusal is left alone for a while"
        monkeypatch.setattr(kind, "add", real)
        child.watch.scan(time.monotonic() + file_events.RETRY_SECS + 1)
        assert child.watch.mode == "events"


@both
def test_a_network_file_system_is_looked_at_by_the_timer_too(tmp_path, monkeypatch):
    monkeypatch.setattr(incomplete_events, "misses_events", lambda path: "on a network file system, where others change it")
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}]) as child:
        assert child.watch.mode == "polling" and "network file system" in child.watch.mode_reason
        (tmp_path / "d" / "x").write_text("1")
        child.until(("x", "new"))


@both
def test_after_a_stop_no_thread_is_left_and_a_scan_still_works(tmp_path):
    (tmp_path / "d").mkdir()
    before = set(threading.enumerate())
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0}, {"file": "a"}]) as child:
        assert set(threading.enumerate()) > before
    wait_until(lambda: set(threading.enumerate()) <= before)
    (tmp_path / "d" / "x").write_text("1")
    Toucher().touch(str(tmp_path / "a.notify"))
    wait_until(lambda: (child.poll(), len(child.found) == 2)[1])
    assert sorted(child.found) == [("a", "notify"), ("x", "new")]
    child.watch.stop()
    assert set(threading.enumerate()) <= before


@both
def test_an_awaited_event_wakes_once_until_it_is_taken(tmp_path):
    woken: list[int] = []
    asked: list[tuple[str, bool]] = []
    events = FileEvents({str(tmp_path): lambda *event: (asked.append(event), event[0] != "boring")[1]}, lambda: woken.append(1))
    events.start()
    try:
        (tmp_path / "boring").write_text("1")
        for name in "abc":
            (tmp_path / name).write_text("1")
        wait_until(lambda: ("c", False) in asked)
        assert woken == [1]
        taken = events.take()
        assert taken.paths == {str(tmp_path / name): True for name in "abc"} and not taken.lost
        with open(tmp_path / "a", "a") as file:
            file.write("2")
        wait_until(lambda: events.inbox._paths)
        assert woken == [1, 1] and events.take().paths == {str(tmp_path / "a"): False}
    finally:
        events.stop()


@both
@pytest.mark.parametrize("first", ["subscribe", "start"])
def test_one_reader_serves_two_receivers_with_a_folder_each(tmp_path, first):
    for name in ("data", "requests"):
        (tmp_path / name).mkdir()
    woken: list[str] = []
    events = FileEvents({str(tmp_path / "data"): lambda name, created: True}, lambda: woken.append("data"))
    if first == "start":
        events.start()
    before = set(threading.enumerate())
    inbox = events.subscribe(
        str(tmp_path / "requests"), lambda name, created: created and name.endswith(".json"), lambda: woken.append("requests")
    )
    missing = events.subscribe(str(tmp_path / "missing"), lambda name, created: True, lambda: woken.append("missing"))
    if first == "subscribe":
        events.start()
    try:
        assert isinstance(events._source, WatchdogEvents) or first == "subscribe" or set(threading.enumerate()) == before
        assert events.mode() == ("events", "")
        (tmp_path / "requests" / "half").write_text("1")
        os.rename(tmp_path / "requests" / "half", tmp_path / "requests" / "1.json")
        wait_until(lambda: woken)
        assert woken == ["requests"] and list(inbox.take().paths) == [str(tmp_path / "requests" / "1.json")]
        (tmp_path / "data" / "x").write_text("1")
        wait_until(lambda: len(woken) > 1)
        assert woken == ["requests", "data"] and list(events.take().paths) == [str(tmp_path / "data" / "x")]
        assert inbox.take().paths == missing.take().paths == {}
    finally:
        events.stop()


def test_a_subscriber_has_its_events_though_the_reader_is_later(tmp_path, monkeypatch):
    for name in ("data", "requests"):
        (tmp_path / name).mkdir()
    woken = threading.Event()
    events = FileEvents({str(tmp_path / "data"): lambda name, created: True}, lambda: None)
    events.subscribe(str(tmp_path / "requests"), lambda name, created: True, woken.set)

    def refuse(receiver: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as refusing:
        refusing.setattr(file_events, "Inotify", refuse)
        events.start()
        assert events.mode()[0] == "polling" and "max_user_instances" in events.mode()[1]
    try:
        assert events.refresh_watch(str(tmp_path / "data"), 0.0).renewed
        (tmp_path / "requests" / "1.json").write_text("1")
        assert woken.wait(20)
    finally:
        events.stop()


# -- named files, many and quiet ------------------------------------------------------------------------------


def asking(monkeypatch, child: Child) -> list[str]:
    """The paths that are asked for from now on."""
    asked: list[str] = []
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, noting(getattr(os, name), asked))
    monkeypatch.setattr(child.watch._due._stamps, "_read", noting(child.watch._due._stamps._read, asked))
    return asked


def noting(real, asked: list[str]):
    return lambda path, **more: (asked.append(path), real(path, **more))[1]


def named_files(folder: Path, count: int = 120) -> list[dict[str, str]]:
    folder.mkdir()
    for number in range(count):
        (folder / f"f{number}").write_text("1")
        Toucher().touch(str(folder / f"f{number}.notify"))
    return [{"file": str(folder / f"f{number}")} for number in range(count)]


def test_named_files_are_scanned_on_events_and_in_turn(tmp_path, monkeypatch):
    watched = named_files(tmp_path / "d")
    with Child(tmp_path, watched) as child:
        wait_until(lambda: child.poll() is not None and len(child.found) == 120 and child.watch.next_at(0) is None)
        child.found.clear()
        now = time.monotonic()
        child.watch.scan(now + 1000)
        asked = asking(monkeypatch, child)
        folder = str(tmp_path / "d")
        for tick in range(30):
            before = len(asked)
            assert child.watch.scan(now + 1000 + tick * ROUND_SECS / 30) == []
            assert len(asked) - before <= 6, "a few at a time, and whether the folder is the same"
        assert {path for path in asked if path != folder} < {f"{each['file']}.notify" for each in watched}
        assert len(asked) - asked.count(folder) == len({path for path in asked if path != folder}) >= 110, "each once"
        asked.clear()
        subprocess.run(["touch", f"{folder}/f7.notify"], check=True)
        child.until(("f7", "notify"))
        os.utime(tmp_path / "d" / "f9.notify")
        child.until(("f9", "notify"))
        os.rename(tmp_path / "d" / "f9.notify", tmp_path / "d" / "f8.notify")
        child.until(("f8", "notify"))


@both
@pytest.mark.parametrize("up_secs", [0.5, 60.0, ROUND_SECS - 1, 1e6])
def test_soon_after_boot_the_first_scan_is_of_all_named_files(tmp_path, up_secs):
    for number in range(6):
        (tmp_path / f"f{number}.csv").write_text("1")
        os.utime(tmp_path / f"f{number}.csv", (1_790_000_000, 1_790_000_000))
    watch = Watcher(read_entries([{"file": str(tmp_path / f"f{number}.csv")} for number in range(6)]), Memory(), (), lambda: None)
    watch.start()
    try:
        assert sorted(os.path.basename(due.path) for due in watch.scan(up_secs)) == [f"f{number}.csv" for number in range(6)]
    finally:
        watch.stop()


def test_named_files_are_all_looked_at_where_events_do_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(incomplete_events, "misses_events", lambda path: "on a network file system, where others change it")
    spent = 0.0

    def timer() -> float:
        nonlocal spent
        spent += 0.19
        return spent

    watched = named_files(tmp_path / "d", 10)
    with Child(tmp_path, watched) as child:
        wait_until(lambda: child.poll() is not None and len(child.found) == 10 and child.watch.next_at(0) is None)
        now = time.monotonic() + 1000
        monkeypatch.setattr(child.watch._scans, "_timer", timer)
        child.watch.scan(now)
        asked = asking(monkeypatch, child)
        for tick in range(1, 201):
            child.watch.scan(now + tick / 2)
        scans = asked.count(f"{tmp_path}/d/f3.notify")
        assert scans == 20, "each look takes 0.19 s, so there is one every 4.75 s"
        (tmp_path / "d" / "f3.notify").unlink()
        Toucher().touch(f"{tmp_path}/d/f3.notify")
        assert [due.path for due in child.watch.scan(now + 200)] == [f"{tmp_path}/d/f3"]


def test_many_folders_are_not_compared_at_each_tick(tmp_path, monkeypatch):
    for number in range(150):
        (tmp_path / str(number)).mkdir()
    with Child(tmp_path, [{"file": f"{number}/f", "as": f"{number}/f"} for number in range(150)]) as child:
        now = time.monotonic() + 1000
        child.watch.scan(now)
        asked = asking(monkeypatch, child)
        for tick in range(1, 100):
            child.watch.scan(now + tick / 100)
        assert asked.count(str(tmp_path / "7")) == 3, "each 0.3 s"
        child.watch.scan(now + 100)
        child.woken.clear()
        (tmp_path / "7").rmdir()
        (tmp_path / "7").mkdir()
        assert child.woken.wait(20)
        child.watch.scan(now + 100.01)
        child.woken.clear()
        Toucher().touch(str(tmp_path / "7" / "f.notify"))
        assert child.woken.wait(20), "its events were had anew at once"


def test_a_notify_file_that_is_a_link_and_an_unreadable_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "d" / "a.notify").symlink_to("../elsewhere")
    with Child(tmp_path, [{"file": "d/a"}, {"file": "d/b"}]) as child:
        child.until(("a", "notify"))
        child.poll()
        os.utime(tmp_path / "elsewhere", ns=(5, 5))
        child.poll()
        assert child.found == [("a", "notify")], "no event tells of it"
        child.found.clear()
        good, failed = child.watch._due._stamps._read, threading.Event()

        def failing(path: str) -> Stamp | None:
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

        child.watch._due._stamps._read = failing
        Toucher().touch(str(tmp_path / "d" / "b.notify"))
        wait_until(lambda: (child.poll(), failed.is_set())[1])
        assert child.found == []
        child.watch._due._stamps._read = good
        wait_until(lambda: (child.poll(), child.found == [("b", "notify")])[1], 5)


# -- storms ---------------------------------------------------------------------------------------------------


def test_pauses_between_reads_grow_and_end_with_a_burst():
    pause, pauses = 0.0, []
    for _ in range(12):
        pause = inotify.next_pause(pause, 0.0, 1000, False)
        pauses.append(pause)
    assert pauses == sorted(pauses) and pauses[0] < 0.01 and pauses[-1] == inotify.MOST_PAUSE_SECS
    assert inotify.next_pause(0.25, 0.0, 1000, True) == inotify.TOGETHER_SECS, "after one that matters there may be another"
    assert inotify.next_pause(0.25, 0.06, 32, False) == 0, "one now and then is no burst"
    assert inotify.next_pause(0.25, 0.0, 60_000, False) < 0.25, "the kernel's queue would overflow"


@pytest.mark.slow
def test_a_flood_of_events_is_read_in_parts_and_a_touch_is_seen(tmp_path):
    (tmp_path / "d").mkdir()
    for name in "xyz":
        (tmp_path / "d" / name).write_text("1")
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0, "notify_files": False}, {"file": "d/x"}]) as child:
        wait_until(lambda: child.poll() is not None and len(child.found) == 3 and child.watch.next_at(0) is None)
        child.found.clear()
        source = child.watch.file_events._source
        reads: list[int] = []
        real = source._tell
        source._tell = lambda events: (reads.append(1), real(events))[1]
        closed, stopped = 0, threading.Event()

        def burst_of_events() -> None:
            nonlocal closed
            while not stopped.wait(0.001):
                for name in "yz":
                    with open(tmp_path / "d" / name, "a") as file:
                        file.write("2")
                    closed += 1

        thread = threading.Thread(target=burst_of_events)
        thread.start()
        try:
            child.woken.clear()
            wait_until(lambda: closed > 600)
            assert not child.woken.is_set() and len(reads) < closed / 6
            Toucher().touch(str(tmp_path / "d" / "x.notify"))
            child.until(("x", "notify"))
        finally:
            stopped.set()
            thread.join()


_TABLE = """22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /mnt/share rw - nfs4 server:/x rw
31 22 0:41 / /mnt/with\\040space rw - fuse.sshfs u@h:/ rw
32 22 0:42 / /mnt/over rw - nfs server:/y rw
33 22 0:43 / /mnt/over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/with space/x", "fuse.sshfs"),
        ("/mnt/over/x", "tmpfs"),
        ("/home", "ext4"),
    ],
)
def test_which_file_system_a_path_is_on(tmp_path, path, kind):
    table = tmp_path / "mountinfo"
    table.write_text(_TABLE)
    assert mounts.filesystem_of(path, str(table)) == kind


def test_a_system_without_that_table(tmp_path):
    assert mounts.filesystem_of("/x", str(tmp_path / "none")) == ""
    (tmp_path / "odd").write_text("nonsense\n")
    assert mounts.filesystem_of("/x", str(tmp_path / "odd")) == ""
    assert not mounts.on_network(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "misses"),
    [
        ("ext4", ""),
        ("fuseblk", ""),
        ("overlay", ""),
        ("tmpfs", ""),
        ("nfs4", "network"),
        ("fuse", "(fuse)"),
        ("fuse.bindfs", "(fuse.bindfs)"),
        ("fuse.sshfs", "network"),
        ("drvfs", "(drvfs)"),
    ],
)
def test_what_may_be_changed_without_an_event(kind, misses, monkeypatch):
    monkeypatch.setattr(mounts, "filesystem_of", lambda path: kind)
    found = mounts.misses_events("/data")
    assert misses in found and bool(found) == bool(misses)


def test_a_folder_without_events_for_new_files_goes_to_the_timer(tmp_path, monkeypatch):
    """As below an overlay that is changed from below. Here the events of one name are thrown away."""
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0.1, "notify_files": False}]) as child:
        events = child.watch.file_events
        real = events.inbox.file
        monkeypatch.setattr(
            events.inbox, "file", lambda folder, name, created: not name.startswith("deaf") and real(folder, name, created)
        )
        (tmp_path / "d" / "heard").write_text("1")
        child.until(("heard", "new"))
        (tmp_path / "d" / "deaf").write_text("1")
        child.nothing()
        now = time.monotonic()
        for later in (61.0, 62.0, 80.0):
            child.watch.scan(now + later)
        assert child.watch.mode == "polling" and "no events of all changes" in child.watch.mode_reason
        (tmp_path / "d" / "deaf2").write_text("1")
        found = [os.path.basename(due.path) for later in (81.0, 83.0) for due in child.watch.scan(now + later)]
        assert "deaf2" in found


def test_a_scan_beside_the_events_makes_no_folder_deaf(tmp_path):
    (tmp_path / "d").mkdir()
    with Child(tmp_path, [{"dir": "d", "settle_secs": 0, "on_change": True, "notify_files": False}]) as child:
        for number in range(30):
            (tmp_path / "d" / f"f{number}").write_text("1")
            child.poll()
        time.sleep(0.5)
        child.poll()
        for later in (11.0, 70.0, 90.0):
            child.watch.scan(time.monotonic() + later)
        assert child.watch.mode == "events"
