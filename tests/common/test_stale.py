"""A page that its child could not write is not taken for the present: the disk, the age and the lock are looked at first."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from pysubtask.common import disk, stale
from pysubtask.common.disk import IS_FULL, NO_INODES, fault_of, problem_of, repair_of
from pysubtask.common.stale import why_stale


class Room(NamedTuple):
    """As os.statvfs tells it."""

    f_bavail: int = 10**6
    f_bfree: int = 10**6
    f_frsize: int = 4096
    f_files: int = 1000
    f_favail: int = 500
    f_flag: int = 0


def mounted(tmp_path: Path, options: str) -> str:
    table = tmp_path / "table"
    table.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 {options}\n")
    return str(table)


@pytest.mark.parametrize(
    ("options", "room", "words"),
    [
        ("rw", Room(), ""),
        ("rw", Room(f_flag=os.ST_RDONLY), "it is read-only"),
        ("ro", Room(), "it is read-only"),
        ("rw,errors=remount-ro,emergency_ro", Room(), "it is read-only since an error of its file system"),
        ("rw,shutdown", Room(), "it was shut down, as when a stick is drawn out"),
        ("rw", Room(f_favail=0), NO_INODES),
        ("rw", Room(f_files=0, f_favail=0), ""),  # btrfs and others do not count them
        ("rw", Room(f_bavail=2, f_bfree=2), IS_FULL),
    ],
)
def test_what_is_wrong_with_a_disk(tmp_path, monkeypatch, options, room, words):
    monkeypatch.setattr(disk.os, "statvfs", lambda path: room)
    assert fault_of(str(tmp_path), table=mounted(tmp_path, options)) == words
    assert repair_of(words)


def test_a_disk_that_cannot_be_asked(tmp_path, monkeypatch):
    assert fault_of(str(tmp_path / "none")) == "", "no folder is told by others"

    def fails(path):
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(disk.os, "statvfs", fails)
    assert fault_of(str(tmp_path)) == "it cannot be read (Input/output error)"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ""),
        (errno.EACCES, ""),
        (errno.EIO, "it fails (Input/output error)"),
        (errno.EROFS, "it fails (Read-only file system)"),
    ],
)
def test_an_error_is_no_full_disk_by_itself(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr(disk, "fault_of", lambda folder: IS_FULL if number == errno.ENOSPC else "")
    assert problem_of(OSError(number, os.strerror(number)), str(tmp_path)) == words
    monkeypatch.setattr(disk, "fault_of", lambda folder: NO_INODES)
    assert problem_of(OSError(errno.ENOSPC, "full"), str(tmp_path)) == NO_INODES


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    """A state folder on a disk that is well; ``aged`` makes files of it older."""
    monkeypatch.setattr(stale, "fault_of", lambda folder: "")
    for name in ("status.json", "events.jsonl", "lock"):
        (tmp_path / name).touch()
    return tmp_path


def aged(path: Path, secs: float) -> None:
    at = time.time() - secs
    os.utime(path, (at, at))


def test_a_child_at_rest_writes_no_page(state):
    for name in ("status.json", "events.jsonl"):
        aged(state / name, 86400)
    assert why_stale(str(state), {"pid": 1}, time.time()) == ""


def test_the_disk_is_looked_at_first(state, monkeypatch):
    monkeypatch.setattr(stale, "fault_of", lambda folder: "it is read-only")
    assert why_stale(str(state), {"pid": 1}, time.time()) == "", "the page was just written"
    aged(state / "status.json", 60)
    assert why_stale(str(state), {"pid": 1}, time.time()) == "its disk takes no page: it is read-only"
    assert "takes no page" in why_stale(str(state), None, time.time())


def test_what_was_written_since(state):
    aged(state / "status.json", 60)
    assert "it has written since" in why_stale(str(state), {"pid": 1}, time.time())


def test_a_page_that_is_not_there(state):
    (state / "status.json").unlink()
    now = time.time()
    assert why_stale(str(state), None, now, since=now - 3) == "", "it has just begun"
    assert "no page" in why_stale(str(state), None, now, since=now - 300)
    assert why_stale(str(state), None, now) == ""
