"""Folders inside watched folders, and patterns: what counts, what does not, and that nothing is missed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from pysubtask.common.entries import selects
from pysubtask.common.notify import Toucher, notify_name, read_stamp
from pysubtask.subtask.platform import creation_time
from pysubtask.subtask.watch import file_events
from pysubtask.subtask.watch.due import Due
from pysubtask.subtask.watch.inotify import Inotify
from pysubtask.subtask.watch.scan_times import FULL_SCAN_SECS
from tests.support.event_child import Child, both, source  # noqa: F401
from tests.support.helpers import wait_until
from tests.support.watched_world import SECOND, World, born_long_ago  # noqa: F401


def in_tree(tmp_path, *, skip: tuple[str, ...] = (), **options: object) -> World:
    (tmp_path / "t").mkdir()
    world = World(tmp_path, [{"dir": "t", "recursive": True, "settle_secs": 0, **options}], skip=skip)
    assert world.round() == []
    return world


def put(world: World, *names: str, data: bytes = b"1") -> None:
    for name in names:
        os.makedirs(os.path.dirname(world.path(name)), exist_ok=True)
        world.write(name, data)


# -- by looking, on a made-up clock ---------------------------------------------------------------------------


def test_files_at_any_depth_are_new_once(tmp_path):
    world = in_tree(tmp_path, settle_secs=1)
    put(world, "t/a", "t/x/b", "t/x/y/z/c", "t/empty/d")
    os.unlink(world.path("t/empty/d"))
    assert world.round() == []
    names = ["t/a", "t/x/b", "t/x/y/z/c"]
    assert sorted(world.quiet()) == [(name, "new") for name in names]
    assert all(os.path.exists(notify_name(world.path(name))) for name in names)
    world.wait(700)
    assert world.quiet() == []
    world.restart()
    assert world.quiet() == [], "a restart finds nothing new"
    put(world, "t/x/y/z/c", data=b"22")
    assert world.quiet() == []
    world.touch("t/x/y/z/c")
    assert world.quiet() == [("t/x/y/z/c", "notify")]


def test_trees_that_existed_at_the_start_and_changed_meanwhile(tmp_path):
    (tmp_path / "t" / "x").mkdir(parents=True)
    world = World(tmp_path, [{"dir": "t", "recursive": True}])
    put(world, "t/x/old", "t/x/y/deep")
    world.wait(10)
    assert sorted(world.round()) == [("t/x/old", "start"), ("t/x/y/deep", "start")]
    world.wait(700)
    world.restart()
    put(world, "t/x/y/deep", data=b"22")
    put(world, "t/x/y/fresh")
    assert sorted(world.quiet()) == [("t/x/y/deep", "start"), ("t/x/y/fresh", "start")]


def test_a_tree_that_is_renamed_is_new_under_its_new_name(tmp_path):
    world = in_tree(tmp_path)
    put(world, "t/a/f", "t/a/b/g")
    world.quiet()
    world.wait(10)
    os.rename(world.path("t/a"), world.path("t/c"))
    assert sorted(world.quiet())[:2] == [("t/c/b/g", "notify"), ("t/c/f", "notify")], "their notify files came along"
    assert sorted(world.watch.gone()) == [world.path("t/a/b/g"), world.path("t/a/f")]
    world.wait(10)
    os.rename(world.path("t/c/b"), world.path("t/b"))
    assert world.quiet() == [("t/b/g", "notify")]
    assert world.watch.gone() == [world.path("t/c/b/g")]


def test_a_tree_that_is_renamed_without_notify_files(tmp_path):
    world = in_tree(tmp_path, notify_files=False)
    put(world, "t/a/f", "t/a/b/g")
    world.quiet()
    world.wait(10)
    os.rename(world.path("t/a"), world.path("t/c"))
    assert sorted(world.quiet()) == [("t/c/b/g", "new"), ("t/c/f", "new")]


def test_what_is_due_in_a_tree_that_goes_is_not_due_any_more(tmp_path):
    world = in_tree(tmp_path)
    put(world, "t/a/b/f")
    world.touch("t/a/b/f")
    assert [due.path for due in world.scan()] == [world.path("t/a/b/f")]
    os.rename(world.path("t/a"), world.path("t/c"))
    assert [due.path for due in world.scan()] == [world.path("t/c/b/f")]
    shutil.rmtree(world.path("t/c"))
    assert world.scan() == []
    assert world.path("t/c/b/f") in world.watch.gone()
    assert world.quiet() == []


def test_a_tree_that_settles_and_goes(tmp_path):
    world = in_tree(tmp_path, settle_secs=5)
    put(world, "t/a/f")
    world.round()
    os.rename(world.path("t/a"), world.path("t/b"))
    world.wait(3)
    assert world.round() == []
    world.wait(3)
    assert world.round() == [], "its time begins anew with the new name"
    world.wait(3)
    assert world.round() == [("t/b/f", "new")]


def test_a_folder_that_is_recreated_under_the_same_name(tmp_path):
    world = in_tree(tmp_path)
    put(world, "t/a/same", "t/a/b/gone")
    world.quiet()
    world.wait(10)
    os.rename(world.path("t/a"), world.path("away"))
    put(world, "t/a/same", "t/a/other", data=b"2")
    assert sorted(world.quiet()) == [("t/a/other", "new"), ("t/a/same", "new")]
    assert world.watch.gone() == [world.path("t/a/b/gone")]
    assert world.sent[world.path("t/a/same")] == [b"1", b"2"]


def test_a_root_that_goes_and_comes_back_is_as_it_was(tmp_path):
    world = in_tree(tmp_path)
    put(world, "t/a/f")
    world.quiet()
    world.wait(10)
    os.rename(world.path("t"), world.path("away"))
    assert world.quiet() == [] and world.watch.gone() == []
    os.rename(world.path("away"), world.path("t"))
    assert world.quiet() == []


def test_links_to_folders_are_not_followed_and_lead_nowhere(tmp_path):
    world = in_tree(tmp_path)
    put(world, "t/a/f", "out/secret")
    for name, target in [("out", "../out"), ("up", ".."), ("here", "."), ("a/up", "../.."), ("a/twin", "../a")]:
        os.symlink(target, world.path("t/" + name))
    os.symlink("../../out/secret", world.path("t/a/file"))
    world.touch("t/out/secret")
    assert world.quiet() == [("t/a/f", "new")]


def test_a_root_behind_a_link(tmp_path):
    (tmp_path / "real" / "bak").mkdir(parents=True)
    os.symlink("real", tmp_path / "t")
    world = World(tmp_path, [{"dir": "t", "recursive": True, "settle_secs": 0}], skip=(str(tmp_path / "real" / "bak"),))
    put(world, "t/a/f", "t/bak/no")
    assert world.quiet() == [("t/a/f", "start")]


def test_folders_that_are_never_watched(tmp_path):
    (tmp_path / "t").mkdir()
    watched = [{"dir": "t", "recursive": True, "settle_secs": 0}, {"dir": "t/own/deep", "as": "own"}, {"dir": "t/logs/box"}]
    world = World(tmp_path, watched, skip=(str(tmp_path / "t" / "upload" / "ftp"),))
    world.watch = type(world.watch)(
        world.entries,
        world.memory,
        (str(tmp_path / "t" / "upload" / "ftp"),),
        lambda: None,
        False,
        nested=(str(tmp_path / "t" / "logs"), str(tmp_path / "t" / "log.txt")),
        stat=world.stat,
        wall=lambda: world.ns,
    )
    put(world, "t/upload/ftp/no", "t/upload/yes", "t/.pysubtask/main/no", "t/a/.pysubtask/other/no", "t/logs/no", "t/logs/b/no")
    put(world, "t/log.txt", "t/own/yes", "t/own/deep/own", "t/own/deep/er/no", "t/.hidden/yes", "t/logs/box/own")
    world.touch("t/logs/no")
    world.touch("t/log.txt")
    world.wait(5)
    dues = world.scan()
    assert sorted((os.path.relpath(due.path, world.path("t")), due.entry_index) for due in dues) == [
        (".hidden/yes", 0),
        ("logs/box/own", 2),
        ("own/deep/own", 1),
        ("own/yes", 0),
        ("upload/yes", 0),
    ]


def test_a_folder_named_as_one_that_is_never_watched_comes_later(tmp_path):
    world = in_tree(tmp_path, skip=(str(tmp_path / "t" / "bak"),))
    put(world, "t/bak/no")
    world.touch("t/bak/no")
    assert world.quiet() == []
    os.rename(world.path("t/bak"), world.path("t/yes"))
    assert sorted(world.quiet()) == [("t/yes/no", "notify")]
    os.rename(world.path("t/yes"), world.path("t/bak"))
    assert world.quiet() == []


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("notify_files", [False, True])
def test_what_the_patterns_leave_out_is_never_due(tmp_path, recursive, notify_files):
    options = {"include": ["*.csv", "raw/*"], "exclude": ["*.tmp.csv", "raw/*.tmp", "old*"], "on_change": True}
    (tmp_path / "t" / "raw").mkdir(parents=True)
    world = World(tmp_path, [{"dir": "t", "recursive": recursive, "settle_secs": 0, "notify_files": notify_files, **options}])
    names = ["t/a.csv", "t/a.txt", "t/a.tmp.csv", "t/old.csv", "t/raw/any", "t/raw/x.tmp", "t/raw/a.csv", "t/older/a.csv"]
    put(world, *names)
    expected = ["t/a.csv", "t/raw/a.csv", "t/raw/any"] if recursive else ["t/a.csv"]
    world.wait(5)
    assert sorted(name for name, _ in world.quiet()) == expected
    created = [name for name in names if os.path.exists(notify_name(world.path(name)))]
    assert created == ([name for name in names if name in expected] if notify_files else []), (
        "no notify file for what does not count"
    )
    world.wait(5)
    for name in names:
        world.write(name, b"22")
        world.touch(name)
        world.write(name + ".hold", b"")
    assert sorted(name for name, _ in world.quiet()) == expected


def test_a_named_file_counts_though_its_folder_excludes_it(tmp_path):
    (tmp_path / "t" / "x").mkdir(parents=True)
    world = World(tmp_path, [{"dir": "t", "recursive": True, "exclude": "*"}, {"file": "t/x/named"}])
    put(world, "t/x/named", "t/x/other")
    assert world.quiet() == [("t/x/named", "start")]
    world.touch("t/x/named")
    world.touch("t/x/other")
    assert world.quiet() == [("t/x/named", "notify")]


def test_a_folder_that_a_pattern_leaves_out_is_not_even_listed(tmp_path):
    world = in_tree(tmp_path, exclude=["cache/*", "*.d/x*"])
    put(world, "t/cache/deep/no", "t/a.d/yes", "t/a.d/xno", "t/b/cache/yes")
    assert sorted(world.quiet()) == [("t/a.d/yes", "new"), ("t/b/cache/yes", "new")]
    assert world.watch._scans.folders.get(world.path("t/cache")) is None
    assert world.watch._scans.folders.get(world.path("t/a.d")) is not None


def test_what_is_too_deep_for_a_path_harms_nothing(tmp_path):
    world = in_tree(tmp_path)
    here = os.getcwd()
    try:
        os.chdir(tmp_path / "t")
        for _ in range(30):
            os.mkdir("n" * 200)
            os.chdir("n" * 200)
            with open("f", "w") as file:
                file.write("1")
    finally:
        os.chdir(here)
    put(world, "t/f")
    # What can be named at all is taken: 4095 bytes of path.
    assert len(world.quiet()) == 1 + (4095 - len(world.path("t")) - len("/f")) // 201
    assert world.quiet() == []


def test_a_mount_that_leads_round_in_a_circle(tmp_path, monkeypatch):
    """As a bind mount shows it: a folder inside with the identity of one above."""
    world = in_tree(tmp_path)
    os.makedirs(world.path("t/a/round"))
    put(world, "t/a/round/f", "t/a/g")
    real, root = os.lstat, os.lstat(world.path("t/a"))
    monkeypatch.setattr(os, "lstat", lambda path, **more: root if str(path).endswith("round") else real(path, **more))
    assert world.quiet() == [("t/a/g", "new")]


def test_polling_a_tree_takes_a_25th_of_the_time(tmp_path):
    world = in_tree(tmp_path)
    put(world, *[f"t/{n}/f" for n in range(10)])
    world.quiet()
    scans, spent, count = world.watch._scans, 0.0, 0

    def timer() -> float:
        nonlocal spent
        spent += 0.19
        return spent

    def counted(*given):
        nonlocal count
        for scan in real(*given):
            count += scan.folder.inside is None
            yield scan

    real, scans.due_scans, scans._timer = scans.due_scans, counted, timer
    world.wait(10)
    world.round()
    count = 0
    for _ in range(200):
        world.wait(0.5)
        world.round()
    assert count == 20, "a look at the tree takes 0.19 s, so there is one every 4.75 s"


class Model:
    """Random changes in a tree while a child scans, copies, commits and is restarted; then everything that counts must
    have been delivered as it was when it was notified last, and nothing else ever been due."""

    names = ("a", "b.csv", "c.tmp", "d.csv")
    folders = ("", "x/", "y/", "x/y/", "x/cache/", "bak/", ".pysubtask/", "x/y/z/")

    def __init__(self, folder, seed: int) -> None:
        self.random = random.Random(seed)
        options = self.random.choice(
            [{}, {"include": "*.csv"}, {"exclude": ["*.tmp", "x/cache/*"]}, {"include": "x/*", "exclude": "*p", "on_change": True}]
        )
        os.mkdir(os.path.join(folder, "t"))
        watched = [{"dir": "t", "recursive": True, "settle_secs": self.random.choice([0, 1]), **options}]
        self.world = World(str(folder), watched, skip=(os.path.join(folder, "t", "bak"),))
        self.entry = self.world.entries[0]
        self.owed: dict[str, int] = {}
        self.version = 0
        self.born: dict[str, int] = {}
        self.copied: list[tuple] = []
        self.deeds: list[tuple] = []

    def counts(self, name: str) -> bool:
        folders = name.split("/")[:-1]
        return selects(self.entry, name) and folders[:1] != ["bak"] and ".pysubtask" not in folders

    def path(self, name: str) -> str:
        return self.world.path("t/" + name)

    def step(self) -> None:
        deeds = {"write": 4, "touch": 3, "move": 2, "remove": 1, "rmtree": 1, "mkdir": 1, "restart": 1, "poll": 5, "wait": 3}
        (deed,) = self.random.choices([*deeds], [*deeds.values()])
        name = self.random.choice(self.folders) + self.random.choice(self.names)
        self.deeds.append((deed, name))
        getattr(self, deed)(name)

    def owe(self, name: str) -> None:
        if self.counts(name):
            with open(self.path(name), "rb") as file:
                self.owed[name] = int(file.read())

    def write(self, name: str) -> None:
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        exists = os.path.exists(self.path(name))
        if not exists:
            self.born[self.path(name)] = self.world.ns
        self.version += 1
        # Clocks of low resolution are the subject of test_watcher.
        self.world.wait(0.001)
        self.world.write("t/" + name, b"%09d" % self.version)
        if not exists or self.entry.on_change:
            self.owe(name)

    def touch(self, name: str) -> None:
        if os.path.isdir(os.path.dirname(self.path(name))):
            self.world.touch("t/" + name)
            if os.path.exists(self.path(name)):
                self.owe(name)

    def mkdir(self, name: str) -> None:
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)

    def remove(self, name: str) -> None:
        if os.path.isfile(self.path(name)):
            os.unlink(self.path(name))
            self.owed.pop(name, None)

    def rmtree(self, name: str) -> None:
        folder = os.path.dirname(name)
        if folder:
            shutil.rmtree(self.path(folder), ignore_errors=True)
            self.forget(folder)

    def forget(self, folder: str) -> None:
        for name in [name for name in self.owed if name.startswith(folder + "/")]:
            del self.owed[name]

    def move(self, name: str) -> None:
        """A folder to another name, with all in it, also to a place that is not watched and from there."""
        old, new = (self.random.choice(self.folders[1:])[:-1] for _ in range(2))
        if not os.path.isdir(self.path(old)) or (new + "/").startswith(old + "/"):
            return
        if os.path.lexists(self.path(new)) or not os.path.isdir(os.path.dirname(self.path(new))):
            return
        os.rename(self.path(old), self.path(new))
        self.forget(old)
        for folder, _, names in os.walk(self.path(new)):
            for each in names:
                if each.endswith(".notify"):
                    continue
                path = os.path.join(folder, each)
                self.born[path] = self.born.get(path.replace(self.path(new), self.path(old), 1), 0)
                known = self.world.memory.source(path)
                # Moved there and back, with nobody looking, is nothing.
                if known is None or known.inode != os.stat(path).st_ino:
                    self.owe(os.path.relpath(path, self.path("")))

    def poll(self, name: str) -> None:
        if self.copied:
            keep = self.random.randrange(3)
            for copied in self.copied[keep:]:
                self.world.commit(copied)
            self.copied = []
            self.world.memory_forget(self.world.watch.gone())
            return
        dues = self.world.scan(everything=self.random.random() < 0.2)
        self.check(dues)
        self.copied = [self.world.copy(due) for due in dues]

    def check(self, dues: list[Due]) -> None:
        for due in dues:
            assert self.counts(os.path.relpath(due.path, self.path("")).replace(os.sep, "/")), due

    def restart(self, name: str) -> None:
        self.world.restart()
        self.copied = []

    def wait(self, name: str) -> None:
        self.world.wait(self.random.choice([0.001, 0.3, 1.1, 20]))

    def end(self) -> None:
        for copied in self.copied:
            self.world.commit(copied)
        for _ in range(2):
            self.world.wait(5)
            for _ in range(20):
                dues = self.world.scan()
                self.check(dues)
                for due in dues:
                    self.world.commit(self.world.copy(due))
                self.world.memory_forget(self.world.watch.gone())
                self.world.wait(1.1)
                if not dues and self.world.watch.next_at(0) is None:
                    break
            else:
                raise AssertionError("it never comes to rest")
        for name, version in self.owed.items():
            sent = [int(data) for data in self.world.sent.get(self.path(name), []) if data]
            assert sent and sent[-1] >= version, f"{name}: version {version} was notified, delivered are {sent}"


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_in_a_tree_nothing_is_missed(tmp_path, seed, monkeypatch):
    model = Model(tmp_path, seed)
    monkeypatch.setattr(creation_time, "creation_ns", model.born.get)
    try:
        for _ in range(60):
            model.step()
        model.end()
    except AssertionError as exc:
        raise AssertionError(f"{exc}\nafter {model.deeds}") from exc


# -- with the events of the real system -----------------------------------------------------------------------


def tree(folder, **more) -> Child:
    (folder / "t").mkdir()
    return Child(folder, [{"dir": "t", "recursive": True, "settle_secs": 0, **more}])


@both
def test_a_file_right_after_its_folder_is_not_missed(tmp_path):
    with tree(tmp_path) as child:
        assert child.watch.mode == "events"
        for number in range(30):
            (tmp_path / "t" / f"n{number}" / "deep").mkdir(parents=True)
            (tmp_path / "t" / f"n{number}" / "deep" / f"f{number}").write_text("1")
            if number % 3:
                child.poll()
        child.until(*[(f"f{number}", "new") for number in range(30)])
        (tmp_path / "t" / "n7" / "deep" / "late").write_text("1")
        child.until(("late", "new"))
        Toucher().touch(str(tmp_path / "t" / "n7" / "deep" / "late.notify"))
        child.until(("late", "notify"))
        assert (child.watch.mode, child.watch.mode_reason) == ("events", "")


@pytest.mark.slow
@both
def test_trees_that_are_moved_in_renamed_moved_out_and_removed(tmp_path):
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b" / "f").write_text("1")
    with tree(tmp_path, notify_files=False) as child:
        os.rename(tmp_path / "in", tmp_path / "t" / "in")
        child.until(("f", "new"))
        os.rename(tmp_path / "t" / "in" / "a", tmp_path / "t" / "c")
        child.until(("f", "new"))
        (tmp_path / "t" / "c" / "b" / "g").write_text("1")
        child.until(("g", "new"))
        os.rename(tmp_path / "t" / "c", tmp_path / "away")
        (tmp_path / "away" / "b" / "no").write_text("1")
        child.nothing(0.2)
        left = {str(tmp_path / "t" / "c" / "b" / name) for name in "fg"}
        wait_until(lambda: child.poll() is not None and (left.difference_update(child.watch.gone()), not left)[1])
        os.rename(tmp_path / "away", tmp_path / "t" / "c")
        child.memory.sources.clear()
        child.until(("f", "new"), ("g", "new"), ("no", "new"))
        shutil.rmtree(tmp_path / "t" / "c")
        (tmp_path / "t" / "c" / "b").mkdir(parents=True)
        (tmp_path / "t" / "c" / "b" / "again").write_text("1")
        child.until(("again", "new"))
        shutil.rmtree(tmp_path / "t")
        child.nothing(0.2)
        (tmp_path / "t" / "c").mkdir(parents=True)
        (tmp_path / "t" / "c" / "back").write_text("1")
        wait_until(lambda: (child.poll(), [name for name, _ in child.found] == ["back"])[1])
        assert child.watch.mode == "events"


@pytest.mark.slow
def test_what_does_not_count_does_not_even_wake(tmp_path):
    with tree(tmp_path, include="*.csv", exclude="cache/*") as child:
        for name in ("cache/a.csv", "x/y/a.csv"):
            (tmp_path / "t" / name).parent.mkdir(parents=True)
            (tmp_path / "t" / name).write_text("1")
        child.until(("a.csv", "new"))
        child.nothing()
        child.woken.clear()
        for name in ("cache/b.csv", "cache/b.csv.notify", "x/y/a.txt", "x/y/a.txt.notify", "a.txt"):
            (tmp_path / "t" / name).write_text("1")
        assert not child.woken.wait(0.3)
        subprocess.run(["touch", tmp_path / "t" / "x" / "y" / "a.csv.notify"], check=True)
        child.until(("a.csv", "notify"))


@both
def test_a_named_file_inside_a_tree_whose_folder_comes_and_goes(tmp_path):
    (tmp_path / "t").mkdir()
    watched = [{"dir": "t", "recursive": True, "settle_secs": 0, "notify_files": False}, {"file": "t/x/named"}]
    notify = str(tmp_path / "t" / "x" / "named.notify")
    with Child(tmp_path, watched) as child:
        for number in range(3):
            (tmp_path / "t" / "x").mkdir()
            (tmp_path / "t" / "x" / f"f{number}").write_text("1")
            child.until((f"f{number}", "new"))
            (tmp_path / "t" / "x" / f"g{number}").write_text("1")
            child.until((f"g{number}", "new"))
            (tmp_path / "t" / "x" / "named").write_text(str(number))
            Toucher().touch(notify)
            # For the folder it is a new file too, whoever sees it first.
            wait_until(lambda: child.poll() is not None and child.memory.stamps.get(notify) == read_stamp(notify))
            child.found.clear()
            assert child.watch.mode == "events"
            shutil.rmtree(tmp_path / "t" / "x")
            if number:
                child.poll()
            for path in child.watch.gone():
                child.memory.sources.pop(path, None)
            child.found.clear()


def test_where_not_every_folder_can_be_watched(tmp_path, monkeypatch):
    real, room = Inotify.add, 3

    def add(self, path: str) -> None:
        if not self.has(path) and len(self._watches) >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, path)

    monkeypatch.setattr(Inotify, "add", add)
    with tree(tmp_path) as child:
        for number in range(6):
            (tmp_path / "t" / str(number)).mkdir()
            (tmp_path / "t" / str(number) / f"first{number}").write_text("1")
        child.until(*[(f"first{number}", "new") for number in range(6)])
        assert child.watch.mode == "polling"
        assert "max_user_watches" in child.watch.mode_reason and "[4] folders" in child.watch.mode_reason
        for number in range(6):
            (tmp_path / "t" / str(number) / f"more{number}").write_text("1")
            (tmp_path / "t" / str(number) / "sub").mkdir()
            (tmp_path / "t" / str(number) / "sub" / f"sub{number}").write_text("1")
        expected = {f"{kind}{number}" for number in range(6) for kind in ("more", "sub")}
        wait_until(lambda: child.poll() is not None and {name for name, _ in child.found} == expected)
        room = 100
        found = child.watch._scans.folders
        assert not all(folder.live for folder in found.get(str(tmp_path / "t")).tree())
        child.watch.scan(time.monotonic() + file_events.RETRY_SECS + 1)
        child.watch.scan(time.monotonic() + 2 * file_events.RETRY_SECS + 2)
        assert child.watch.mode == "events"
        assert all(folder.live for folder in found.get(str(tmp_path / "t")).tree())


@pytest.mark.slow
@both
def test_a_tree_that_grows_during_the_scan(tmp_path):
    """Another thread makes, moves and renames folders while the child scans: each file is due under its last name."""
    rolls, left, errors = random.Random(7), set(), []
    with tree(tmp_path, notify_files=False) as child:
        top = tmp_path / "t"

        def busy() -> None:
            try:
                for number in range(150):
                    folder = top / f"a{number % 7}" / f"b{number % 5}" / f"c{number}"
                    folder.mkdir(parents=True)
                    (folder / f"f{number}").write_text("1")
                    if rolls.random() < 0.4:
                        os.rename(folder, top / f"moved{number}")
                        folder = top / f"moved{number}"
                        (folder / f"g{number}").write_text("1")
                        left.add(str(folder / f"g{number}"))
                    left.add(str(folder / f"f{number}"))
            except OSError as exc:
                errors.append(exc)

        thread = threading.Thread(target=busy)
        thread.start()
        due: set[str] = set()

        def all_due() -> bool:
            due.update(each.path for each in child.poll())
            return not thread.is_alive() and due >= left

        wait_until(all_due, 40)
        thread.join()
        assert not errors and len(left) > 150
        child.watch.stop()


def test_an_idle_scan_of_a_large_tree_touches_no_file(tmp_path, monkeypatch):
    for number in range(300):
        (tmp_path / "t" / str(number % 20) / str(number)).mkdir(parents=True)
        (tmp_path / "t" / str(number % 20) / str(number) / "f").write_text("1")
    child = Child(tmp_path, [{"dir": "t", "recursive": True, "settle_secs": 0, "notify_files": False}])
    with child:
        wait_until(lambda: child.poll() is not None and len(child.found) == 300)
        # The second checks of young files are over.
        wait_until(lambda: child.poll() is not None and child.watch.next_at(0) is None)
        calls: list[object] = []
        for name in ("stat", "lstat", "scandir"):
            monkeypatch.setattr(os, name, counting(getattr(os, name), calls))
        for _ in range(10):
            child.poll()
        assert set(calls) <= {str(tmp_path / "t")} and len(calls) <= 20
        child.watch.scan(time.monotonic() + FULL_SCAN_SECS + 1)
        assert len([path for path in calls if path == str(tmp_path / "t" / "3")]) == 1, "by name, without a stat of each"
        assert len(calls) < 2 * 321 + 20


@pytest.mark.slow
def test_cost_of_a_full_folder(tmp_path):
    (tmp_path / "t").mkdir()
    for number in range(8_000):
        os.close(os.open(tmp_path / "t" / f"f{number}", os.O_CREAT | os.O_WRONLY))
    child = Child(tmp_path, [{"dir": "t", "recursive": True, "settle_secs": 0, "notify_files": False, "exclude": "*.tmp"}])
    with child:
        wait_until(lambda: child.poll() is not None and len(child.found) == 8_000, 60)
        wait_until(lambda: child.poll() is not None and child.watch.next_at(0) is None, 60)
        best = min(timed(child.poll) for _ in range(10))
        assert best < 0.005
        child.watch._scans._times[str(tmp_path / "t")].scan.wait_until(0)
        assert timed(child.poll) < 1


def counting(real, calls: list):
    return lambda path, **more: (calls.append(path), real(path, **more))[1]


def timed(call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
