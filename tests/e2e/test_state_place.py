"""Where others may write the first folder, the state is kept elsewhere; what a version before has left there is moved, once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common import registry
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.state_place import hash_of
from tests.e2e.station import Station
from tests.helpers import wait_until

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
        return Path(self.master._seats[0].plan.state_dir)

    def inside(self) -> Path:
        return self.data / ".pysubtask" / "main" / self.extension


def outside(base: Path, data: Path) -> Path:
    return base / hash_of(str(data)) / "main" / "folder_child"


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o2775])
def test_a_folder_that_others_may_write_keeps_no_state(
    tmp_path: Path, home: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        told = [line for line in one.log().splitlines() if str(state) in line and "may be written by" in line]
        assert len(told) == 1, "one line says where and why"
    finally:
        one.close()


def test_an_ordinary_station_moves_nothing(tmp_path: Path, home: Path) -> None:
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


def test_the_state_of_the_version_before_is_moved(tmp_path: Path, home: Path) -> None:
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
        assert one.sent() == ["a.csv", "b.csv", "a.csv"] and one.kinds().count("state_moved") == 1
    finally:
        one.close()
