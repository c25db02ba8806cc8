"""What is due: against a plain model, on clocks of low and high resolution, and with the real events of the system."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pysubtask.common.notify import Stamp
from pysubtask.subtask.platform import creation_time
from pysubtask.subtask.watch import folder_files
from pysubtask.subtask.watch.watcher import Due
from tests.support.watched_world import SECOND, World, born_long_ago

__all__ = ["born_long_ago"]

# -- static files --------------------------------------------------------------------------------------------


def test_a_named_file_is_due_at_the_start_and_with_each_stamp(tmp_path):
    world = World(tmp_path, [{"file": "a"}, {"file": "b"}])
    world.write("a", b"1")
    world.wait(1)
    assert world.round() == [("a", "start")]
    assert world.round() == []
    world.wait(10)
    world.write("a", b"22")
    assert world.round() == [], "a change alone is no notify"
    world.touch("a")
    assert world.round() == [("a", "notify")]
    assert world.quiet() == []
    world.touch("b")
    assert world.round() == [("b", "notify")], "also when the data file is missing"


def test_any_change_of_the_stamp_counts(tmp_path):
    world = World(tmp_path, [{"file": "a"}])
    world.write("a", b"1")
    world.touch("a")
    world.round()
    notify = world.path("a.notify")
    for change in (
        lambda: os.utime(notify, ns=(5, 5)),
        lambda: os.truncate(notify, 3),
        lambda: (os.link(notify, notify + "x"), os.unlink(notify), world.touch("a"), os.utime(notify, ns=(5, 5))),
    ):
        world.wait(10)
        change()
        assert ("a", "notify") in world.quiet()


def test_an_empty_file_and_a_missing_one_at_the_start(tmp_path):
    world = World(tmp_path, [{"file": "a"}, {"file": "b"}])
    world.write("a")
    world.wait(1)
    assert world.round() == [("a", "start")]
    world.wait(10)
    world.write("b")
    assert world.round() == []


def test_a_due_file_stays_due_and_carries_the_newest_stamp(tmp_path):
    world = World(tmp_path, [{"file": "a"}])
    world.write("a", b"1")
    world.touch("a")
    first = world.scan()
    assert world.scan() == first
    world.wait(3)
    world.touch("a")
    (second,) = world.scan()
    assert second.stamp is not None and first[0].stamp is not None and second.stamp.mtime_ns == first[0].stamp.mtime_ns + 3 * SECOND
    world.commit(world.copy(first[0]))
    assert [due.cause for due in world.scan()] == ["notify"], "the touch that came later is not handled by the older snapshot"
    world.commit(world.copy(second))
    assert world.quiet() == []


def test_handled_stamps_survive_a_restart_and_a_lost_touch(tmp_path):
    world = World(tmp_path, [{"file": "a"}, {"file": "b"}])
    for name in "ab":
        world.write(name, b"1")
        world.touch(name)
    world.quiet()
    world.wait(10)
    world.restart()
    assert world.quiet() == []
    world.write("a", b"2")
    world.restart()
    assert world.quiet() == [("a", "start")]


# -- watched folders -----------------------------------------------------------------------------------------


def in_folder(tmp_path, **options: object) -> World:
    os.mkdir(os.path.join(tmp_path, "d"))
    world = World(tmp_path, [{"dir": "d", **options}])
    assert world.round() == []
    return world


def test_a_new_file_is_taken_when_quiet_and_gets_a_notify_file(tmp_path):
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    assert world.round() == []
    assert world.watch.next_at(world.ns / SECOND) == pytest.approx(world.ns / SECOND + 1)
    world.wait(0.9)
    world.write("d/x", b"12")
    world.wait(0.2)
    assert world.round() == [], "it was still being written"
    assert not os.path.exists(world.path("d/x.notify"))
    world.wait(1.1)
    (due,) = world.scan()
    assert due.cause == "new" and due.stamp == world.stat(world.path("d/x.notify")) is not None
    world.commit(world.copy(due))
    assert world.quiet() == []
    world.wait(5)
    world.write("d/x", b"3", "ab")
    assert world.quiet() == [], "a change alone does not count"
    world.touch("d/x")
    assert world.round() == [("d/x", "notify")]
    assert world.sent[world.path("d/x")][-1] == b"123"


def test_settling_takes_no_time_where_none_is_asked_for(tmp_path):
    world = in_folder(tmp_path, settle_secs=0, notify_files=False)
    world.write("d/x", b"1")
    assert world.round() == [("d/x", "new")]
    assert os.listdir(world.path("d")) == ["x"]


def test_a_touch_is_not_kept_waiting(tmp_path):
    world = in_folder(tmp_path, settle_secs=100)
    world.write("d/x", b"1")
    world.touch("d/x")
    assert world.round() == [("d/x", "notify")]
    world.wait(300)
    assert world.quiet() == []


def test_everything_takes_what_still_settles(tmp_path):
    world = in_folder(tmp_path, settle_secs=100)
    world.write("d/x", b"1")
    assert world.round() == []
    world.wait(1)
    assert world.round(everything=True) == [("d/x", "new")]


def test_everything_leaves_what_is_being_written(tmp_path):
    """It goes at the next start: half of it is of no use to anybody."""
    world = in_folder(tmp_path, settle_secs=100)
    world.write("d/x", b"1")
    assert world.round(everything=True) == []
    world.wait(0.5)
    world.write("d/x", b"2", "ab")
    world.wait(0.5)
    assert world.round(everything=True) == []
    world.wait(0.5)
    world.write("d/x", b"3", "ab")
    world.restart()
    assert world.round() == []
    world.wait(100)
    assert world.round() == [("d/x", "start")]
    assert world.sent[world.path("d/x")] == [b"123"]


def test_what_is_being_written_when_a_child_starts_settles_first(tmp_path):
    """A named file, one in a folder that was sent before, and new ones: none of them is taken in the midst of a write."""
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{"file": "a", "settle_secs": 2}, {"dir": "d", "settle_secs": 2}])
    for name in ("a", "d/old"):
        world.write(name, b"whole")
    world.wait(10)
    assert sorted(world.quiet()) == [("a", "start"), ("d/old", "start")]
    for name in ("a", "d/old", "d/new"):
        world.write(name, b"ha")
    world.restart()
    for piece in (b"lf", b" a", b" picture"):
        assert world.round() == []
        world.wait(1)
        for name in ("a", "d/old", "d/new"):
            world.write(name, piece, "ab")
    assert sorted(world.quiet()) == [("a", "start"), ("d/new", "start"), ("d/old", "start")]
    assert {world.sent[world.path(name)][-1] for name in ("a", "d/old", "d/new")} == {b"half a picture"}


def test_a_named_file_that_grows_all_the_time_goes_at_the_start(tmp_path):
    world = World(tmp_path, [{"file": "a"}])
    world.write("a", b"line\n")
    found: list[tuple[str, str]] = []
    for _ in range(40):
        found += world.round()
        world.wait(0.5)
        world.write("a", b"line\n", "ab")
    assert found and set(found) == {("a", "start")}


def test_any_change_counts_where_that_is_asked_for(tmp_path):
    world = in_folder(tmp_path, on_change=True)
    world.write("d/x", b"1")
    assert world.quiet() == [("d/x", "new")]
    world.wait(5)
    world.write("d/x", b"2", "ab")
    assert world.round() == []
    world.wait(1.1)
    assert world.round() == [("d/x", "change")]
    assert world.sent[world.path("d/x")][-1] == b"12"
    assert world.quiet() == []


def test_files_that_were_there_before_the_start(tmp_path):
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{"dir": "d"}])
    world.write("d/old", b"1")
    world.wait(10)
    world.write("d/fresh", b"1")
    assert world.round() == [("d/old", "start")], "one that is quiet already need not settle"
    assert world.quiet() == [("d/fresh", "start")]
    world.wait(700)
    world.restart()
    assert world.quiet() == []
    world.write("d/old", b"2")
    world.restart()
    world.wait(1)
    assert world.round() == [("d/old", "start")]


def test_a_file_of_1970_may_be_written_right_now(tmp_path):
    """The clock was set since: its time does not say that it has been quiet for 56 years."""
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{"dir": "d"}])
    world.write("d/x", b"1")
    os.utime(world.path("d/x"), (50, 50))
    assert world.round() == []
    assert world.quiet() == [("d/x", "start")]


@pytest.mark.parametrize("keep_inode", [True, False])
def test_a_file_deleted_and_recreated_is_new(tmp_path, keep_inode, monkeypatch):
    monkeypatch.setattr(creation_time, "creation_ns", lambda path: world.ns)
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    assert world.quiet() == [("d/x", "new")]
    world.wait(10)
    if keep_inode:
        # What a file system does that uses the number of a deleted file at once for the next one.
        world.write("d/x", b"2")
    else:
        world.write("d/y.hold", b"2")
        os.replace(world.path("d/y.hold"), world.path("d/x"))
    assert world.quiet() == [("d/x", "new")]
    assert world.sent[world.path("d/x")][-1] == b"2"


def test_a_file_seen_gone_is_forgotten_and_reported(tmp_path):
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    world.quiet()
    os.unlink(world.path("d/x"))
    assert world.quiet() == [] and world.watch.gone() == [], "its notify file is still there"
    os.unlink(world.path("d/x.notify"))
    world.round()
    assert world.watch.gone() == [world.path("d/x")] and world.watch.gone() == []
    world.write("d/never-taken", b"1")
    world.round()
    os.unlink(world.path("d/never-taken"))
    assert world.quiet() == [] and world.watch.gone() == []
    world.write("d/x", b"1")
    assert world.quiet() == [("d/x", "new")]


def test_a_file_that_vanishes_while_it_settles_is_not_due(tmp_path):
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    world.round()
    os.unlink(world.path("d/x"))
    world.wait(2)
    assert world.round() == [] and world.watch.next_at(0) is None


def test_a_file_replaced_between_snapshot_and_commit_goes_again(tmp_path):
    world = in_folder(tmp_path, settle_secs=0)
    world.write("d/x", b"1")
    os.utime(world.path("d/x"), ns=(world.ns - 3600 * SECOND,) * 2)
    (due,) = world.scan()
    copied = world.copy(due)
    world.write("d/.y.part", b"2")
    os.replace(world.path("d/.y.part"), world.path("d/x"))
    assert world.scan() == [due]
    world.commit(copied)
    assert world.quiet() == [("d/x", "new")]
    assert world.sent[world.path("d/x")] == [b"1", b"2"]


def test_only_regular_files_of_the_folder_itself_count(tmp_path):
    world = in_folder(tmp_path, settle_secs=0)
    (tmp_path / "secret").write_text("theirs")
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "sub" / "deep").write_text("x")
    os.mkfifo(tmp_path / "d" / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path / "d")
        server.bind("socket")
        os.chdir(here)
    for name, target in [("escape", "../secret"), ("into", "sub/deep"), ("dangling", "none"), ("dir", "sub"), ("loop", "loop")]:
        (tmp_path / "d" / name).symlink_to(target)
    for name in ("escape.hold", "pi.heartbeat", ".up-1.part", ".notify"):
        (tmp_path / "d" / name).write_text("x")
    for name in ("escape", "fifo", "sub", "dangling", "into"):
        world.touch("d/" + name)
    assert world.quiet() == []
    world.write("d/real", b"1")
    (tmp_path / "d" / "link").symlink_to("real")
    assert sorted(world.quiet()) == [("d/link", "new"), ("d/real", "new")]
    assert not (tmp_path / "d" / "escape.notify.notify").exists()


def test_a_file_that_becomes_a_link_out_while_it_settles(tmp_path):
    (tmp_path / "secret").write_text("theirs")
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    world.round()
    os.unlink(world.path("d/x"))
    os.symlink("../secret", world.path("d/x"))
    world.wait(5)
    assert world.quiet() == []


def test_a_notify_without_data_is_handed_on(tmp_path):
    world = in_folder(tmp_path)
    world.touch("d/later")
    assert [due.cause for due in world.scan()] == ["notify"]
    world.write("d/later", b"1")
    assert world.round() == [("d/later", "notify")]
    assert world.quiet() == []


def test_a_folder_that_is_not_there_and_comes_and_goes(tmp_path):
    world = World(tmp_path, [{"dir": "d"}])
    assert world.round() == []
    os.mkdir(world.path("d"))
    world.write("d/x", b"1")
    assert world.quiet() == [("d/x", "start")]
    os.rename(world.path("d"), world.path("away"))
    assert world.quiet() == [] and world.watch.gone() == []
    world.wait(10)
    os.rename(world.path("away"), world.path("d"))
    assert world.quiet() == [], "nothing changed, as with a stick that was taken out for a while"
    os.rename(world.path("d"), world.path("away"))
    world.round()
    os.mkdir(world.path("d"))
    world.write("d/x", b"2")
    assert world.quiet() == [("d/x", "start")]


def test_an_unwritable_folder_goes_without_notify_files(tmp_path, monkeypatch):
    def refuse(path: str) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pysubtask.subtask.watch.folder_files.make_notify", refuse)
    world = in_folder(tmp_path)
    world.write("d/x", b"1")
    world.round()
    world.wait(2)
    (due,) = world.scan()
    assert due.stamp is None


def test_names_of_any_bytes_and_length(tmp_path):
    world = in_folder(tmp_path)
    names = [b"\xff\xfe", b"n" * 255, b" a,b'\"\n ", b"-rf"]
    for name in names:
        world.write(os.path.join("d", os.fsdecode(name)), b"1")
    found = world.quiet()
    assert sorted(os.fsencode(os.path.basename(name)) for name, _ in found) == sorted(names)
    assert not os.path.exists(world.path("d/" + "n" * 255 + ".notify"))


def test_skipped_folders_and_files(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "bak").mkdir()
    (tmp_path / "link").symlink_to("bak")
    skip = (str(tmp_path / "bak"), str(tmp_path / "d" / "child.log"))
    world = World(tmp_path, [{"dir": "d"}, {"dir": "bak"}, {"dir": "link"}], skip=skip)
    assert world.watch.ignored == (1, 2)
    for name in ("d/child.log", "d/x", "bak/y"):
        world.write(name, b"1")
    world.touch("d/child.log")
    world.wait(5)
    assert world.quiet() == [("d/x", "start")]


def test_a_named_file_inside_a_watched_folder_keeps_its_entry(tmp_path):
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{"dir": "d"}, {"file": "d/x", "as": "special"}])
    world.write("d/x", b"1")
    world.write("d/y", b"1")
    world.wait(5)
    assert sorted((os.path.basename(due.path), due.entry_index) for due in world.scan()) == [("x", 1), ("y", 0)]


def test_a_stat_that_fails_is_asked_again(tmp_path):
    world = World(tmp_path, [{"file": "a"}])
    world.write("a", b"1")
    world.round()
    world.wait(10)
    world.touch("a")
    good = world.watch._due._stamps._read

    def failing(path: str) -> Stamp | None:
        raise OSError(5, "Input/output error")

    world.watch._due._stamps._read = failing
    assert world.scan() == []
    world.watch._due._stamps._read = good
    assert world.round() == [("a", "notify")]


# -- slow clocks ---------------------------------------------------------------------------------------------


def test_a_second_touch_in_the_same_tick_of_a_slow_clock(tmp_path):
    world = World(tmp_path, [{"file": "a"}], tick=2 * SECOND)
    world.write("a", b"1")
    world.touch("a")
    assert world.round() == [("a", "notify")]
    world.wait(0.3)
    world.write("a", b"2", "ab")
    world.touch("a")
    assert world.round() == [], "the stamp is the same"
    world.wait(2)
    assert world.quiet(rechecks=True) == [("a", "recheck")]
    assert world.sent[world.path("a")] == [b"1", b"12"]


def test_a_rewrite_of_the_same_size_in_the_same_tick(tmp_path):
    world = World(tmp_path, [{"file": "a"}], tick=2 * SECOND)
    world.write("a", b"1")
    world.touch("a")
    world.round()
    world.write("a", b"2")
    world.touch("a")
    assert world.round() == [], "the stamp is the same"
    assert world.quiet(rechecks=True) == [("a", "recheck")]
    assert world.sent[world.path("a")] == [b"1", b"2"]
    world.wait(100)
    assert world.quiet(rechecks=True) == [], "one look more is enough"


def test_the_last_child_died_before_its_second_check(tmp_path):
    world = World(tmp_path, [{"file": "a"}], tick=2 * SECOND)
    world.write("a", b"1")
    world.touch("a")
    world.round()
    world.write("a", b"2")
    world.touch("a")
    world.wait(60)
    world.restart()
    assert world.quiet(rechecks=True) == [("a", "recheck")]
    assert world.sent[world.path("a")][-1] == b"2"
    world.wait(700)
    world.restart()
    assert world.quiet(rechecks=True) == []


def test_a_fine_clock_asks_for_no_second_check_that_late(tmp_path):
    world = World(tmp_path, [{"file": "a"}], tick=4_000_000)
    world.ns += 6_000_000
    world.write("a", b"1")
    world.touch("a")
    world.wait(0.1)
    assert world.quiet(rechecks=True) == [("a", "notify")]


def test_a_file_written_all_the_time_goes_only_when_notified(tmp_path):
    world = World(tmp_path, [{"file": "a"}], tick=2 * SECOND)
    world.write("a", b"1")
    world.touch("a")
    found = world.round()
    for _ in range(40):
        world.wait(0.5)
        world.write("a", b"1", "ab")
        found += world.round()
    assert found == [("a", "notify"), ("a", "recheck")]


@pytest.mark.parametrize("on_change", [False, True])
def test_times_in_the_future_come_to_rest_too(tmp_path, on_change):
    world = in_folder(tmp_path, on_change=on_change)
    world.write("d/x", b"1")
    world.touch("d/x")
    future = world.ns + 86400 * SECOND
    for name in ("d/x", "d/x.notify"):
        os.utime(world.path(name), ns=(future, future))
    assert world.quiet(rechecks=True) == [("d/x", "notify"), ("d/x", "recheck")]


# -- how often a folder is looked at --------------------------------------------------------------------------


def count_scans(world: World, secs: float, step: float) -> int:
    """How many scans of the whole folder there are within a time."""
    folder = world.watch._scans.folders.get(world.path("d"))
    assert folder is not None
    real, count = folder.scan, []
    folder.scan = lambda every: (count.append(every), real(every))[1]  # type: ignore[method-assign]
    for _ in range(int(secs / step)):
        world.wait(step)
        world.round()
    return len(count)


def test_polling_scans_at_every_tick_while_that_is_cheap(tmp_path):
    assert count_scans(in_folder(tmp_path), 20, 1) == 20


def test_polling_stretches_so_that_it_takes_a_25th_of_the_time(tmp_path):
    world = in_folder(tmp_path)
    spent = 0.0

    def timer() -> float:
        nonlocal spent
        spent += 0.19
        return spent

    world.watch._scans._timer = timer
    world.round()
    assert count_scans(world, 100, 0.5) == 20, "each look takes 0.19 s, so there is one every 4.75 s"


@pytest.mark.parametrize("notify_files", [False, True])
def test_an_unchanged_file_costs_one_stat_in_a_scan(tmp_path, monkeypatch, notify_files):
    world = in_folder(tmp_path, settle_secs=0, notify_files=notify_files)
    for number in range(50):
        world.write(f"d/{number}", b"1")
    world.quiet()
    folder = world.watch._scans.folders.get(world.path("d"))
    assert folder is not None
    assert folder.scan(False)[0] == [], "by name"
    world.wait(100)
    assert world.round() == []
    asked: list[str] = []
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, counted(getattr(os, name), asked))
    monkeypatch.setattr(world.watch._due._stamps, "_read", counted(world.watch._due._stamps._read, asked))
    world.wait(100)
    assert world.round() == [] and asked == [], "no more than what the listing itself asks"
    for name in ("d/3", "d/7.notify"):
        world.write(name, b"22")
    assert world.quiet() == [("d/7", "notify")]
    assert not {world.path(f"d/{number}") for number in range(50)}.intersection(asked) - {world.path("d/3"), world.path("d/7")}


def counted(real, asked: list[str]):
    return lambda path: (asked.append(path), real(path))[1]


def test_a_file_that_is_as_before_its_last_snapshot_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(creation_time, "creation_ns", lambda path: world.ns)
    world = in_folder(tmp_path, settle_secs=0)
    world.write("d/x", b"1")
    os.link(world.path("d/x"), world.path("kept"))
    world.quiet()
    world.wait(10)
    assert world.round() == []
    world.write("new", b"22")
    os.replace(world.path("new"), world.path("d/x"))
    assert world.quiet() == [("d/x", "new")]
    os.replace(world.path("kept"), world.path("d/x"))
    assert world.quiet() == [("d/x", "new")], "though it looks as at a look before"
    assert world.sent[world.path("d/x")] == [b"1", b"22", b"1"]


class NothingNotifiedIsMissed(RuleBasedStateMachine):
    """Files are written, touched, deleted and recreated while a child scans, copies, commits and is restarted.

    The model keeps, for each file, the number of the version that must have been delivered when all is quiet.
    """

    names = st.sampled_from(["s1", "s2", "d/x", "d/y", "c/x", "c/y"])

    @initialize(tick=st.sampled_from([4_000_000, SECOND, 2 * SECOND]))
    def begin(self, tick: int) -> None:
        self.folder = tempfile.mkdtemp()
        for name in ("d", "c"):
            os.mkdir(os.path.join(self.folder, name))
        watched: list[dict[str, object]] = [{"file": "s1"}, {"file": "s2"}, {"dir": "d"}, {"dir": "c", "on_change": True}]
        self.born: dict[str, int] = {}
        self.real = creation_time.creation_ns, folder_files.make_notify
        creation_time.creation_ns = self.born.get
        folder_files.make_notify = self.make_notify
        self.world = World(self.folder, watched, tick=tick)
        self.version = 0
        self.owed: dict[str, int] = {}
        self.copied: list[tuple[Due, Stamp | None, bytes]] = []

    def make_notify(self, path: str) -> bool:
        created = self.real[1](path)
        if created:
            os.utime(path, ns=(self.world.ns, self.world.ns))
        return created

    def put(self, name: str, mode: str) -> None:
        self.version += 1
        exists = os.path.exists(self.world.path(name))
        if not exists:
            self.born[self.world.path(name)] = self.world.ns // self.world.tick * self.world.tick
        self.world.write(name, b"%06d" % self.version, mode)
        if name.startswith("c/") or (name.startswith("d/") and not exists):
            self.owed[name] = self.version

    @rule(name=names)
    def rewrite(self, name: str) -> None:
        """Of the same size, in place."""
        data = b""
        if os.path.exists(self.world.path(name)):
            with open(self.world.path(name), "rb") as file:
                data = file.read()[:-6]
        self.put(name, "wb") if not data else self.put_after(name, data)

    def put_after(self, name: str, head: bytes) -> None:
        with open(self.world.path(name), "wb") as file:
            file.write(head)
        self.put(name, "ab")

    @rule(name=names)
    def append(self, name: str) -> None:
        self.put(name, "ab")

    @rule(name=names)
    def touch(self, name: str) -> None:
        self.world.touch(name)
        if os.path.exists(self.world.path(name)):
            self.owed[name] = self.version_of(name)

    def version_of(self, name: str) -> int:
        with open(self.world.path(name), "rb") as file:
            return int(file.read()[-6:])

    @rule(name=names)
    def delete(self, name: str) -> None:
        if os.path.exists(self.world.path(name)):
            os.unlink(self.world.path(name))
            self.owed.pop(name, None)

    @rule(name=names)
    def drop_notify(self, name: str) -> None:
        if os.path.exists(self.world.path(name) + ".notify") and self.world.memory.handled(self.world.path(name) + ".notify"):
            os.unlink(self.world.path(name) + ".notify")
            # Whoever removes it must have seen it handled; the model asks nothing for it any more.
            self.owed.pop(name, None)

    @rule(secs=st.sampled_from([0.001, 0.01, 0.3, 1.1, 2.5, 20.0]))
    def wait(self, secs: float) -> None:
        self.world.wait(secs)

    # No preconditions: whether an inode number is used again, hence what is due, may differ from run to run.

    @rule(everything=st.booleans())
    def scan_and_copy(self, everything: bool) -> None:
        if self.copied:
            return
        self.copied = [self.world.copy(due) for due in self.world.scan(everything=everything)]

    @rule(keep=st.integers(0, 3))
    def commit(self, keep: int) -> None:
        for copied in self.copied[keep:]:
            self.world.commit(copied)
        self.copied = []

    @rule()
    def scan_again_before_the_commit(self) -> None:
        self.world.scan()

    @rule()
    def restart(self) -> None:
        for name in list(self.owed):
            path = self.world.path(name)
            found = self.world.stat(path)
            assert found is not None
            # A child that died within the few milliseconds of a tick, and was started again much later.
            age = self.world.ns - found.mtime_ns
            if self.world.tick < SECOND and found == self.world.memory.source(path) and age > 10 * SECOND:
                del self.owed[name]
        self.world.restart()
        self.copied = []

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            for copied in self.copied:
                self.world.commit(copied)
            self.world.wait(5)
            self.world.quiet(limit=30)
            self.world.wait(5)
            self.world.quiet(limit=30)
            for name, version in self.owed.items():
                sent = [int(data[-6:]) for data in self.world.sent.get(self.world.path(name), [b"000000"])]
                assert sent[-1] >= version, f"{name}: version {version} was notified, the last one delivered is {sent[-1]}"
        finally:
            creation_time.creation_ns, folder_files.make_notify = self.real
            shutil.rmtree(self.folder)


EXAMPLES = 300 if os.environ.get("PYSUBTASK_FULL_SIZE") else 50
NothingNotifiedIsMissed.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=30)
TestNothingNotifiedIsMissed = NothingNotifiedIsMissed.TestCase


@pytest.mark.parametrize("tick", [1, 2 * SECOND], ids=["fine clock", "coarse clock"])
@pytest.mark.parametrize(
    "entry",
    [{"file": "d/a"}, {"file": "d/a", "on_change": True}, {"dir": "d", "on_change": True}],
    ids=["file", "changing file", "folder"],
)
def test_a_second_scan_for_a_rough_clock_takes_nothing_unsettled(tmp_path, entry, tick: int):
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{**entry, "settle_secs": 1}], tick=tick)
    world.quiet()
    world.write("d/a", b"whole")
    world.touch("d/a")
    assert world.round() == [("d/a", "notify")]
    assert world.round() == []
    world.wait(max(tick, SECOND // 20) / SECOND + 0.001)
    world.write("d/a", b"ha")
    for piece in (b"lf", b" of", b" it"):
        world.round()
        world.wait(0.6)
        world.write("d/a", piece, "ab")
    world.quiet(rechecks=True)
    assert world.sent[world.path("d/a")] == [b"whole", b"half of it"]


@pytest.mark.parametrize("entry", [{"file": "d/a"}, {"dir": "d", "notify_files": False}], ids=["file", "folder"])
def test_a_file_of_a_lost_snapshot_is_not_taken_amid_a_write(tmp_path, entry):
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [entry])
    world.write("d/a", b"whole")
    world.wait(10)
    assert world.round() == [("d/a", "start")]
    del world.memory.sources[world.path("d/a")]
    world.write("d/a", b"ha")
    world.watch.take_again(world.path("d/a"), world.ns / SECOND)
    assert world.round() == []
    world.wait(0.6)
    world.write("d/a", b"lf", "ab")
    assert world.quiet() == [("d/a", "start")]
    assert world.sent[world.path("d/a")] == [b"whole", b"half"]
    del world.memory.sources[world.path("d/a")]
    world.wait(10)
    world.watch.take_again(world.path("d/a"), world.ns / SECOND)
    assert world.round() == [("d/a", "start")], "at once, if it is quiet"


def test_a_left_over_file_is_not_taken_in_the_midst_of_a_write(tmp_path):
    """One that no entry watches, from before the start: it is sent when two checks a second apart agree."""
    (tmp_path / "d").mkdir()
    world = World(tmp_path, [{"file": "d/a"}])
    world.quiet()
    world.write("d/left", b"ha")
    world.watch.offer([world.path("d/left")])
    for piece in (b"lf", b" of", b" it"):
        assert world.round() == []
        world.wait(1)
        world.write("d/left", piece, "ab")
    assert world.quiet(rechecks=True)[:1] == [("d/left", "recheck")]
    assert world.sent[world.path("d/left")] == [b"half of it"]
    world.wait(10)
    world.write("d/other", b"whole")
    world.wait(1)
    world.watch.offer([world.path("d/other")])
    assert world.round() == [("d/other", "start")]


# -- folders that go while a second check is due -------------------------------------------------------------


def test_a_second_check_of_a_file_whose_folder_went_ends_nothing(tmp_path):
    entry = {"dir": str(tmp_path), "recursive": True, "notify_files": False, "settle_secs": 0.0}
    world = World(str(tmp_path), [entry], tick=SECOND)
    os.mkdir(world.path("sub"))
    world.write("sub/a.csv", b"1")
    assert ("sub/a.csv", "start") in world.round()
    assert world.watch.next_at(world.ns / SECOND) is not None, "a second look is due, as the clock is coarse"
    # In its place there is a link now, through which the same name shows another file.
    os.mkdir(world.path("other"))
    os.rename(world.path("sub"), world.path("gone"))
    world.wait(1)
    world.write("other/a.csv", b"other")
    os.symlink("other", world.path("sub"))
    for _ in range(4):
        world.wait(3)
        world.round()
