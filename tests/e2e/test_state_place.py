"""Where others may write the first folder, the state is kept elsewhere; what a version before has left there is moved, once."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pysubtask import BaseMaster, ConfigError, Section
from pysubtask.common import registry
from pysubtask.common.errors import SpoolTooNew
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.state_place import hash_of
from pysubtask.control.tasks import find
from pysubtask.control.view.status_view import where_kept
from pysubtask.subtask.spool.spool import Spool
from tests.support.helpers import wait_until
from tests.support.other_user import as_him, open_folder
from tests.support.run_station import command
from tests.support.station import Station

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of whoever runs the tests is used."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "home" / "pysubtask" / "tasks"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "home"


class Shared(Station):
    """A station whose folder ``mode`` lets others write."""

    def __init__(self, root: Path, mode: int = 0o1777, **base: Any) -> None:
        (root / "data").mkdir(exist_ok=True)
        os.chmod(root / "data", mode)
        super().__init__(root, **base)

    @property
    def state(self) -> Path:
        return Path(self.master._supervisor.children[0].plan.state_dir)

    def arrived_after_notify(self, name: str) -> None:
        self.notify(name)
        self.arrived(name)

    def inside(self) -> Path:
        return self.data / ".pysubtask" / "main" / self.extension


def outside(base: Path, data: Path) -> Path:
    return base / hash_of(str(data)) / "main" / "folder_child"


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o2775])
def test_a_folder_that_others_may_write_keeps_no_state(tmp_path: Path, home: Path, mode: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pysubtask.common.trust.is_own_group", lambda gid, uid: False)
    one = Shared(tmp_path, mode)
    state = outside(home / "pysubtask" / "state", one.data)
    try:
        assert one.state == state
        one.master.start()
        one.write("a.csv", "1\n")
        one.notify("a.csv")
        one.arrived("a.csv")
        assert not (one.data / ".pysubtask").exists() and not (one.data / "upload").exists()
        assert (state / "spool.db").exists() and (state / "snapshots").is_dir()
        for folder in (state.parents[1], state.parents[0], state, state / "snapshots"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
        assert (state.parents[1] / "folder").read_text() == f"{one.data}\n"
        (record,) = registry.records()
        assert (record.state_dir, record.folder) == (str(state), str(one.data))
        page = one.page()
        assert page["state_folder"] == str(state)
        assert "may be written by" in page["state_why"] and str(one.data) in page["state_why"]
        assert page["snapshots"] == str(state / "snapshots") and page["snapshots_elsewhere"] is False
        lines = [line for line in one.log().splitlines() if str(state) in line and "may be written by" in line]
        assert len(lines) == 1, "one line says where and why"
    finally:
        one.close()


def test_an_ordinary_station_moves_nothing(tmp_path: Path, home: Path):
    one = Shared(tmp_path, 0o755)
    assert one.state == one.inside()
    one.close()


def old_station(tmp_path: Path, mode: int = 0o1777) -> Shared:
    """A station with a delivered file, and one that waits, with its state in its folder, as the version before had it; then others
    may write the folder."""
    one = Shared(tmp_path, 0o755)
    one.master.start()
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    wait_until(lambda: one.sent() == ["a.csv"], 60, "its receipt")
    one.master.pause()
    one.wait_kind("paused")
    one.write("box/b.csv", "2\n")
    one.wait_kind("queued", 2)
    one.master.stop(forcekill=True)
    # What was notified is only in the queue from here on.
    os.unlink(one.data / "box" / "b.csv")
    os.chmod(one.data, mode)
    one.master = one.make()
    return one


@pytest.mark.slow
def test_the_state_of_the_version_before_is_moved(tmp_path: Path, home: Path):
    one = old_station(tmp_path)
    state = outside(home / "pysubtask" / "state", one.data)
    try:
        assert one.state == state and (one.inside() / "spool.db").exists()
        one.master.start()
        one.wait_kind("state_moved")
        assert [event.kind for event in read_events(str(state))].count("delivered") == 1
        one.master.resume()
        wait_until(lambda: len(list(read_receipts(str(state)))) == 2, 60, "the receipt of the waiting file")
        assert (one.server / "b.csv").read_bytes() == b"2\n"
        assert one.sent() == ["a.csv", "b.csv"]
        one.idle()
        wait_until(lambda: not list((state / "snapshots").iterdir()), 60, "the snapshot is removed")
        assert not (one.data / "upload").exists()
        left = sorted(path.name for path in one.inside().iterdir())
        assert left == ["moved_to", "spool.db"] and (one.inside() / "moved_to").read_text() == f"{state}\n"
        (record,) = registry.records()
        assert record.state_dir == str(state)
        (event,) = [event for event in read_events(str(state)) if event.kind == "state_moved"]
        assert event.fields == {"source": str(one.inside()), "folder": str(state)}
    finally:
        one.close()
    # And from now on it is used.
    one.master = one.make()
    try:
        one.master.start()
        one.write("a.csv", "1\n3\n")
        one.notify("a.csv")
        one.arrived("a.csv")
        wait_until(lambda: one.sent() == ["a.csv", "b.csv", "a.csv"], 60, "its receipt")
        assert one.kinds().count("state_moved") == 1
    finally:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "outside_it"), [(0o755, False), (0o1777, True)])
def test_a_folder_that_comes_later_is_judged_then(tmp_path: Path, home: Path, mode: int, outside_it: bool):
    """A disk that everybody may write, mounted after the start."""
    one = Shared(tmp_path)
    one.data.rename(tmp_path / "disk")
    one.master = one.make()
    try:
        assert one.state == one.inside()
        one.master.start()
        assert "there is no folder" in str(one.master.status().children[0].last_exit)
        (tmp_path / "disk").chmod(mode)
        (tmp_path / "disk").rename(one.data)
        one.write("a.csv", "1\n")
        one.arrived_after_notify("a.csv")
        assert one.state == (outside(home / "pysubtask" / "state", one.data) if outside_it else one.inside())
        assert (one.data / ".pysubtask").exists() != outside_it
    finally:
        one.close()


def exits(one: Shared, words: str) -> None:
    """Wait until log and page have the reason why the child does not begin."""

    def reported() -> bool:
        one.master.check_pending_notifications()
        return words in one.log() and words in str(one.page().get("why"))

    wait_until(reported, 60, f"the words {words!r}")


def everything_below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["of another user", "writable by others"])
def test_anothers_state_folder_keeps_its_task_from_starting(tmp_path: Path, how: str):
    if how == "of another user" and os.geteuid() != 0:
        pytest.skip("makes a folder of another user: needs root")
    one = old_station(tmp_path)
    inside = one.inside()
    if how == "of another user":
        os.chown(inside, 12345, 12345)
    else:
        inside.chmod(0o777)
    before = everything_below(one.data)
    try:
        one.master.start()
        exits(one, f"a state folder of this task is in {inside}, and is not read")
        assert not (one.state / "spool.db").exists(), "no fresh queue"
        assert everything_below(one.data) == before
        # A person checks, and finds that it is the task's own after all.
        one.master.stop(forcekill=True)
        os.chown(inside, os.geteuid(), os.getegid())
        inside.chmod(0o700)
        one.master.start()
        one.wait_kind("state_moved")
    finally:
        one.close()


@pytest.mark.slow
def test_a_state_that_is_too_large_for_its_new_place_stays(tmp_path: Path):
    one = old_station(tmp_path)
    one.base["MinFreeBytes"] = 2**60
    one.master = one.make()
    before = everything_below(one.data)
    try:
        one.master.start()
        exits(one, f"is to be moved from {one.inside()} to {one.state}")
        assert everything_below(one.data) == before and not (one.state / "spool.db").exists()
        one.master.stop(forcekill=True)
        one.base["MinFreeBytes"] = 0
        one.master = one.make()
        one.master.start()
        one.master.resume()
        wait_until(lambda: one.sent() == ["a.csv", "b.csv"], 60, "what waited")
    finally:
        one.close()


@pytest.mark.slow
def test_a_child_that_runs_in_the_old_place_is_not_disturbed(tmp_path: Path):
    one = Shared(tmp_path, 0o755)
    before = one.master
    before.start()
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    wait_until(lambda: one.sent() == ["a.csv"], 60, "its receipt")
    one.data.chmod(0o1777)
    one.master = one.make()
    try:
        one.master.start()
        wait_until(lambda: "is locked by the child" in one.log(), 60, "it says who has the queue")
        assert not (one.state / "spool.db").exists()
        before.stop()
        one.write("a.csv", "1\n2\n")
        one.notify("a.csv")
        one.arrived("a.csv")
        wait_until(lambda: one.sent() == ["a.csv", "a.csv"], 60, "one queue")
    finally:
        before.stop()
        one.close()


@pytest.mark.slow
def test_a_strangers_folder_stops_no_task_with_state_elsewhere(tmp_path: Path):
    """Or whoever may write the folder could keep the task down."""
    one = Shared(tmp_path)
    one.master.start()
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    one.master.stop()
    inside = one.inside()
    inside.mkdir(parents=True, mode=0o777)
    (inside / "spool.db").write_bytes(b"anything")
    inside.chmod(0o777)
    one.master = one.make()
    try:
        one.master.start()
        one.write("a.csv", "1\n2\n")
        one.notify("a.csv")
        one.arrived("a.csv")
        assert f"[{inside}] is left alone" in one.log() and (inside / "spool.db").read_bytes() == b"anything"
    finally:
        one.close()


@pytest.mark.slow
def test_two_queues_are_never_used_side_by_side(tmp_path: Path):
    """As after a downgrade, or where somebody has put a copy back."""
    one = old_station(tmp_path)
    shutil.copytree(one.inside(), tmp_path / "copy")
    one.master.start()
    one.wait_kind("state_moved")
    one.master.stop()
    shutil.rmtree(one.inside())
    shutil.copytree(tmp_path / "copy", one.inside())
    for folder in (one.inside(), *one.inside().parents[:2]):
        folder.chmod(0o700)
    one.master = one.make()
    before = everything_below(one.data)
    try:
        one.master.start()
        exits(one, f"there are two queues of this task, in {one.state} and in {one.inside()}")
        assert everything_below(one.data) == before
        one.master.stop(forcekill=True)
        one.inside().rename(tmp_path / "aside")
        one.master.start()
        one.master.resume()
        wait_until(lambda: one.sent() == ["a.csv", "b.csv"], 60, "it goes on with the other")
    finally:
        one.close()


@pytest.mark.slow
def test_an_older_version_does_not_begin_a_second_queue(tmp_path: Path):
    """What a move leaves in the folder is refused by a version that knows nothing of it, with the words it has for that."""
    one = old_station(tmp_path)
    one.master.start()
    one.wait_kind("state_moved")
    one.close()
    with pytest.raises(SpoolTooNew, match="was made by a later version"):
        Spool(str(one.inside() / "spool.db"), "file:///x", 0.0)


@pytest.mark.slow
def test_state_folder_is_set_changed_and_unset(tmp_path: Path):
    one = Shared(tmp_path, 0o755)
    inside, first, second = one.state, tmp_path / "first", tmp_path / "second"
    names = []
    for folder, state in (
        (None, inside),
        (first, outside(first, one.data)),
        (second, outside(second, one.data)),
        (None, outside(second, one.data)),
    ):
        if folder is not None:
            folder.mkdir(mode=0o700)
        one.base = {**one.base, "StateFolder": None if folder is None else str(folder)}
        one.master = one.make()
        assert one.state == state
        try:
            one.master.start()
            one.write("a.csv", f"{len(names)}\n", "a")
            one.notify("a.csv")
            one.arrived("a.csv")
            names.append("a.csv")
            wait_until(lambda: one.sent() == names, 60, "the receipts of all places together")
        finally:
            one.master.stop()
    assert not list(first.iterdir()), "nothing is left where it was"


def test_the_disk_with_the_state_is_waited_for(tmp_path: Path):
    """Never a fresh queue in its mount point; what is notified meanwhile stays due."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    disk.mkdir(mode=0o700)
    one = Shared(tmp_path, 0o755, StateFolder=str(disk))
    one.master.start()
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    wait_until(lambda: one.sent() == ["a.csv"], 60, "its receipt")
    one.master.stop()
    disk.rename(away)
    # Also where the setting is gone, as with another config.
    for folder in (str(disk), None):
        one.base["StateFolder"] = folder
        one.master = one.make()
        one.master.start()
        one.write("a.csv", f"2 {folder}\n")
        one.notify("a.csv")
        assert "there is no folder" in str(one.master.status().children[0].last_exit)
        assert not disk.exists() and not one.inside().exists() and (one.data / "a.csv.notify").exists()
        one.master.stop()
    away.rename(disk)
    one.master = one.make()
    try:
        one.master.start()
        one.arrived("a.csv")
        wait_until(lambda: one.sent() == ["a.csv", "a.csv"], 60, "the same queue goes on")
    finally:
        one.close()


@pytest.mark.slow
def test_a_state_that_was_removed_is_begun_anew_aloud(tmp_path: Path):
    one = Shared(tmp_path)
    one.master.start()
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    one.master.stop()
    shutil.rmtree(one.state)
    one.master = one.make()
    try:
        one.master.start()
        one.wait_kind("delivered")
        assert f"The queue in [{one.state}] is gone" in one.log()
    finally:
        one.close()


def refused(data: Path, **base: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        BaseMaster(
            [{"dir": str(data)}], Section("", Master_Log_FileName=None, **base), "tests.support.folder_child", LogToConsole=False
        )
    return str(caught.value)


def test_a_place_that_cannot_be_written_is_one_error(monkeypatch: pytest.MonkeyPatch):
    """As below ProtectSystem=strict: no fresh queue anywhere, and words that name the way out."""
    with open_folder() as folder:
        (folder / "data").mkdir()
        (folder / "data").chmod(0o1777)
        (folder / "closed").mkdir(mode=0o555)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "closed"))
        monkeypatch.setenv(registry.VARIABLE, str(folder / "data"))

        def try_it() -> None:
            message = refused(folder / "data")
            assert (
                "StateFolder" in message
                and f"{folder}/closed/pysubtask/state" in message
                and "pysubtask service --install" in message
            )
            assert "may be written by others" in message
            assert "which this user may not write" in refused(folder / "data", StateFolder=str(folder / "closed"))

        if os.geteuid() == 0:
            as_him(try_it)
        else:
            try_it()
        assert not list((folder / "closed").iterdir()) and not list((folder / "data").iterdir())


def test_a_state_folder_that_others_may_write_is_refused(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    message = refused(tmp_path / "data", StateFolder=f"{tmp_path}/shared")
    assert "may be written by others, so the state would not be safe" in message
    assert "is no absolute path" in refused(tmp_path / "data", StateFolder="state")
    (tmp_path / "file").touch()
    assert "is a file" in refused(tmp_path / "data", StateFolder=f"{tmp_path}/file")


@pytest.mark.slow
def test_a_folder_of_snapshots_of_ones_own_stays(tmp_path: Path):
    """Its copies are not moved, and are removed once they are delivered."""
    (tmp_path / "data").mkdir()
    one = Shared(tmp_path, 0o755, BakToFolder=str(tmp_path / "copies"))
    one.master.start()
    one.master.pause()
    one.wait_kind("paused")
    one.write("a.csv", "1\n")
    one.notify("a.csv")
    one.wait_kind("queued")
    # A notify while the file is found makes a second copy, and the first one goes.
    wait_until(lambda: len(list((tmp_path / "copies").iterdir())) == 1, 60, "one copy")
    one.master.stop(forcekill=True)
    (copy,) = (tmp_path / "copies").iterdir()
    (one.data / "a.csv").unlink()
    one.data.chmod(0o1777)
    one.master = one.make()
    try:
        one.master.start()
        one.wait_kind("state_moved")
        assert copy.exists()
        one.master.resume()
        wait_until(lambda: one.sent() == ["a.csv"] and not copy.exists(), 60, "the delivery, and the copy is removed")
    finally:
        one.close()


def test_snapshots_on_another_disk_are_reported(tmp_path: Path):
    """MinFreeBytes counts where they are."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=other) as there:
        room = shutil.disk_usage(there).free
        one = Shared(tmp_path, 0o755, StateFolder=there, MinFreeBytes=2 * room)
        try:
            one.master.start()
            one.write("a.csv", "1\n")
            one.notify("a.csv")
            wait_until(lambda: "DISK LOW" in one.log() and there in one.log(), 60, "that disk has too little room")
            page = wait_until(lambda: one.page() if one.page().get("disk_low") else {}, 60, "its page")
            assert page["snapshots_elsewhere"] is True
            (line,) = [line for line in where_kept(page) if "on another disk" in line]
            assert there in line and "MinFreeBytes" in line
        finally:
            one.close()


@pytest.mark.slow
def test_commands_find_it_and_steer_it(tmp_path: Path):
    one = Shared(tmp_path)
    env = {key: os.environ[key] for key in ("XDG_STATE_HOME", registry.VARIABLE)}
    try:
        one.master.start()
        one.pid()
        status = command(tmp_path, "status", **env)
        assert status.returncode == 0 and "State kept in" in status.stdout, status.stdout
        assert "may be written by others" in status.stdout
        for words in (
            ["pause", "-t", str(one.data)],
            ["queue"],
            ["get", "-t", "data"],
            ["events", "data"],
            ["receipts"],
            ["resume", "-t", "main"],
            ["status", str(one.state)],
        ):
            done = command(tmp_path, *words, **env)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert one.kinds().count("paused") == one.kinds().count("resumed") == 1
        # Also one that has no record of it, by the folder.
        elsewhere = {**env, registry.VARIABLE: str(tmp_path / "no records")}
        assert "data/folder_child" in command(tmp_path, "status", str(one.data), **elsewhere).stdout
        assert str(one.data) in tasks_in(str(one.data))
    finally:
        one.close()


def tasks_in(folder: str) -> list[str]:
    return [task.folder for task in find.in_folder(folder)]
