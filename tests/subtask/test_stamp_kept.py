"""Contents that change while size, time and number of the file stand still: st_ctime tells, and what it tells is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.notify import read_stamp
from pysubtask.common.receipts import read_receipts
from pysubtask.testing import sftp_server
from tests.e2e.station import SFTPStation
from tests.helpers import wait_until

from .test_watch import World

OLD, NEW = b"version 1 of it", b"version 2 of it"


def in_place(path: str) -> None:
    """As a program of records does it that keeps its file's time, or a copy that preserves times."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(NEW)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def made_anew(path: str) -> None:
    """Deleted and made again, with the number of the old one where the file system gives it again."""
    before = os.stat(path)
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(NEW)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def chmod(path: str) -> None:
    os.chmod(path, 0o600)


ENTRIES: list[dict[str, Any]] = [{"file": "d/a", "on_change": True}, {"dir": "d", "on_change": True, "notify_files": False}]


def delivered(folder: Path, entry: dict[str, Any]) -> World:
    (folder / "d").mkdir()
    world = World(str(folder), [entry])
    world.write("d/a", OLD)
    world.wait(700)  # so old that no clock of a file system is in doubt
    assert world.round() == [("d/a", "start")]
    assert world.quiet(rechecks=True) == []
    return world


@pytest.mark.parametrize("away", [False, True], ids=["watched", "while no child ran"])
@pytest.mark.parametrize("change", [in_place, made_anew])
@pytest.mark.parametrize("entry", ENTRIES, ids=["file", "folder"])
def test_another_content_with_the_same_stamp_is_found(tmp_path: Path, entry: dict[str, Any], change: Callable[[str], None],
                                                      away: bool) -> None:  # fmt: skip
    world = delivered(tmp_path, entry)
    path = world.path("d/a")
    before = read_stamp(path)
    change(path)
    if change is in_place:
        assert read_stamp(path) == before
    if away:
        world.restart()
    else:
        world.wait(10_000)
    world.quiet(rechecks=True)
    assert world.sent[path] == [OLD, NEW]
    assert world.quiet(rechecks=True) == []


def test_a_ring_of_names_whose_files_look_alike(tmp_path: Path) -> None:
    """Changes do not count in this folder; a file that is made anew does, though number, size and time are those of the old one."""
    world = delivered(tmp_path, {"dir": "d", "notify_files": False})
    path = world.path("d/a")
    was = os.stat(path).st_ino
    os.unlink(path)
    assert world.round() == []
    for number in range(200):
        with open(path, "wb") as file:
            file.write(NEW)
        if os.stat(path).st_ino == was:
            break
        os.rename(path, tmp_path / f"other-{number}")
    else:
        pytest.skip("this file system gives no number again")
    os.utime(path, ns=(world.memory.sources[path].mtime_ns,) * 2)
    world.wait(10_000)
    world.quiet(rechecks=True)
    assert world.sent[path] == [OLD, NEW]


@pytest.mark.parametrize("entry", ENTRIES, ids=["file", "folder"])
def test_another_mode_alone_sends_nothing(tmp_path: Path, entry: dict[str, Any]) -> None:
    world = delivered(tmp_path, entry)
    chmod(world.path("d/a"))
    world.wait(10_000)
    assert world.quiet(rechecks=True) == [("d/a", "recheck")], "it is read once"
    assert world.sent[world.path("d/a")] == [OLD]
    world.wait(10_000)
    assert world.quiet(rechecks=True) == []
    world.restart()
    assert world.quiet(rechecks=True) == []


@pytest.mark.parametrize("entry", ENTRIES, ids=["file", "folder"])
def test_a_child_sends_it_and_nothing_else(tmp_path: Path, entry: dict[str, Any]) -> None:
    """The real thing, with file events, and over a restart."""
    files = tmp_path / "files"
    (files / "in").mkdir(parents=True)
    data = tmp_path / "data"
    (data / "d").mkdir(parents=True)
    path, there = data / "d" / "a", files / "in" / "a"
    path.write_bytes(OLD)
    os.utime(path, (1_790_000_000, 1_790_000_000))
    given = {**entry, "settle_secs": 0.2}
    given |= {"file": str(path)} if "file" in entry else {"dir": str(data / "d")}
    with sftp_server(files, user="pi", password="a password") as sftp:
        one = SFTPStation(tmp_path, files / "in", {**sftp.settings(password=True), "HostPath": "in"}, [given])
        try:
            one.master.start()
            wait_until(there.exists, what="the first content")
            in_place(str(path))
            wait_until(lambda: there.read_bytes() == NEW, what="the new content")
            chmod(str(path))
            one.master.stop(forcekill=False)
            before = os.stat(path)
            path.write_bytes(OLD)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            one.master.start()
            wait_until(lambda: there.read_bytes() == OLD, what="what changed while no child ran")
            one.master.stop(forcekill=False)
        finally:
            one.close()
        assert [receipt.bytes_sent for receipt in read_receipts(str(data / "d" / ".pysubtask" / "main" / "ftp"))] == [len(OLD)] * 3
