"""State folders that earlier commits wrote (``tests/recorded``) are taken over: nothing is lost, and nothing sent again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common import registry
from pysubtask.common.errors import SpoolTooNew
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.state_place import hash_of
from pysubtask.common.status import read_status
from pysubtask.control.config.config_file import load
from pysubtask.delivery_rules.remote_content import Known
from pysubtask.subtask.offline.offline_queue import read_queue
from pysubtask.subtask.spool import database
from pysubtask.subtask.spool.spool import Spool
from pysubtask.subtask.state_migration import tag_of
from pysubtask.testing import ftp_server, sftp_server
from pysubtask.transports.base import RemoteStat
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

ALL = Path(__file__).parents[1] / "recorded"
RECORDED = ALL / "38b320c"
WAS = "/srv/station/data"
FTP = "ftp://pi@127.0.0.1:29952/in"


def copy(folder: Path, recorded: Path = RECORDED, later: tuple[str, ...] = ("two.jpg",)) -> Path:
    """The state folder of a task whose data folder is ``folder``/data; its paths are those of here. ``later``: what was written
    100 s after the rest."""
    shutil.copytree(recorded / "data", folder / "data")
    for path in (folder / "data").rglob("*.*"):
        # A checkout gives files the time of the checkout.
        secs = 1_790_000_100 if path.name.endswith(later) else 1_790_000_000
        os.utime(path, (secs, secs))
    state = folder / "data" / ".pysubtask" / "main" / "ftp"
    shutil.copytree(recorded / "state", state)
    db = sqlite3.connect(state / "spool.db")
    for table, column in (("source", "path"), ("stamp", "path"), ("remote", "path"), ("job", "path"), ("job", "snapshot")):
        for (value,) in db.execute(f"SELECT {column} FROM {table}").fetchall():
            moved = os.fsencode(os.fsdecode(value).replace(WAS, str(folder / "data")))
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, value))
    db.commit()
    db.close()
    return state


def test_its_queue_receipts_events_and_page_are_read(tmp_path: Path):
    state = copy(tmp_path)
    found = read_queue(str(state))
    assert found is not None and [row.name for row in found.rows] == ["two.jpg"]
    assert [receipt.name for receipt in read_receipts(str(state))] == ["one.jpg", "weather.csv"]
    assert [event.kind for event in read_events(str(state))].count("delivered") == 2
    page = read_status(str(state))
    assert page is not None and page["state"] == "stopped" and page["destination"] == FTP
    spool = Spool(str(state / "spool.db"), FTP, 0.0)
    assert not spool.start.moved and spool.start.former == ""
    digest = json.loads((state / "receipts.jsonl").read_text().splitlines()[1])["digest"]
    assert spool.remote_files.known("weather.csv") == Known(RemoteStat(2804, 1_790_000_000), digest)
    (version,) = spool.queue.claim(5, 0.0, 0.0)
    assert (version.name, version.former) == ("two.jpg", None) and os.path.exists(version.snapshot)
    spool.close()


@pytest.mark.slow
def test_a_task_goes_on_with_it_over_another_protocol(tmp_path: Path):
    """The files lie on the server as they were delivered; the config now says SFTP."""
    state = copy(tmp_path)
    files = tmp_path / "files"
    (files / "in").mkdir(parents=True)
    for name in ("weather.csv", "pics/one.jpg"):
        shutil.copy2(tmp_path / "data" / name, files / "in" / os.path.basename(name))
    with sftp_server(files, user="pi", password="a password") as sftp:
        data = tmp_path / "data"
        entries = [{"file": str(data / "weather.csv"), "on_change": True}, {"dir": str(data / "pics"), "notify_files": False}]
        one = SFTPStation(tmp_path, files / "in", {**sftp.settings(password=True), "HostPath": "in"}, entries)
        try:
            one.master.start()
            wait_until(lambda: len(list(read_receipts(str(state)))) == 5, 60, "a receipt for each file")
            found = {receipt.name: receipt for receipt in list(read_receipts(str(state)))[2:]}
            assert {name: receipt.bytes_sent for name, receipt in found.items()} == {"weather.csv": 0, "one.jpg": 0, "two.jpg": 9}
            assert all(receipt.destination.startswith("sftp://pi@127.0.0.1:") for receipt in found.values())
            assert (files / "in" / "two.jpg").read_bytes() == (data / "pics" / "two.jpg").read_bytes()
            # And what it does from now on.
            with open(data / "weather.csv", "a") as file:
                file.write("2;21.0\n")
            one.arrived("weather.csv", secs=40)
        finally:
            one.close()


def test_a_state_older_than_the_profile_gets_none(tmp_path: Path):
    """Format 3 of the queue: what is in it stays, and what the server does is learned from here on."""
    state = copy(tmp_path, ALL / "f192b9b", ("two.jpg", "gone.jpg", "weather.csv"))
    here = "sftp://pi@127.0.0.1:41309/in"
    for kept in ("", "what was learned"):
        spool = Spool(str(state / "spool.db"), here, 0.0)
        assert not spool.start.moved and spool.meta.profile() == kept
        assert spool.remote_files.known("weather.csv") is not None and spool.remote_files.known("one.jpg") is not None
        assert spool.queue_admin.counts().waiting == 3
        spool.meta.keep_profile("what was learned")
        spool.close()
    page = read_status(str(state))
    assert page is not None and "server" not in page


def test_an_earlier_version_refuses_what_this_one_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state = copy(tmp_path, ALL / "f192b9b")
    Spool(str(state / "spool.db"), FTP, 0.0).close()
    monkeypatch.setattr(database, "FORMAT", 3)  # as f192b9b has it
    with pytest.raises(SpoolTooNew, match=r"format 4, this one knows 3.*Install that version again"):
        Spool(str(state / "spool.db"), FTP, 0.0)


def copy_of_shared(folder: Path, destination: str) -> Path:
    """That of a folder which others may write, as it was on the disk; it sends to ``destination``."""
    state = copy(folder, ALL / "f192b9b", ("two.jpg", "gone.jpg", "weather.csv"))
    (folder / "data").chmod(0o1777)
    for part in (state, *state.parents[:2], folder / "data" / "upload", folder / "data" / "upload" / "ftp"):
        part.chmod(0o700)
    for file in state.iterdir():
        file.chmod(file.stat().st_mode & 0o700)
    # The names of snapshots begin with a few characters that stand for the state folder.
    with contextlib.closing(sqlite3.connect(state / "spool.db")) as db, db:
        for path in (folder / "data" / "upload" / "ftp").iterdir():
            renamed = path.with_name(path.name.replace(tag_of(f"{WAS}/.pysubtask/main/ftp"), tag_of(str(state))))
            db.execute("UPDATE job SET snapshot = ? WHERE snapshot = ?", (os.fsencode(renamed), os.fsencode(path)))
            path.rename(renamed)
        db.execute("UPDATE meta SET value = ? WHERE key = 'destination'", (destination,))
        db.execute("UPDATE remote SET destination = ?", (destination,))
        for (path,) in db.execute("SELECT path FROM source").fetchall():
            if os.path.exists(path):
                # A checkout gives files other numbers.
                db.execute("UPDATE source SET inode = ? WHERE path = ?", (os.stat(path).st_ino, path))
    return state


@pytest.mark.slow
def test_a_shared_folder_is_left_with_all_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The state moves; nothing is lost, also what is in the queue alone, and nothing is sent twice."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "home" / "tasks"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    files, data = tmp_path / "files", tmp_path / "data"
    (files / "in").mkdir(parents=True)
    with sftp_server(files, user="pi", password="a password") as sftp:
        settings = {**sftp.settings(password=True), "HostPath": "in"}
        old = copy_of_shared(tmp_path, f"sftp://pi@127.0.0.1:{settings['HostPort']}/in")
        (files / "in" / "one.jpg").write_bytes((data / "pics" / "one.jpg").read_bytes())
        os.utime(files / "in" / "one.jpg", (1_790_000_000, 1_790_000_000))
        (files / "in" / "weather.csv").write_bytes((data / "weather.csv").read_bytes()[:-9])
        os.utime(files / "in" / "weather.csv", (1_790_000_000, 1_790_000_000))
        shutil.copytree(old, tmp_path / "before")
        entries = [{"file": str(data / "weather.csv"), "on_change": True}, {"dir": str(data / "pics"), "notify_files": False}]
        one = SFTPStation(tmp_path, files / "in", settings, entries)
        try:
            one.master.start()
            new = Path(one.master._supervisor.children[0].plan.state_dir)
            assert new == tmp_path / "home" / "pysubtask" / "state" / hash_of(str(data)) / "main" / "ftp"
            wait_until(lambda: "state_moved" in [event.kind for event in read_events(str(new))], 60, "the move")
            page = wait_until(lambda: waiting(new), 60, "its queue")
            assert page["paused"], "still"
            one.master.resume()
            wait_until(lambda: len(list(read_receipts(str(new)))) == 5, 60, "the receipts of what waited")
            sent = {receipt.name: receipt.bytes_sent for receipt in list(read_receipts(str(new)))[2:]}
            assert sent == {"weather.csv": 9, "two.jpg": 9, "gone.jpg": 41}, "only what was not there"
            assert list(read_receipts(str(new)))[:2] == list(read_receipts(str(tmp_path / "before")))
            assert (files / "in" / "gone.jpg").read_bytes() == b"picture 3, of which only the copy is left"
            assert (files / "in" / "weather.csv").read_bytes() == (data / "weather.csv").read_bytes()
            # Nothing is due again.
            (data / "pics" / "last.jpg").write_bytes(b"the last")
            wait_until(lambda: len(list(read_receipts(str(new)))) > 5, 60, "one more")
            assert [receipt.name for receipt in read_receipts(str(new))][5:] == ["last.jpg"]
            assert not (data / "upload").exists() and sorted(path.name for path in old.iterdir()) == ["moved_to", "spool.db"]
        finally:
            one.close()


def waiting(state: Path) -> dict[str, Any]:
    """The page, once it says that three versions wait."""
    page = read_status(str(state)) or {}
    return page if page["queue"]["waiting"] == 3 else {}


@pytest.mark.slow
def test_an_earlier_state_logs_and_queue_are_taken_over(tmp_path: Path):
    """Only what waited is sent; events and receipts go on behind those that are there, and the log is written on."""
    before = ALL / "9f04f7c"
    state = copy(tmp_path, before)
    files = tmp_path / "files"
    (files / "in").mkdir(parents=True)
    for name in ("weather.csv", "pics/one.jpg"):
        shutil.copy2(tmp_path / "data" / name, files / "in" / os.path.basename(name))
    log = tmp_path / "data" / "logs" / "child.txt"
    with ftp_server(files) as server:
        settings = {**server.settings(), "HostPath": "in", "Subtask_Log_FileName": str(log)}
        was, here = "ftp://pi@127.0.0.1:20352/in", f"ftp://pi@127.0.0.1:{settings['HostPort']}/in"
        with contextlib.closing(sqlite3.connect(state / "spool.db")) as db, db:
            assert db.execute("UPDATE meta SET value = ? WHERE key = 'destination' AND value = ?", (here, was)).rowcount == 1
            for table in ("remote", "profile"):
                assert db.execute(f"UPDATE {table} SET destination = ? WHERE destination = ?", (here, was)).rowcount
        data = tmp_path / "data"
        entries = [{"file": str(data / "weather.csv"), "on_change": True}, {"dir": str(data / "pics"), "notify_files": False}]
        one = SFTPStation(tmp_path, files / "in", settings, entries)
        try:
            one.master.start()
            one.arrived("pics/two.jpg")
            one.idle()
        finally:
            one.master.stop(forcekill=False)
        assert [(receipt.seq, receipt.name) for receipt in read_receipts(str(state))][2:] == [(3, "two.jpg")]
        events = list(read_events(str(state)))
        assert {event.epoch for event in events} == {1, 2}
        assert [event.fields["name"] for event in events if event.epoch == 2 and event.kind == "delivered"] == ["two.jpg"]
    assert log.read_text().startswith((before / "data" / "logs" / "child.txt").read_text())
    page = read_status(str(state))
    assert page is not None and page["state"] == "stopped" and page["queue"]["waiting"] == 0


def test_an_earlier_config_means_the_same(tmp_path: Path):
    shutil.copy(ALL / "9f04f7c" / "station.toml", tmp_path)
    (tmp_path / "station.password").write_text("a password\n")
    (tmp_path / "station.password").chmod(0o600)
    (tmp_path / "camera").mkdir()
    (tmp_path / "weather.csv").touch()
    (task,) = load(str(tmp_path / "station.toml"), {}).tasks
    assert task.name == "station" and [plan.extension for plan in task.plans] == ["ftp"]
    settings = task.plans[0].settings
    assert (settings["Host"], settings["HostPort"], settings["HostPath"], settings["UseSFTP"]) == ("127.0.0.1", 20352, "in", False)
    assert settings["Password"] == "a password"
    assert [(entry.kind, entry.path, entry.on_change) for entry in task.entries] == [
        ("dir", str(tmp_path / "camera"), True),
        ("file", str(tmp_path / "weather.csv"), True),
    ]
