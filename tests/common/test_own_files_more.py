"""Who goes through the door to our own files: nobody follows a link to read or write a record, and nothing is made beside it."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common import own_folders, registry
from pysubtask.common.errors import AlreadyRunning, TransportLost
from pysubtask.common.lock import Holder, StateLock, process_start
from pysubtask.control.push.record import Record
from pysubtask.subtask.snapshot.extra_copy import copy_to_dir
from pysubtask.subtask.spool import database
from pysubtask.subtask.status.heartbeat import make
from pysubtask.transports.base import Job
from pysubtask.transports.ftp.restart import Restarts
from pysubtask.transports.shared.profile import Profile
from pysubtask.transports.shared.source import open_source
from pysubtask.transports.shared.swap_record import SwapRecord
from pysubtask.transports.shared.workdir import make_workdir
from tests.support.other_user import as_him, give_him, needs_root, open_folder


def me() -> Holder:
    return Holder(os.getpid(), process_start(os.getpid()) or "", None, None)


def show(folder: Path) -> None:
    """What a server can do, recorded as an FTP transport records it."""
    restarts = Restarts(str(folder), "x", Profile(time.time))
    restarts.record_proof(type("Known", (), {"features": {"REST": "STREAM"}})())  # type: ignore[arg-type]


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a swap": ("swaps.json", lambda folder: SwapRecord(str(folder), "x").add(b"aside", b"name", 1.0)),
    "a restart": ("restarts.json", show),
    "a lock": ("lock", lambda folder: StateLock(str(folder / "lock")).acquire(me(), patience=0.2)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_record_is_written_through_a_link(name: str, tmp_path: Path):
    precious, folder = tmp_path / "precious", tmp_path / "state"
    precious.write_text("mine")
    folder.mkdir()
    file, write = WRITERS[name]
    for other in (file, f"{file}.new", f"{file}.part"):
        (folder / other).symlink_to(precious)
    try:
        write(folder)
    except PermissionError as exc:
        assert "link" in str(exc)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", WRITERS)
def test_no_record_is_written_to_a_second_name(name: str, tmp_path: Path):
    precious, folder = tmp_path / "precious", tmp_path / "state"
    precious.write_text("mine")
    folder.mkdir()
    file, write = WRITERS[name]
    os.link(precious, folder / file)
    write(folder)
    assert precious.read_text() == "mine" and (folder / file).read_bytes() not in (b"", b"mine")


def test_no_record_is_read_through_a_link(tmp_path: Path):
    (tmp_path / "elsewhere").write_text(json.dumps({"identity": "x", "asides": {"a": ["n", 1.0]}, "server": ""}))
    (tmp_path / "swaps.json").symlink_to("elsewhere")
    (tmp_path / "restarts.json").symlink_to("elsewhere")
    assert SwapRecord(str(tmp_path), "x").asides == {}
    known = type("Known", (), {"features": {}})()
    assert not Restarts(str(tmp_path), "x", Profile(time.time)).is_proven(known)


def test_a_lock_with_a_second_name_is_locked_once(tmp_path: Path):
    """A backup made of links has the old file; whoever holds it is still the holder."""
    path = str(tmp_path / "lock")
    first = StateLock(path)
    first.acquire(me())
    os.link(path, tmp_path / "backup")
    with pytest.raises(AlreadyRunning):
        StateLock(path).acquire(me(), patience=0.2)
    record = (tmp_path / "backup").read_bytes()
    first.release()
    os.unlink(tmp_path / "backup")
    os.link(path, tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    second = StateLock(path)
    second.acquire(me(), patience=0.2)
    assert (tmp_path / "backup").read_bytes() == before != record
    assert StateLock(path).holder() == me()
    with pytest.raises(AlreadyRunning):
        StateLock(path).acquire(me(), patience=0.2)
    second.release()


def test_a_work_folder_is_created_below_what_is_there(tmp_path: Path):
    state = tmp_path / ".pysubtask" / "main" / "ftp"
    with pytest.raises(TransportLost):
        make_workdir(str(state))
    assert not (tmp_path / ".pysubtask").exists(), "its disk may not be mounted"
    state.parent.mkdir(parents=True)
    make_workdir(str(state))
    assert state.stat().st_mode & 0o777 == 0o700
    (tmp_path / "w").symlink_to(state)
    with pytest.raises(TransportLost, match="link"):
        make_workdir(str(tmp_path / "w"))


def test_folders_of_ours_are_removed_without_following_a_link(tmp_path: Path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    (tmp_path / "run" / "requests").mkdir(parents=True)
    (tmp_path / "run" / "requests" / "one").write_text("1")
    (tmp_path / "run" / "out").symlink_to(tmp_path / "kept")
    own_folders.remove_folder(str(tmp_path / "run"))
    own_folders.remove_folder(str(tmp_path / "run"))
    (tmp_path / "run").symlink_to(tmp_path / "kept")
    with pytest.raises(own_folders.NotOurs):
        own_folders.remove_folder(str(tmp_path / "run"))
    assert (tmp_path / "kept" / "file").read_text() == "mine"


def test_a_push_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "not" / "yet" / "tasks"))
    one = Record("sftp://x", ["a"])
    one.states["a"].temp = "t"
    one.save()
    one.close(keep=True)
    again = Record("sftp://x", ["a"])
    assert again.states["a"].temp == "t"
    again.close(keep=False)
    assert not os.path.exists(again.folder)


def test_a_heartbeat_sent_is_not_the_file_in_the_data_folder(tmp_path: Path):
    data, state = tmp_path / "data", tmp_path / "data" / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    beat = make({"HeartbeatName": "st7", "HeartbeatIntervalSecs": 60, "HeartbeatStatus": True}, str(data), str(state), True, str)
    sent = beat.write(0.0, {})
    assert (data / "st7.heartbeat").read_text() == "70\n"
    (data / "st7.heartbeat").unlink()
    (data / "st7.heartbeat").symlink_to(tmp_path / "secret")
    assert Path(sent[0]).read_text() == "70\n"
    (data / "st7.heartbeat").unlink()
    (data / "st7.heartbeat").mkdir()
    assert beat.write(1.0, {}) == sent and beat.problem, "what cannot be shown is sent all the same"
    (data / "st7.heartbeat").rmdir()
    beat.write(2.0, {})
    assert not beat.problem and (data / "st7.heartbeat").exists()
    beat.remove()
    assert not (data / "st7.heartbeat").exists() and os.listdir(state) == []
    # And the file that is sent must be ours still when it is opened.
    beat.write(3.0, {})
    os.unlink(sent[0])
    os.symlink(tmp_path / "secret", sent[0])
    with pytest.raises(Exception, match="cannot be read"):
        open_source(Job(sent[0], 3, None, "st7.heartbeat", "t", snapshot=True))


def test_a_copy_for_an_own_subtask_overwrites_nothing_else(tmp_path: Path):
    (tmp_path / "a.csv").write_text("data")
    os.utime(tmp_path / "a.csv", (1000, 1000))
    (tmp_path / "a.csv").chmod(0o640)
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "a.csv").symlink_to(tmp_path / "precious")
    (tmp_path / "to" / f"a.csv.{os.getpid()}.part").symlink_to(tmp_path / "precious")
    copy = copy_to_dir(str(tmp_path / "a.csv"), str(tmp_path / "to"))
    found = os.lstat(copy)
    assert (found.st_mtime, found.st_mode & 0o777, Path(copy).read_text()) == (1000, 0o640, "data")
    assert (tmp_path / "precious").read_text() == "mine"
    assert copy_to_dir(str(tmp_path / "a.csv"), str(tmp_path / "new" / "deep")) == str(tmp_path / "new" / "deep" / "a.csv")


@needs_root
def test_a_lock_file_of_another_user_is_refused():
    with open_folder() as folder:
        (folder / "state").mkdir()
        (folder / "state").chmod(0o777)
        as_him(lambda: (folder / "state" / "lock").write_text("{}"))
        with pytest.raises(PermissionError, match="another user"):
            StateLock(str(folder / "state" / "lock")).acquire(me(), patience=0.2)
        give_him(folder / "state")
        with pytest.raises(PermissionError, match="another user"):
            StateLock(str(folder / "state" / "lock")).acquire(me(), patience=0.2)
        assert (folder / "state" / "lock").read_text() == "{}"


def test_a_queue_that_is_replaced_while_it_is_opened_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whether before SQLite opens it, or after."""
    (tmp_path / "elsewhere").mkdir()
    with database.opening(str(tmp_path / "elsewhere" / "spool.db")) as db:
        db.close()
    (tmp_path / "state").mkdir()
    path, real, connect = tmp_path / "state" / "spool.db", tmp_path / "elsewhere" / "spool.db", sqlite3.connect
    with database.opening(str(path)) as db:
        db.close()

    def swap() -> None:
        path.rename(tmp_path / "state" / "was")
        path.symlink_to(real)

    def back() -> None:
        path.unlink()
        (tmp_path / "state" / "was").rename(path)

    def connected(name: str, then: Callable[[], None], **options: Any) -> sqlite3.Connection:
        swap()
        db = connect(name, **options)
        db.execute("PRAGMA user_version").fetchone()
        then()
        return db

    for then in (lambda: None, back):
        monkeypatch.setattr(database.sqlite3, "connect", functools.partial(connected, then=then))
        with pytest.raises(PermissionError, match="replaced"), database.opening(str(path)):
            pass
        monkeypatch.undo()
        if path.is_symlink():
            back()
    with database.opening(str(path)) as db:
        db.close()
