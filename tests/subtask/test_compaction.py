"""What a child remembers of files that are gone: bounded once a day; no receipt is lost or there twice, wherever it is killed."""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.years import problems, rounds
from proofs.crash.steps import CRASHED, Steps
from pysubtask.common import own_files
from pysubtask.common.notify import Stamp
from pysubtask.common.receipt_months import MonthFiles, months, name_of
from pysubtask.common.receipts import parse, read_receipts
from pysubtask.control.commands.receipts import _of
from pysubtask.subtask.spool import compaction, database
from pysubtask.subtask.spool.jobs import DeliveryResult, QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.transports.base import RemoteStat

HERE = "sftp://pi@h/in"
DAY = 86400.0
OCTOBER, NOVEMBER = 1_793_000_000.0, 1_795_000_000.0  # 2026-10-26, 2026-11-18


@pytest.fixture(autouse=True)
def compacts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "COMPACT_BYTES", 1)
    monkeypatch.setattr(compaction, "MANY_STAMPS", 1)
    monkeypatch.setattr(compaction, "KNOWN_GONE", 3)


class Station:
    """A state folder, its queue and a folder of data. ``wall`` is a clock that is set."""

    def __init__(self, top: Path, wall: float = OCTOBER) -> None:
        self.data, self.state, self.wall = top / "data", top / "state", wall
        self.data.mkdir(exist_ok=True)
        self.state.mkdir(exist_ok=True)
        self.kept: set[str] = set()
        self.open()

    def open(self) -> None:
        self.spool_thread = SpoolThread(str(self.state), HERE, lambda *paths: None, lambda: self.wall)
        self.spool = self.spool_thread.spool

    def deliver(self, *names: str, signature: bytes = b"") -> None:
        def all_of_it() -> None:
            for name in names:
                self.spool.queue.enqueue([self.snapshot(name)])
                (job,) = self.spool.queue.claim(1, 0.0, self.wall)
                self.spool_thread.deliver([DeliveryResult(job.id, RemoteStat(job.size, 1), 1, "size", signature=signature)])

        self.spool_thread.run(all_of_it)

    def snapshot(self, name: str) -> QueuedSnapshot:
        path, stamp = str(self.data / name), Stamp(int(self.wall), 5, 1)
        return QueuedSnapshot(name, path, "/bak", False, 5, 5, f"{name} {self.wall}", 1.0, stamp, path + ".notify", stamp)

    def forget(self, *names: str) -> None:
        """As the watch does for files that are gone."""
        self.spool_thread.run(self.spool.stamps.forget, [str(self.data / name) for name in names])

    def compact(self, keep_months: int = 24) -> None:
        self.spool_thread.compaction.daily(keep_months, lambda path: os.path.basename(path) in self.kept)
        self.spool_thread.compaction.wait()

    def present(self) -> list[tuple[int, str]]:
        return [(receipt.seq, receipt.name) for receipt in read_receipts(str(self.state))]

    def put_away(self) -> list[int]:
        """The numbers in all files of months."""
        lines = [line for month in months(str(self.state)) for line in (self.state / name_of(month)).read_bytes().splitlines(True)]
        return [receipt.seq for receipt in map(parse, lines) if receipt is not None]

    def known(self, *names: str) -> list[str]:
        return [name for name in names if self.spool_thread.run(self.spool.remote_files.known, name) is not None]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    one = Station(tmp_path)
    yield one
    one.spool_thread.close()


def test_files_that_are_gone_are_forgotten_but_for_the_last_few(station: Station):
    (station.data / "there").touch()
    station.deliver("there", signature=b"signed")
    names = [f"gone{number}" for number in range(8)]
    for name in names:
        station.deliver(name, signature=b"signed")
        station.forget(name)
    station.compact()
    assert station.present() == [(1, "there"), (7, "gone5"), (8, "gone6"), (9, "gone7")]
    assert station.put_away() == list(range(1, 10))
    assert station.known("there", *names) == ["there", "gone5", "gone6", "gone7"]
    signatures = [name for name in names if station.spool_thread.run(station.spool.remote_files.signature, name)]
    assert signatures == ["gone5", "gone6", "gone7"]
    assert set(station.spool.stamps.sources) == {str(station.data / "there")}


def test_stamps_of_files_gone_while_no_child_ran_are_forgotten(station: Station):
    for name in ("there", "signed.notify"):
        (station.data / name).touch()
    station.kept.add("away")
    station.deliver("there", "went", "signed", "away")
    station.spool_thread.close()
    station.open()
    station.compact()
    stays = {str(station.data / name) for name in ("there", "signed", "away")}
    assert set(station.spool.stamps.sources) == stays
    assert set(station.spool.stamps.signals) == {path + ".notify" for path in stays}
    station.spool_thread.close()
    station.open()
    assert set(station.spool.stamps.sources) == stays, "also in the file"


def test_a_file_that_comes_back_meanwhile_keeps_its_stamps(station: Station, monkeypatch: pytest.MonkeyPatch):
    station.deliver("a")
    lexists = os.path.lexists

    def comes_back(path: str) -> bool:
        found = lexists(path)
        if threading.current_thread().name == "compaction" and path == str(station.data / "a"):
            station.wall += 1
            station.deliver("a")
        return found

    monkeypatch.setattr(os.path, "lexists", comes_back)
    station.compact()
    assert str(station.data / "a") in station.spool.stamps.sources


def test_what_waits_in_the_queue_is_known(station: Station):
    station.deliver("waits", "sent")
    station.forget("waits", "sent")
    station.wall += 10
    station.spool_thread.run(station.spool.queue.enqueue, [station.snapshot("waits"), station.snapshot("sent")])
    station.spool_thread.run(station.spool.queue.claim, 1, 0.0, station.wall)
    station.forget("waits", "sent")
    station.deliver(*(f"x{number}" for number in range(5)))
    station.forget(*(f"x{number}" for number in range(5)))
    station.compact()
    assert station.known("waits", "sent", "x0", "x4") == ["waits", "sent", "x4"]


def test_it_works_once_a_day_whatever_the_number_of_starts(station: Station):
    station.deliver(*"abcdefgh")
    station.forget(*"abcdefgh")
    station.compact()
    before = (station.state / "receipts.jsonl").stat().st_ino
    for _ in range(3):
        station.deliver(*"ijklm")
        station.forget(*"ijklm")
        station.compact()
        station.spool_thread.close()
        station.open()
        station.compact()
    assert (station.state / "receipts.jsonl").stat().st_ino == before
    station.wall += DAY
    station.compact()
    assert (station.state / "receipts.jsonl").stat().st_ino != before
    assert station.put_away() == list(range(1, 24)) and [seq for seq, _ in station.present()] == [21, 22, 23]


def test_little_is_left_alone(station: Station, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compaction, "COMPACT_BYTES", 512 * 1024)
    monkeypatch.setattr(compaction, "MANY_STAMPS", 1000)
    station.deliver(*"abcdefgh")
    station.compact()
    assert len(station.present()) == 8 and station.put_away() == [] and len(station.spool.stamps.sources) == 8


def test_a_month_that_is_over_stays_and_the_oldest_goes(station: Station):
    (station.data / "there").touch()
    station.deliver("there", *"abcde")
    station.forget(*"abcde")
    station.compact()
    october = station.state / "receipts-2026-10.jsonl"
    found = october.stat()
    station.wall = NOVEMBER
    station.deliver(*"fghij")
    station.forget(*"fghij")
    station.compact()
    after = october.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (found.st_mtime_ns, found.st_size, found.st_ino)
    assert months(str(station.state)) == ["2026-10", "2026-11"]
    station.wall += DAY
    station.compact(keep_months=1)
    assert months(str(station.state)) == ["2026-11"]
    assert (1, "there") in station.present(), "what the archive asks for stays"


def test_what_is_delivered_meanwhile_is_kept(station: Station, monkeypatch: pytest.MonkeyPatch):
    station.deliver(*"abcdefgh")
    station.forget(*"abcdefgh")
    flush = MonthFiles.flush

    def flush_and_deliver(files: MonthFiles) -> None:
        flush(files)
        station.deliver("late")
        station.forget("late")

    monkeypatch.setattr(MonthFiles, "flush", flush_and_deliver)
    station.compact()
    assert station.present() == [(6, "f"), (7, "g"), (8, "h"), (9, "late")] and station.put_away() == list(range(1, 9))
    assert station.known("a", "late") == ["late"]


@pytest.mark.parametrize("call", ["write_all", "rename", "sync_folder"])
def test_a_disk_that_fails_costs_nothing_and_it_is_tried_again(station: Station, monkeypatch: pytest.MonkeyPatch, call: str):
    station.deliver(*"abcdefgh")
    station.forget(*"abcdefgh")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(own_files, call, fail)
        station.compact()
    assert len(station.present()) == 8 and "receipts.jsonl.new" not in os.listdir(station.state)
    station.wall += DAY
    station.compact()
    assert len(station.present()) == 3 and station.put_away() == list(range(1, 9))


def test_a_child_that_ends_does_not_wait_for_all_of_it(station: Station, monkeypatch: pytest.MonkeyPatch):
    station.deliver(*"abcdefgh")
    begun, add = threading.Event(), MonthFiles.add

    def add_slowly(*args: object) -> None:
        begun.set()
        station.spool_thread.compaction._ending.wait(30)
        add(*args)

    with monkeypatch.context() as patched:
        patched.setattr(MonthFiles, "add", add_slowly)
        station.spool_thread.compaction.daily(24, lambda path: False)
        assert begun.wait(30)
        station.spool_thread.close()
    assert len(station.present()) == 8
    station.open()
    station.compact()
    assert len(station.present()) == 3 and station.put_away() == list(range(1, 9)), "the next start has it to do"


def test_numbers_go_on_behind_the_months_where_all_else_is_lost(station: Station):
    station.deliver(*"abcdefgh")
    station.compact()
    station.spool_thread.close()
    for name in ("spool.db", "receipts.jsonl"):
        (station.state / name).unlink()
    station.open()
    station.deliver("new")
    assert station.present() == [(9, "new")]


def test_the_file_of_the_queue_gets_smaller(station: Station, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_SHRINK_BYTES", 1_000_000)
    rows = [(HERE, b"%06d" % number, b"/nowhere/%06d" % number, "d" * 2000) for number in range(1000)]
    statement = "INSERT INTO remote (destination, name, path, digest) VALUES (?, ?, ?, ?)"

    def store() -> None:
        with station.spool._db as db:
            db.execute("BEGIN")
            db.executemany(statement, rows)

    station.spool_thread.run(store)
    station.deliver(*"abcd")
    station.compact()
    station.spool_thread.close()
    assert (station.state / "spool.db").stat().st_size < 300_000
    station.open()
    assert station.known("000001", "d") == ["d"]


class Child:
    """A child as the command asks for its receipts."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = str(state_dir)

    def ask(self, call: Callable[[], object]) -> object:
        return call()


def test_the_command_finds_receipts_of_files_that_are_long_gone(station: Station):
    station.deliver(*"aabcdefgh")
    station.wall += 10
    station.deliver("a")
    station.forget(*"abcdefgh")
    station.deliver(*"xyz")
    station.forget(*"xyz")
    station.compact()
    child = Child(station.state)
    for asked in ("a", str(station.data / "a")):
        assert [(receipt.name, receipt.seq) for receipt in _of(child, [asked])] == [("a", 10)]  # type: ignore[arg-type]
    assert {receipt.name for receipt in _of(child, ["b", "z", "never"])} == {"b", "z"}  # type: ignore[arg-type]
    assert [receipt.name for receipt in _of(child, [])] == ["x", "y", "z"]  # type: ignore[arg-type]


def one_life(top: Path, crash_at: int) -> int:
    """A child that compacts and then delivers, killed before this step (0: at none): how it ended, as a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            Steps(crash_at).install()
            station = Station(top, NOVEMBER)
            station.compact(keep_months=2)
            station.deliver("after")
            station.spool_thread.close()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_a_kill_before_any_step_loses_and_repeats_no_receipt(tmp_path: Path):
    before = tmp_path / "before"
    before.mkdir()
    station = Station(before)
    (station.data / "there").touch()
    station.deliver("there", *"abcdefgh")
    station.wall = NOVEMBER - DAY
    station.deliver("there", *"ijk")
    station.spool_thread.close()
    crash_at, ended = 0, CRASHED
    while ended == CRASHED:
        crash_at += 1
        top = tmp_path / str(crash_at)
        shutil.copytree(before, top)
        # The paths are those of the folder that was copied; what is there, and what is not, is the same.
        ended = one_life(top, crash_at)
        assert ended in (0, CRASHED)
        then = Station(top, NOVEMBER + DAY)
        found = Counter(then.put_away())
        numbers = {receipt.seq for receipt in read_receipts(str(then.state))} | set(found)
        assert numbers >= set(range(1, 14)) and set(found.values()) <= {1}, crash_at
        then.deliver("last")
        then.compact()
        last = max(numbers) + 1
        assert then.put_away() == list(range(1, last + 1)), crash_at
        assert sorted(os.listdir(then.state))[:3] == ["receipts-2026-10.jsonl", "receipts-2026-11.jsonl", "receipts.jsonl"]
        assert "receipts.jsonl.new" not in os.listdir(then.state)
        assert (10, "there") in then.present() and then.present()[-1] == (last, "last")
        then.spool_thread.close()
    assert crash_at > 25


@pytest.mark.slow
def test_years_of_new_names_cost_a_start_no_more_than_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    found = list(rounds(tmp_path, 50_000, 5, every=10))
    assert problems(tmp_path, 50_000) == []
    assert max(one.secs for one in found) < 1 and max(one.rss for one in found) < 60
    assert max(one.state for one in found) < 24 and found[-1].queue < 1.5 * found[2].queue
