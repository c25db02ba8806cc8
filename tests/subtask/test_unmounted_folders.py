"""Folders whose disk was taken away are distinguished from those whose files were deleted, by the table of mounts."""

from __future__ import annotations

import logging
import os
import stat as stat_module
from pathlib import Path

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.mount_table import mount_of, mounts
from pysubtask.common.notify import Stamp, read_stamp
from pysubtask.subtask.watch.missing_folders import MissingFolders, watched_folders
from pysubtask.subtask.watch.unmounted_folders import UnmountedFolders

ROOT = "22 1 250:77 / / rw - ext4 /dev/sda1 rw\n"


class Place:
    """A watched folder ``cam``, and a table in which a disk is mounted at it, or at what a test says."""

    def __init__(self, root: Path) -> None:
        self.root, self.cam, self.table = root, root / "cam", root / "table"
        self.cam.mkdir()
        self.known: list[tuple[str, Stamp]] = []
        self.mounted(str(self.cam))

    def mounted(self, *points: str) -> None:
        lines = ["30 22 8:17 / {} rw - ext4 /dev/sdb1 rw\n".format(point.replace(" ", "\\040")) for point in points]
        self.table.write_text(ROOT + "".join(lines))

    def disks(self, kept: str = "", *, deep: bool = False, state: str = "/nowhere") -> UnmountedFolders:
        return UnmountedFolders({str(self.cam): deep}, state, kept, lambda folder: self.known, str(self.table))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def other_device(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    """What is below the mount point is on another device than the disk was: the same folder here, so the test claims it."""
    real = os.stat

    def stat(path, *args, **more):
        found = real(path, *args, **more)
        if str(path).startswith(str(place.cam)) and stat_module.S_ISDIR(found.st_mode):
            return os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])
        return found

    monkeypatch.setattr("pysubtask.subtask.watch.unmounted_folders.os.stat", stat)


def test_a_disk_that_is_taken_away_and_comes_back(place, monkeypatch):
    disks = place.disks()
    assert disks.check() and not disks.gone
    place.mounted()
    other_device(monkeypatch, place)
    disks.check()
    assert disks.gone == {str(place.cam): str(place.cam)} and disks.is_gone(str(place.cam / "x" / "a.jpg"))
    assert not disks.is_gone(str(place.root / "camera2")) and "is not mounted" in disks.why(str(place.cam))
    place.mounted(str(place.cam))
    disks.check()
    assert not disks.gone and disks.why(str(place.cam)) == ""


def test_it_is_missed_after_a_restart_too(place, monkeypatch):
    before = place.disks()
    before.check()
    place.mounted()
    other_device(monkeypatch, place)
    disks = place.disks(before.text())
    disks.check()
    assert disks.gone
    disks.forget()
    disks.check()
    assert not disks.gone, "a person has said that this folder is meant"


def test_files_that_were_moved_to_this_disk_are_meant(place, monkeypatch):
    (place.cam / "a.jpg").write_text("1")
    disks = place.disks()
    disks.check()
    place.mounted()
    place.known = [(str(place.cam / "a.jpg"), read_stamp(str(place.cam / "a.jpg")))]
    other_device(monkeypatch, place)
    disks.check()
    assert not disks.gone


@pytest.mark.parametrize("why", ["same device", "another disk", "never mounted", "state inside", "no table"])
def test_what_is_no_missing_disk(place, monkeypatch, why):
    if why == "never mounted":
        place.mounted()
    disks = place.disks(state=str(place.cam / ".pysubtask" / "main" / "ftp") if why == "state inside" else "/nowhere")
    disks.check()
    if why != "same device":
        other_device(monkeypatch, place)
    place.mounted(*([str(place.cam)] if why == "another disk" else []))
    if why == "no table":
        place.table.unlink()
    disks.check()
    assert not disks.gone


def test_a_disk_inside_a_recursive_folder(place, monkeypatch):
    (place.cam / "my stick").mkdir()
    place.mounted(str(place.cam / "my stick"))
    disks = place.disks(deep=True, state=str(place.cam / ".pysubtask" / "main" / "ftp"))
    disks.check()
    place.mounted()
    other_device(monkeypatch, place)
    again = place.disks(disks.text(), deep=True, state=str(place.cam / ".pysubtask" / "main" / "ftp"))
    for one in (disks, again):
        one.check()
        assert list(one.gone) == [str(place.cam / "my stick")]


def test_it_stands_among_what_is_missing(place, monkeypatch, caplog):
    entries = read_entries([{"dir": str(place.cam)}])
    assert watched_folders(entries) == {str(place.cam): False}
    disks = place.disks()
    missing = MissingFolders(entries, None, logging.getLogger("test"), lambda: 1.7e9, disks)
    disks.check()
    assert missing.poll(0) == []
    place.mounted()
    other_device(monkeypatch, place)
    disks.check()
    missing.poll_soon()
    (row,) = missing.poll(1)
    assert row["entry"] == 0 and "is not mounted" in row["reason"] and "pysubtask reset" in row["reason"]
    place.mounted(str(place.cam))
    disks.check()
    missing.poll_soon()
    assert missing.poll(2) == []


def test_the_table_is_read_as_the_kernel_writes_it(tmp_path):
    table = tmp_path / "table"
    line = "30 22 8:17 / /media/my\\040st\\303\\274ck rw,nosuid shared:1 - ext4 /dev/sdb1 rw,emergency_ro\n"
    table.write_text(f"{ROOT}{line}nonsense\n")
    assert mounts(str(table)) == [], "half a table is none"
    table.write_text(ROOT + line)
    found = mount_of("/media/my st\u00fcck/cam", str(table))
    assert found is not None and found.point == "/media/my st\u00fcck" and {"nosuid", "emergency_ro"} <= found.options
    assert mount_of("/media/my", str(table)).point == "/"
    assert mount_of("/", str(tmp_path / "none")) is None


def test_a_missing_file_may_come_back_with_its_watched_folder(place):
    disks = place.disks(deep=True)
    (place.cam / "now").mkdir()
    for path in ("a.jpg", "now/a.jpg", "2026/11/30/a.jpg"):
        assert not disks.may_come_back(str(place.cam / path)), "it was removed, with its folder or without"
    disks.gone[str(place.cam)] = str(place.cam)
    assert disks.may_come_back(str(place.cam / "a.jpg"))
    disks.gone.clear()
    (place.cam / "now").rmdir()
    place.cam.rmdir()
    assert disks.may_come_back(str(place.cam / "2026" / "a.jpg")) and not disks.may_come_back(str(place.root / "other" / "a.jpg"))
