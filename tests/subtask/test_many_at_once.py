"""Very many files that are due at once: orders are looked at in between, and the page says how many are left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.events import read_events
from pysubtask.common.registry import Record
from pysubtask.common.why import not_queued
from pysubtask.control.commands.queue import lines_of, with_gone
from pysubtask.control.tasks.task import Task
from pysubtask.subtask.snapshot.known_stamps import KnownStamps
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.subtask.watch.watcher import Watcher
from tests.support.pipelines import pipeline_of

COUNT = 200


class Station:
    """An intake over a folder of many files; ``woken`` counts how often it asked to be called again."""

    def __init__(self, root: Path) -> None:
        (root / "data").mkdir()
        for number in range(COUNT):
            (root / "data" / f"{number}.csv").write_text("1\n")
        (root / "state").mkdir(mode=0o700)
        self.woken = 0
        self.snaps = Snapshotter(str(root / "bak"), "tag", lambda: 0)
        self.spool_thread = SpoolThread(str(root / "state"), "file:///nowhere", self.snaps.drop, time.time)
        entries = read_entries([{"dir": "data", "settle_secs": 0, "notify_files": False}], cwd=str(root))
        self.status_model = StatusModel(time.time)
        watch = Watcher(entries, KnownStamps(self.spool_thread), [], lambda: None, False)
        self.pipeline = pipeline_of(entries, watch, self.snaps, self.spool_thread, self.status_model, str(root / "data"), self.wake)

    def wake(self) -> None:
        self.woken += 1

    def left(self) -> int:
        return int(self.status_model.page()["being_copied"])


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    opened = Station(tmp_path)
    yield opened
    opened.spool_thread.close()


@pytest.mark.parametrize("everything", [False, True])
def test_after_its_time_the_rest_is_left_for_the_next_turn(station: Station, everything: bool):
    turns = 0
    while not turns or station.left():
        before = station.woken
        assert station.pipeline.take(time.monotonic(), everything=everything, most_secs=0) > 0
        turns += 1
        assert (station.woken > before) == (station.left() > 0)
        assert station.spool_thread.run(station.spool_thread.spool.queue_admin.counts).waiting == COUNT - station.left()
    assert turns > 2 and station.left() == 0


def test_within_its_time_all_is_taken(station: Station):
    assert station.pipeline.take(time.monotonic(), most_secs=60) == COUNT
    assert (station.left(), station.woken) == (0, 0)


def test_how_many_are_left_is_logged():
    assert not_queued({"being_copied": 80_000}, 0.0) == ["80000 files are due and not in the queue yet, which goes on"]
    assert not_queued({"being_copied": 0}, 0.0) == []


def test_what_is_deleted_before_it_could_be_copied_is_reported(station: Station, tmp_path: Path):
    """As by a job that removes what is old, while very many are due."""
    station.pipeline.take(time.monotonic(), most_secs=0)
    copied = {os.path.basename(path) for path in station.spool_thread.spool.stamps.sources}
    for number in range(COUNT):
        if f"{number}.csv" not in copied:
            (tmp_path / "data" / f"{number}.csv").unlink()
    while station.left():
        station.pipeline.take(time.monotonic(), most_secs=0)
    station.pipeline.take(time.monotonic())
    lost = {
        os.path.basename(event.fields["path"])
        for event in read_events(str(tmp_path / "state"))
        if event.kind == "deleted_before_copy"
    }
    assert lost == {f"{number}.csv" for number in range(COUNT)} - copied
    assert station.spool_thread.run(station.spool_thread.spool.queue_admin.counts).waiting == len(copied)


def test_a_queued_file_that_is_gone_here_is_marked(tmp_path: Path):
    (tmp_path / "there").write_text("1")
    row = {"state": "waiting", "at": None, "size": 1, "attempts": 0, "next_try_secs": 0.0, "reason": ""}
    child = Task(Record("roof", "ftp", "sftp://host", str(tmp_path)))
    rows, _ = with_gone(child, ([{**row, "name": name, "path": str(tmp_path / name)} for name in ("there", "gone")], True))
    assert [one["gone"] for one in rows] == [False, True]
    lines = lines_of("roof", rows, 100, 0.0, alive=True, limit=10)
    assert [line.strip() for line in lines if "deleted here" in line] == ["deleted here since; its copy is sent all the same"]
