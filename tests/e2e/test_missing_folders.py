"""Watched folders that are missing, mistyped, or on a disk that is not mounted: reported, waited for, and never created."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask import BaseMaster, ConfigError, Section
from pysubtask.common import registry
from pysubtask.common.place import device_of, why_not
from pysubtask.common.receipts import read_receipts
from pysubtask.common.registry import Record
from tests.support.helpers import wait_until

NO_DISK = os.makedev(250, 77)
"""A device that no mounted file system has."""


def removed(folder: Path) -> None:
    """Remove a folder in which a child may just be writing its page."""
    wait_until(lambda: (shutil.rmtree(folder, ignore_errors=True), not folder.exists())[1], 40, f"the end of {folder}")


class Site:
    """A master over entries below ``root``; nothing is made but what a test makes. ``server`` is where files must arrive."""

    def __init__(self, root: Path, entries: list[dict[str, Any]], **base: Any) -> None:
        self.root, self.server = root, root / "server"
        self.server.mkdir()
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        given = [{**entry, next(iter(entry)): str(root / next(iter(entry.values())))} for entry in entries]
        self.master = BaseMaster(
            given,
            Section(
                "",
                TimerIntervalSecs=0.3,
                Subtask_Log_FileName=str(root / "logs" / "child.txt"),
                Master_Log_FileName=str(root / "logs" / "master.txt"),
                **base,
            ),
            "tests.support.folder_child",
            LogToConsole=False,
        )

    @property
    def state(self) -> str:
        return self.master._supervisor.children[0].plan.state_dir

    def log(self, name: str = "master") -> str:
        return (self.root / "logs" / f"{name}.txt").read_text()

    def page(self) -> dict[str, Any]:
        return self.master.status().children[0].page or {}

    def arrives(self, name: str, text: str) -> None:
        def there() -> bool:
            self.master.check_pending_notifications()
            return (self.server / name).exists() and (self.server / name).read_text() == text

        wait_until(there, 40, f"{name} on the server")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))

    def make(entries: list[dict[str, Any]], **base: Any) -> Site:
        sites.append(Site(tmp_path, entries, **base))
        return sites[-1]

    yield make
    for one in sites:
        one.master.stop(forcekill=True)


def looked(one: Site, secs: float = 1.5) -> None:
    """The app's timer goes on for a while."""
    until = time.monotonic() + secs
    while time.monotonic() < until:
        one.master.check_pending_notifications()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entries", [[{"dir": "cam"}], [{"file": "cam/a.csv"}], [{"dir": "cam/deep/er", "recursive": True}]], ids=["dir", "file", "deep"]
)
def test_a_missing_folder_is_reported_and_waited_for_not_created(site, entries, tmp_path):
    (tmp_path / "camera").mkdir()
    one = site(entries)
    folder = tmp_path / (next(iter(entries[0].values())) if "dir" in entries[0] else "cam")
    one.master.start()
    data = folder / "a.csv"
    assert not one.master.notify_file(data), "kept for later, and no exception"
    looked(one)
    assert not (tmp_path / "cam").exists()
    child = one.master.status().children[0]
    assert child.pid is None and child.restarts == 0 and f"there is no folder {folder}" in (child.last_exit or "")
    assert one.log().count(f"waits: there is no folder {folder}") == 1 and "It is not made (MakeFolders)." in one.log()
    if entries == [{"dir": "cam"}]:
        assert "(is 'camera' meant?)" in one.log()
    # The commands find the task, though it never ran.
    (record,) = registry.missing()
    assert registry.records() == [] and record.state_dir == one.state
    assert f"there is no folder {folder}" in registry.why_waiting(record)
    folder.mkdir(parents=True)
    data.write_text("1\n")
    one.arrives("a.csv", "1\n")
    assert "is there now: work begins." in one.log()
    assert registry.why_waiting(registry.records()[0]) == ""


@pytest.mark.slow
def test_make_folders_makes_what_is_missing(site, tmp_path):
    one = site([{"dir": "a/b"}, {"file": "c/x.csv"}], MakeFolders=True)
    one.master.start()
    assert (tmp_path / "a" / "b").is_dir() and (tmp_path / "c").is_dir()
    (tmp_path / "a" / "b" / "p.jpg").write_text("1")
    one.arrives("p.jpg", "1")


@pytest.mark.slow
def test_a_missing_other_folder_stops_no_rest_and_is_on_the_page(site, tmp_path):
    (tmp_path / "data").mkdir()
    one = site([{"dir": "data"}, {"dir": "cam", "settle_secs": 0.1}, {"file": "lists/x.csv"}])
    (tmp_path / "data" / "a.csv").write_text("1")
    one.master.start()
    one.arrives("a.csv", "1")
    wait_until(lambda: len(one.page().get("missing", [])) == 2, 40, "both on the page")
    rows = one.page()["missing"]
    assert [(row["entry"], row["path"]) for row in rows] == [(1, str(tmp_path / "cam")), (2, str(tmp_path / "lists" / "x.csv"))]
    assert all(row["since"].endswith("Z") and "there is no folder" in row["reason"] for row in rows)
    assert one.log("child").count("Watch entry 2 waits: there is no folder") == 1
    assert not (tmp_path / "cam").exists() and not (tmp_path / "lists").exists()
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "p.jpg").write_text("2")
    one.arrives("p.jpg", "2")
    wait_until(lambda: [row["entry"] for row in one.page()["missing"]] == [2], 40, "one on the page")
    assert f"Folder [{tmp_path / 'cam'}] is there now" in one.log("child")


@pytest.mark.slow
def test_a_folder_that_vanishes_is_waited_for_and_not_recreated(site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    one = site([{"dir": "data", "settle_secs": 0.1}, {"dir": "other", "settle_secs": 0.1}])
    (tmp_path / "data" / "a.csv").write_text("1")
    one.master.start()
    one.arrives("a.csv", "1")
    shutil.move(tmp_path / "data", tmp_path / "away")
    (tmp_path / "other" / "b.csv").write_text("2")  # it would be copied to data/upload
    wait_until(lambda: (one.master.check_pending_notifications(), "waits: there is no folder" in one.log())[1], 40, "what is told")
    looked(one)
    assert not (tmp_path / "data").exists()
    (record,) = registry.missing()
    assert registry.records() == [] and "there is no folder" in registry.why_waiting(record)
    shutil.move(tmp_path / "away", tmp_path / "data")
    one.arrives("b.csv", "2")
    (tmp_path / "data" / "c.csv").write_text("3")
    one.arrives("c.csv", "3")
    wait_until(lambda: [found.name for found in read_receipts(one.state)] == ["a.csv", "b.csv", "c.csv"], 40, "each sent once")


@pytest.mark.slow
def test_a_folder_that_is_removed_and_recreated_is_begun_anew(site, tmp_path):
    (tmp_path / "data").mkdir()
    one = site([{"dir": "data", "settle_secs": 0.1}])
    (tmp_path / "data" / "a.csv").write_text("1")
    one.master.start()
    one.arrives("a.csv", "1")
    removed(tmp_path / "data")
    wait_until(lambda: (one.master.check_pending_notifications(), "waits: there is no folder" in one.log())[1], 40, "what is told")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("2")
    one.arrives("a.csv", "2")
    # At once, so that nobody has seen that it was away.
    removed(tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("3")
    one.arrives("a.csv", "3")
    assert "Traceback" not in one.log("child")


@pytest.mark.slow
def test_an_empty_mount_point_is_distinguished_from_its_disk(site, tmp_path):
    """The registry says that the files were on a disk that is mounted nowhere; the folder is there, without their state."""
    (tmp_path / "usb").mkdir()
    one = site([{"dir": "usb", "settle_secs": 0.1}], MakeFolders=True)
    registry.announce(Record("main", "folder_child", "file:///x", one.state, "usb", str(tmp_path / "usb"), "", NO_DISK))
    one.master.start()
    (tmp_path / "usb" / "a.csv").write_text("1")
    assert not one.master.notify_file(tmp_path / "usb" / "a.csv")
    looked(one)
    assert os.listdir(tmp_path / "usb") == ["a.csv"], "nothing of ours is written there"
    assert f"{tmp_path / 'usb'} is not mounted: its files were on another device" in one.log()
    (record,) = registry.missing()
    assert record.device == NO_DISK and "is not mounted" in registry.why_waiting(record)
    # The disk comes, with its state.
    os.makedirs(one.state, 0o700)
    one.arrives("a.csv", "1")
    assert (tmp_path / "usb" / "a.csv.notify").exists()
    wait_until(lambda: registry.records()[0].device == device_of(str(tmp_path / "usb")), 40, "the device as it is now")


@pytest.mark.slow
def test_required_mounts(site, tmp_path):
    (tmp_path / "usb" / "cam").mkdir(parents=True)
    one = site([{"dir": "usb/cam"}], RequiresMount=str(tmp_path / "usb"), MakeFolders=True)
    one.master.start()
    looked(one)
    assert os.listdir(tmp_path / "usb" / "cam") == []
    assert f"{tmp_path / 'usb'} is not mounted (RequiresMount)" in one.log()
    (record,) = registry.missing()
    assert "waits for its disk" in registry.why_waiting(record)
    for wrong, words in (
        ("usb", "no absolute path"),
        (str(tmp_path / "logs" / "master.txt"), "is a file"),
        (str(tmp_path / "elsewhere"), "nothing that is watched lies in"),
        ("", "no absolute path"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            BaseMaster([{"dir": str(tmp_path / "usb")}], Section("", RequiresMount=wrong), LogFileName=None, LogToConsole=False)
        assert caught.value.key == "base.RequiresMount" and caught.value.remedy
    # Where the disk is mounted it works.
    assert why_not("/proc/self", "/proc/self/x", mount="/proc", device=NO_DISK) == ""


def test_what_is_mounted_elsewhere_or_over_it_is_no_missing_disk(tmp_path):
    folder = str(tmp_path)
    state = os.path.join(folder, ".pysubtask", "main", "ftp")
    table = tmp_path / "mountinfo"
    table.write_text("22 1 250:77 / / rw - ext4 /dev/sda1 rw\n")
    assert "is not mounted" in why_not(folder, state, device=NO_DISK)
    assert why_not(folder, state, device=NO_DISK, mounts=str(table)) == "", "that disk is mounted: this folder was meant"
    assert why_not(folder, state, device=os.stat(folder).st_dev) == why_not(folder, state) == ""
    assert why_not("/proc", "/proc/.pysubtask/main/ftp", device=NO_DISK) == "", "another disk is mounted here"
    missing = os.path.join(folder, "usb", "cam")
    assert "there is no folder" in why_not(missing, os.path.join(missing, ".pysubtask"), device=os.stat(folder).st_dev)


def test_an_earlier_versions_record_is_read_and_a_stale_one_goes(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    state = tmp_path / "data" / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    registry.announce(Record("main", "ftp", "sftp://h", str(state)))
    (file,) = (tmp_path / "registry").iterdir()
    fields = json.loads(file.read_text())
    for key in ("label", "folder", "config_file", "device"):
        del fields[key]
    file.write_text(json.dumps(fields))
    (record,) = registry.records()
    assert record.device is None and record.folder == str(tmp_path / "data")
    removed(tmp_path / "data")
    assert [one.state_dir for one in registry.missing()] == [str(state)] and registry.records() == [], "it may come back"
    (tmp_path / "data" / ".pysubtask").mkdir(parents=True)
    assert registry.records() == registry.missing() == [] and not file.exists(), "somebody has removed the task"


def test_a_child_by_hand_says_so_at_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pysubtask.ftp", "-wd", str(tmp_path / "cam"), "-host", "127.0.0.1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and f"there is no folder {tmp_path / 'cam'}" in done.stderr and "or make it before" in done.stderr
    assert os.listdir(tmp_path) == []


def test_another_disk_in_the_place_of_the_queues_is_not_written(site, tmp_path, monkeypatch):
    """A stick is drawn while the task runs, and somebody puts another one in: nothing is made there, until a person starts anew."""
    from pysubtask.master import places as module
    from pysubtask.master.places import Places

    (tmp_path / "stick").mkdir()
    one = site([{"dir": "stick"}])
    plan = one.master._supervisor.children[0].plan
    log, disk = logging.getLogger("test"), [os.makedev(8, 1)]
    monkeypatch.setattr(module, "device_of", lambda folder: disk[0])
    monkeypatch.setattr(module.os.path, "ismount", lambda folder: folder == str(tmp_path / "stick"))
    places = Places(one.master._task.entries, [plan])
    assert places.check(log)
    disk[0] = os.makedev(8, 17)
    assert not places.check(log)
    assert "another disk is mounted" in places.why and places.closed == str(tmp_path / "stick")
    assert Places(one.master._task.entries, [plan]).check(log), "who starts the task anew means this disk"
    # The first one is back, by whatever number it gets now.
    os.makedirs(plan.state_dir)
    assert places.check(log) and places.why == ""
