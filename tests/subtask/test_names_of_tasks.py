"""Whose a name on a server is, over all tasks of one user: one at a time, whoever lives, dies and comes back."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.common.events import read_events
from pysubtask.common.status import read_status
from pysubtask.subtask.spool import living_tasks
from pysubtask.subtask.spool.name_claims import NameClaims, Other
from tests.support.helpers import wait_until
from tests.support.station import Station

HERE = "sftp://me@Host:22/in"


@pytest.fixture(autouse=True)
def own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    return tmp_path / "registry"


class Tasks:
    """Some tasks with a folder and a file of the same name each; which of them live is for the test to say."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, 1000.0
        self.living: set[str] = set()
        self.expected: set[str] = set()
        self.opened: list[NameClaims] = []

    def path(self, task: str, name: str = "now.csv") -> str:
        found = self.root / task / name
        found.parent.mkdir(exist_ok=True)
        found.touch()
        return str(found)

    def state(self, task: str) -> str:
        return str(self.root / task / ".pysubtask" / task / "ftp")

    def start(self, task: str, destination: str = HERE, names: tuple[str, ...] = (), **more: bool) -> NameClaims:
        os.makedirs(self.state(task), exist_ok=True)
        self.living.add(self.state(task))
        claims = NameClaims(
            destination,
            self.state(task),
            f"{task}/ftp",
            lambda: self.now,
            lives=self.living.__contains__,
            expects=self.expected.__contains__,
            **more,
        )
        self.opened.append(claims)
        self.regained = claims.begin({name: self.path(task, os.path.basename(name)) for name in names})
        return claims

    def end(self, task: str) -> None:
        self.living.discard(self.state(task))
        self.now += 2  # what was looked at a moment ago is not looked at again


@pytest.fixture
def tasks(tmp_path: Path):
    every = Tasks(tmp_path)
    yield every
    for each in every.opened:
        each.close()


def test_the_first_living_task_has_a_name_and_keeps_it(tasks):
    one, two = tasks.start("a"), tasks.start("b")
    assert one.take("now.csv", tasks.path("a")) == (None, False)
    assert two.take("now.csv", tasks.path("b")) == (Other("a/ftp", tasks.path("a")), False)
    assert one.take("now.csv", tasks.path("a")) == (None, False)
    assert two.take("other.csv", tasks.path("b", "other.csv")) == (None, False)


@pytest.mark.parametrize("other", ["sftp://me@host:22/out", "sftp://you@host:22/in", "sftp://me@host:23/in", "ftp://me@host:22/in"])
def test_another_place_is_no_clash(tasks, other):
    one, two = tasks.start("a"), tasks.start("b", other)
    one.take("now.csv", tasks.path("a"))
    assert two.take("now.csv", tasks.path("b")) == (None, False)


def test_one_place_by_two_addresses_is_one(tasks):
    one, two = tasks.start("a", "sftp://me@host:22/in"), tasks.start("b", "sftp://me@HOST:22/in/deep")
    one.take("deep/now.csv", tasks.path("a"))
    assert two.take("now.csv", tasks.path("b"))[0] == Other("a/ftp", tasks.path("a"))


def test_a_server_that_knows_no_upper_and_lower_case(tasks):
    one, two = (tasks.start(name, "dropbox://key/x/", case_sensitive=False) for name in "ab")
    one.take("Now.CSV", tasks.path("a"))
    assert two.take("now.csv", tasks.path("b"))[0] is not None


def test_one_and_the_same_file_is_no_clash(tasks):
    one, two = tasks.start("a"), tasks.start("b")
    one.take("now.csv", tasks.path("a"))
    assert two.take("now.csv", tasks.path("a")) == (None, False)


def test_a_name_passes_on_when_its_task_ends_and_returns_with_it(tasks):
    one, two = tasks.start("a"), tasks.start("b")
    one.take("now.csv", tasks.path("a"))
    two.take("now.csv", tasks.path("b"))
    tasks.end("a")
    # What stands on the server is the other one's.
    assert two.take("now.csv", tasks.path("b")) == (None, True)
    assert two.take("now.csv", tasks.path("b")) == (None, False)
    again = tasks.start("a", names=("now.csv",))
    assert tasks.regained == ["now.csv"]
    assert two.take("now.csv", tasks.path("b"))[0] == Other("a/ftp", tasks.path("a"))
    assert again.take("now.csv", tasks.path("a")) == (None, False)


def test_a_name_is_free_when_the_entry_or_the_file_is_another(tasks):
    one, two = tasks.start("a"), tasks.start("b")
    for name in ("now.csv", "later.csv", "gone.csv"):
        one.take(name, tasks.path("a", name))
    one.release(["gone.csv"])
    assert two.take("gone.csv", tasks.path("b", "gone.csv"))[0] is None
    os.unlink(tasks.path("a", "later.csv"))
    assert two.take("later.csv", tasks.path("b", "later.csv"))[0] is None
    assert two.take("now.csv", tasks.path("b"))[0] is not None
    tasks.start("a", names=("renamed.csv",))  # its entry has another 'as' now
    assert two.take("now.csv", tasks.path("b"))[0] is None


def test_of_a_released_name_nothing_is_left(tasks):
    one, two = tasks.start("a"), tasks.start("b")
    one.take("shared.csv", tasks.path("a", "shared.csv"))
    two.take("shared.csv", tasks.path("b", "shared.csv"))
    one.take("gone.csv", tasks.path("a", "gone.csv"))
    one.release(["gone.csv", "shared.csv"])
    with contextlib.closing(sqlite3.connect(one.path)) as db:
        (claims,) = db.execute("SELECT COUNT(*) FROM claim").fetchone()
        assert (claims, [bytes(row[0])[-10:] for row in db.execute("SELECT name FROM last")]) == (1, [b"shared.csv"])


def test_after_boot_a_task_that_ran_before_is_waited_for(tasks):
    one = tasks.start("a")
    one.take("now.csv", tasks.path("a"))
    tasks.end("a")
    tasks.expected.add(tasks.state("a"))
    two = tasks.start("b")
    assert two.take("now.csv", tasks.path("b"))[0] is not None
    tasks.now += living_tasks.BOOT_SECS
    assert two.take("now.csv", tasks.path("b")) == (None, True)


def test_a_task_whose_state_is_gone_has_nothing(tasks):
    one = tasks.start("a")
    one.take("now.csv", tasks.path("a"))
    tasks.end("a")
    tasks.expected.add(tasks.state("a"))
    two = tasks.start("b")
    shutil.rmtree(tasks.state("a"))
    assert two.take("now.csv", tasks.path("b"))[0] is None
    tasks.start("c")
    with sqlite3.connect(two.path) as db:
        assert db.execute("SELECT task FROM claim").fetchall() == [("b/ftp",)]


def test_a_task_whose_state_was_moved_keeps_its_turn(tasks):
    """Its names are not free for one that has waited for them, nor has anybody else sent to them."""
    first, second = tasks.start("a"), tasks.start("b")
    assert first.take("now.csv", tasks.path("a")) == (None, False)
    assert second.take("now.csv", tasks.path("b"))[0] is not None
    tasks.end("a")
    tasks.path("new")
    moved = tasks.start("new")
    moved.moved(tasks.state("a"))
    assert moved.begin({"now.csv": tasks.path("a")}) == [], "it is as it was left"
    assert moved.take("now.csv", tasks.path("a")) == (None, False)
    assert second.take("now.csv", tasks.path("b"))[0] == Other("new/ftp", tasks.path("a"))


def test_a_damaged_file_is_created_anew_or_nothing_waits_for_it(tasks, own_registry, monkeypatch):
    one = tasks.start("a")
    one.close()
    for suffix in ("", "-wal", "-shm"):
        Path(one.path + suffix).write_bytes(b"no database " * 500)
    two = tasks.start("b")
    assert two.take("now.csv", tasks.path("b")) == (None, False)
    three = tasks.start("c")
    assert three.take("now.csv", tasks.path("c"))[0] == Other("b/ftp", tasks.path("b"))
    (own_registry / "file").write_text("")
    monkeypatch.setenv(registry.VARIABLE, str(own_registry / "file"))
    four = tasks.start("d")
    assert four.problem and four.take("now.csv", tasks.path("d")) == (None, False) and four.owner_of("now.csv", "x") is None


def test_the_files_are_private(tasks):
    one = tasks.start("a")
    one.take("now.csv", tasks.path("a"))
    assert os.stat(one.path).st_mode & 0o077 == 0 and os.stat(os.path.dirname(one.path)).st_mode & 0o077 == 0


# -- whole stations --------------------------------------------------------------------------------------------------


class Pair:
    """Two stations with one folder as their server."""

    def __init__(self, root: Path, *entries: list[dict]) -> None:
        (root / "server").mkdir()
        self.stations = []
        for number, given in enumerate(entries):
            folder = root / f"task{number}"
            folder.mkdir()
            (folder / "data").mkdir()
            (folder / "server").symlink_to(root / "server")
            own = [
                {key: str(folder / "data" / value) if key in ("file", "dir") else value for key, value in entry.items()}
                for entry in given
            ]
            self.stations.append(Station(folder, own, TaskName=f"t{number}"))
        self.server = root / "server"
        for one in self.stations:
            one.server = self.server

    def start(self, number: int) -> Station:
        one = self.stations[number]
        one.master = one.make()
        one.master.start()
        self.pid(number)
        return one

    def state(self, number: int) -> str:
        return str(self.stations[number].data / ".pysubtask" / f"t{number}" / "folder_child")

    def pid(self, number: int) -> None:
        kinds = lambda: [event.kind for event in read_events(self.state(number))]  # noqa: E731
        wait_until(lambda: "connected" in kinds() or "clash" in kinds(), what="a child")

    def clash(self, number: int) -> dict:
        return wait_until(
            lambda: next((event.fields for event in read_events(self.state(number)) if event.kind == "clash"), None), what="a clash"
        )

    def shows(self, name: str, text: str) -> None:
        def same() -> bool:
            for one in self.stations:
                one.master.check_pending_notifications()
            return (self.server / name).exists() and (self.server / name).read_text() == text

        wait_until(same, 40, f"{text!r} in {name}")

    def close(self) -> None:
        for one in self.stations:
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "dir"])
def test_two_tasks_take_no_turns_and_the_file_goes_when_one_ends(tmp_path: Path, kind: str):
    entry = {"file": "now.csv"} if kind == "file" else {"dir": ".", "settle_secs": 0.1}
    pair = Pair(tmp_path, [entry], [entry])
    try:
        one, two = pair.stations
        one.write("now.csv", "one")
        one = pair.start(0)
        pair.shows("now.csv", "one")
        two.write("now.csv", "two")
        two.write("own.csv", "own")
        two = pair.start(1)
        reason = pair.clash(1)["reason"]
        for words in (str(one.data / "now.csv"), "t0/folder_child", "t1/folder_child"):
            assert words in reason
        assert pair.clash(1)["path"] == str(two.data / "now.csv")
        if kind == "dir":
            pair.shows("own.csv", "own")  # the rest goes on
        page = wait_until(lambda: (page_now := read_status(pair.state(1)) or {}).get("cannot_read") and page_now, what="the page")
        assert [(row["path"], row["kind"]) for row in page["cannot_read"]] == [(str(two.data / "now.csv"), "clash")]
        assert (pair.server / "now.csv").read_text() == "one"
        one.master.stop()
        pair.shows("now.csv", "two")
        # The first is back: the name is its own again, and so is what stands there.
        pair.start(0)
        pair.shows("now.csv", "one")
        two.write("now.csv", "two again")
        two.notify("now.csv")
        wait_until(lambda: [event.kind for event in read_events(pair.state(1))].count("clash") >= 2, what="another clash")
        assert (pair.server / "now.csv").read_text() == "one"
    finally:
        pair.close()


@pytest.mark.slow
def test_what_waits_under_a_name_whose_owner_is_back_is_not_sent(tmp_path: Path):
    pair = Pair(tmp_path, [{"file": "now.csv"}], [{"file": "now.csv"}])
    try:
        one, two = pair.stations
        one.write("now.csv", "one")
        one = pair.start(0)
        pair.shows("now.csv", "one")
        kinds = lambda number: [event.kind for event in read_events(pair.state(number))]  # noqa: E731
        wait_until(lambda: "delivered" in kinds(0), what="its receipt")
        one.master.stop()
        os.rename(pair.server, tmp_path / "away")  # the server is down
        pair.server.write_text("no folder")
        two.write("now.csv", "two")
        two.master = two.make()
        two.master.start()
        wait_until(lambda: "queued" in kinds(1) and "connect_failed" in kinds(1), what="a file in the queue")
        one.master = one.make()
        one.master.start()
        pair.clash(1)
        os.unlink(pair.server)
        os.rename(tmp_path / "away", pair.server)
        wait_until(lambda: kinds(0).count("delivered") + kinds(0).count("unchanged") == 2, 40, "the first's own file")
        wait_until(lambda: (read_status(pair.state(1)) or {}).get("queue", {}).get("waiting") == 0, what="an empty queue")
        assert (pair.server / "now.csv").read_text() == "one" and "delivered" not in kinds(1)
        one.master.stop()
        pair.shows("now.csv", "two")
    finally:
        pair.close()
