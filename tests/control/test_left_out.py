"""What is left out, and what still has to be quiet, stands on the page with its name and its reason, and in ``status``."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.entries import CONFIG_FILE_DEFAULTS, read_entries
from pysubtask.common.why import not_queued
from pysubtask.control.config.config_file import load
from pysubtask.control.preview.dry_run import dry_run
from pysubtask.control.view.status_view import left_out
from pysubtask.subtask.watch.watcher import Watcher
from tests.support.helpers import wait_until
from tests.support.station import Station
from tests.support.watched_world import Memory

NOW = 1_790_000_000.0


def watch_of(folder: Path, **more: Any) -> Watcher:
    entries = read_entries([{"dir": ".", **CONFIG_FILE_DEFAULTS["dir"], **more}], cwd=str(folder))
    return Watcher(entries, Memory(), (), lambda: None, False)


def reasons(watch: Watcher, now: float = 0.0) -> dict[str, str]:
    watch.scan(now)
    return {os.path.basename(row["path"]): row["why"] for row in watch.report.left_out()[0]}


def test_each_reason(tmp_path: Path):
    for name in ("a.csv", "a.part", "b.txt", "a.csv.notify", "netrc"):
        (tmp_path / name).write_text("1")
    (tmp_path / "out").symlink_to("/etc/hosts")
    (tmp_path / "below").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock.csv"))
        found = reasons(watch_of(tmp_path, exclude="*.txt"))
    assert set(found) == {"a.part", "b.txt", "out", "pipe.csv", "sock.csv"}
    assert found["a.part"].endswith("temporary file (default_exclude)") and found["b.txt"] == "include or exclude of its entry"
    assert found["pipe.csv"] == found["sock.csv"] == "no plain file" and found["out"]


def test_many_are_counted_and_few_are_named(tmp_path: Path):
    for number in range(25):
        (tmp_path / f"{number}.part").write_text("1")
    for number in range(2):
        (tmp_path / f"sub{number}").mkdir()
        (tmp_path / f"sub{number}" / "x.tmp").write_text("1")
    watch = watch_of(tmp_path, recursive=True)
    watch.scan(0.0)
    rows, more = watch.report.left_out()
    assert (len(rows), more) == (10, 17)
    for path in tmp_path.rglob("*.*"):
        path.unlink()
    watch.scan(100.0)
    assert watch.report.left_out() == ([], 0)


def test_how_it_is_worded():
    rows = [{"path": f"/d/{name}", "why": "a reason"} for name in "abcd"] + [{"path": "/d/x", "why": "another"}]
    assert left_out({"excluded": rows, "excluded_more": 1200}) == [
        "Left out: 1205 files: a, b, c ... (a reason); x (another); 1,200 more ('pysubtask check' lists all)"
    ]
    assert left_out({}) == left_out({"excluded": [], "excluded_more": 0}) == []


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        ([{"path": "/d/film.mp4", "settle_secs": 600.0}], 0, "1 file waits until quiet for settle_secs (600 s): film.mp4"),
        (
            [{"path": f"/d/{name}", "settle_secs": 30} for name in "abcd"],
            5,
            "9 files wait until quiet for settle_secs (30 s): a, b, c and 6 more",
        ),
    ],
)
def test_what_settles_is_no_secret(rows: list[dict[str, Any]], more: int, words: str):
    assert not_queued({"settling": rows, "settling_more": more}, NOW) == [words]


@pytest.mark.slow
def test_of_a_real_child(tmp_path: Path):
    one = Station(tmp_path, [{"dir": str(tmp_path / "data"), "settle_secs": 600, "exclude": "*.raw"}])
    try:
        one.write("a.raw", "1")
        one.master.start()
        one.pid()
        one.write("slow.csv", "1")
        wait_until(
            lambda: [row["path"] for row in one.page().get("settling") or []] == [str(tmp_path / "data" / "slow.csv")],
            what="the file that settles on the page",
        )
        assert one.page()["excluded"] == [{"path": str(tmp_path / "data" / "a.raw"), "why": "include or exclude of its entry"}]
    finally:
        one.close()


def test_check_tells_of_a_database_that_is_in_use(tmp_path: Path):
    (tmp_path / "data").mkdir()
    config = tmp_path / "x.toml"
    config.write_text('[ftp]\nHost = "h"\nUser = "me"\n[[watch]]\ndir = "data"\n')
    config.chmod(0o600)
    with sqlite3.connect(tmp_path / "data" / "w.db") as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t(a)")
        db.commit()
        [task] = load(str(config), {}).tasks
        [child] = dry_run(task, NOW).children
        skipped = {os.path.basename(row.path): row.why for row in dry_run(task, NOW).skipped}
        assert {row.name: row.why for row in child.send}["w.db"].startswith("new; an SQLite database that is in use")
        assert "VACUUM INTO" in child.send[0].why
        assert skipped["w.db-wal"].startswith("SQLite keeps it beside the open database w.db")
    db.close()
