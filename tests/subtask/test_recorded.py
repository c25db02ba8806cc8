"""State folders that earlier commits wrote (``tests/recorded``) are taken over: nothing is lost, and nothing sent again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pysubtask.common.errors import SpoolTooNew
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.status import read_status
from pysubtask.subtask import database
from pysubtask.subtask.look import look
from pysubtask.subtask.plan import Known
from pysubtask.subtask.spool import Spool
from pysubtask.testing import sftp_server
from pysubtask.transports.base import RemoteStat
from tests.e2e.station import SFTPStation
from tests.helpers import wait_until

RECORDED = Path(__file__).parents[1] / "recorded"
WAS = "/srv/station/data"
FTP = "ftp://pi@127.0.0.1:29952/in"


def copy(folder: Path, commit: str = "38b320c") -> Path:
    """The state folder of a task whose data folder is ``folder``/data; its paths are those of here."""
    shutil.copytree(RECORDED / commit / "data", folder / "data")
    for path in (folder / "data").rglob("*.*"):
        # A checkout gives files the time of the checkout.
        secs = 1_790_000_100 if path.name.endswith("two.jpg") else 1_790_000_000
        os.utime(path, (secs, secs))
    state = folder / "data" / ".pysubtask" / "main" / "ftp"
    shutil.copytree(RECORDED / commit / "state", state)
    db = sqlite3.connect(state / "spool.db")
    for table, column in (("source", "path"), ("stamp", "path"), ("remote", "path"), ("job", "path"), ("job", "snapshot")):
        for (value,) in db.execute(f"SELECT {column} FROM {table}").fetchall():
            moved = os.fsencode(os.fsdecode(value).replace(WAS, str(folder / "data")))
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, value))
    db.commit()
    db.close()
    return state


def test_its_queue_receipts_events_and_page_are_read(tmp_path: Path) -> None:
    state = copy(tmp_path)
    found = look(str(state))
    assert found is not None and [row.name for row in found.rows] == ["two.jpg"]
    assert [receipt.name for receipt in read_receipts(str(state))] == ["one.jpg", "weather.csv"]
    assert [event.kind for event in read_events(str(state))].count("delivered") == 2
    page = read_status(str(state))
    assert page is not None and page["state"] == "stopped" and page["destination"] == FTP
    spool = Spool(str(state / "spool.db"), FTP, 0.0)
    assert not spool.moved and spool.former == ""
    digest = json.loads((state / "receipts.jsonl").read_text().splitlines()[1])["digest"]
    assert spool.known("weather.csv") == Known(RemoteStat(2804, 1_790_000_000), digest)
    (version,) = spool.take(5, 0.0, 0.0)
    assert (version.name, version.former) == ("two.jpg", None) and os.path.exists(version.snapshot)
    spool.close()


def test_a_task_goes_on_with_it_over_another_protocol(tmp_path: Path) -> None:
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


def test_one_of_before_the_profile_of_the_server_is_taken_over_and_has_none(tmp_path: Path) -> None:
    """Format 3 of the queue: what is in it stays, and what the server does is learned from here on."""
    state = copy(tmp_path, "f192b9b")
    here = "sftp://pi@127.0.0.1:42737/in"
    spool = Spool(str(state / "spool.db"), here, 0.0)
    assert not spool.moved and spool.profile() == ""
    assert spool.known("weather.csv") is not None and spool.known("one.jpg") is not None
    (version,) = spool.take(5, 0.0, 0.0)
    assert version.name == "two.jpg" and os.path.exists(version.snapshot)
    spool.keep_profile("what was learned")
    spool.close()
    spool = Spool(str(state / "spool.db"), here, 0.0)
    assert spool.profile() == "what was learned"
    spool.close()
    found = look(str(state))
    assert found is not None and [row.name for row in found.rows] == ["two.jpg"]
    page = read_status(str(state))
    assert page is not None and "server" not in page and page["state"] == "waiting"


def test_an_earlier_version_refuses_what_this_one_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = copy(tmp_path, "f192b9b")
    Spool(str(state / "spool.db"), FTP, 0.0).close()
    monkeypatch.setattr(database, "FORMAT", 3)  # as f192b9b has it
    with pytest.raises(SpoolTooNew, match=r"format 4, this one knows 3.*Install that version again"):
        Spool(str(state / "spool.db"), FTP, 0.0)
