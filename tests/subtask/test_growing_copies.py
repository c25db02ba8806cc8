"""The snapshots of growing files that are kept, and continued for the next job."""

import hashlib
import os
from types import SimpleNamespace

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.errors import DiskLow, SourceChanged
from pysubtask.subtask.engine.upload_client import UploadClient
from pysubtask.subtask.snapshot import copier, snapshotter
from pysubtask.subtask.snapshot.append_tracker import AppendTracker
from pysubtask.subtask.snapshot.copy_aids import CopyAids
from pysubtask.subtask.snapshot.growing_copies import KEPT_SECS, Continuation, GrowingCopies, GrowingCopy
from pysubtask.subtask.snapshot.known_stamps import KnownStamps
from pysubtask.subtask.snapshot.retakes import Retakes
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
from pysubtask.subtask.spool.jobs import DeliveryResult
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.subtask.watch.watcher import Watcher
from pysubtask.transports.base import Job, RemoteStat
from pysubtask.transports.shared.source import open_source
from tests.support.pipelines import pipeline_of

FIRST = os.urandom(300_000)
MORE = b"a line that was added\n" * 50


def sha(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data" / "data.csv"
    path.parent.mkdir()
    path.write_bytes(FIRST)
    return path


@pytest.fixture
def snaps(tmp_path):
    return Snapshotter(str(tmp_path / "bak"), "ftp", lambda: 0)


def first_copy(snaps, source):
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    return GrowingCopy(copied.path, copied.base, copied.size, copied.digest, "data.csv")


def grow(source, data=MORE):
    with open(source, "ab") as file:
        file.write(data)


# ---- the copy


def test_only_the_new_bytes_are_written(source, snaps, monkeypatch):
    kept = first_copy(snaps, source)
    inode = os.stat(kept.snapshot).st_ino
    grow(source)
    written, real = [], os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda *args: written.append(len(args[1])) or real(*args))
    copied = snaps.copy(str(source), grown=Continuation(kept, None))
    assert copied.continued and (copied.path, copied.size, copied.digest) == (kept.snapshot, len(FIRST + MORE), sha(FIRST + MORE))
    assert copied.prefixes[len(FIRST)] == sha(FIRST)
    assert sum(written) == len(MORE)
    snaps.seal([copied])
    assert read(kept.snapshot) == FIRST + MORE
    assert os.stat(kept.snapshot).st_ino == inode


def test_an_earlier_job_reads_what_it_was_queued_for(source, snaps):
    kept = first_copy(snaps, source)
    grow(source)
    snaps.copy(str(source), grown=Continuation(kept, None))
    handle = open_source(Job(kept.snapshot, len(FIRST), 0, "data.csv", "temp", sha256=kept.digest, snapshot=True))
    with os.fdopen(handle, "rb") as file:
        assert file.read(len(FIRST)) == FIRST


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(FIRST[:1000] + b"changed" + FIRST[1007:] + MORE),
        lambda path: path.write_bytes(FIRST[:-1] + b"?" + MORE),
        lambda path: path.write_bytes(FIRST[: len(FIRST) // 2]),
        lambda path: path.write_bytes(MORE),
        lambda path: path.write_bytes(b""),
    ],
    ids=["the middle changed", "the last byte changed", "cut in half", "begun anew", "emptied"],
)
def test_a_file_with_another_beginning_is_copied_whole(source, snaps, change):
    kept = first_copy(snaps, source)
    change(source)
    copied = snaps.copy(str(source), grown=Continuation(kept, None))
    snaps.seal([copied])
    assert not copied.continued and copied.path != kept.snapshot
    assert read(copied.path) == source.read_bytes()
    assert read(kept.snapshot) == FIRST, "a job may still need it"


def test_what_a_failed_copy_has_added_goes_first(source, snaps):
    kept = first_copy(snaps, source)
    with open(kept.snapshot, "ab") as file:
        file.write(b"left by a copy that failed" * 100)
    grow(source, b"short\n")
    copied = snaps.copy(str(source), grown=Continuation(kept, None))
    assert copied.continued
    assert read(kept.snapshot) == FIRST + b"short\n"


@pytest.mark.parametrize("harm", ["removed", "a link", "a second name", "shorter"])
def test_a_kept_snapshot_that_was_harmed_is_not_continued(source, snaps, tmp_path, harm):
    kept = first_copy(snaps, source)
    if harm == "shorter":
        os.truncate(kept.snapshot, 10)
    elif harm == "a second name":
        os.link(kept.snapshot, tmp_path / "second")
    else:
        os.rename(kept.snapshot, tmp_path / "elsewhere")
        if harm == "a link":
            os.symlink(tmp_path / "elsewhere", kept.snapshot)
    grow(source)
    copied = snaps.copy(str(source), grown=Continuation(kept, None))
    snaps.seal([copied])
    assert not copied.continued
    assert read(copied.path) == FIRST + MORE
    if harm == "a link":
        assert read(tmp_path / "elsewhere") == FIRST


def test_a_file_rewritten_meanwhile_is_no_mixture(source, snaps, monkeypatch):
    kept = first_copy(snaps, source)
    grow(source)
    real, done = os.preadv, []

    def preadv(*args):
        got = real(*args)
        if not done:
            done.append(1)
            source.write_bytes(os.urandom(len(FIRST + MORE)))
        return got

    monkeypatch.setattr(snapshotter.os, "preadv", preadv)
    with pytest.raises(SourceChanged):
        snaps.copy(str(source), grown=Continuation(kept, None))
    assert read(kept.snapshot)[: len(FIRST)] == FIRST


def test_a_full_disk_leaves_what_was_there(source, tmp_path):
    room = [0]
    snaps = Snapshotter(str(tmp_path / "bak"), "ftp", lambda: room[0])
    kept = first_copy(snaps, source)
    grow(source)
    room[0] = 1 << 62
    with pytest.raises(DiskLow):
        snaps.copy(str(source), grown=Continuation(kept, None))
    assert read(kept.snapshot) == FIRST


def test_the_end_of_an_append_only_file_is_continued(source, snaps):
    tracker = AppendTracker()
    whole = snaps.copy(str(source))
    tracker.keep(str(source), str(whole.temp), whole.inode, whole.size, 0, whole.sha, ())
    grow(source)
    tail = snaps.copy(str(source), start=tracker.start(str(source), len(FIRST)))
    tracker.keep(str(source), str(tail.temp), tail.inode, tail.size, tail.base, tail.sha, ())
    snaps.seal([tail])
    assert 0 < tail.base < len(FIRST)
    kept = GrowingCopy(tail.path, tail.base, tail.size, tail.digest, "data.csv")
    grow(source)
    copied = snaps.copy(str(source), grown=Continuation(kept, tracker.start(str(source), tail.size)))
    assert copied.continued and copied.base == tail.base
    assert copied.digest == sha(FIRST + MORE + MORE)
    assert read(tail.path) == (FIRST + MORE + MORE)[tail.base :]
    source.write_bytes(os.urandom(len(FIRST + MORE + MORE) + 1))
    copied = snaps.copy(str(source), grown=Continuation(kept, tracker.start(str(source), tail.size)))
    assert not copied.continued and copied.base == 0


# ---- which are kept


def copy_of(snapshot, name="a.csv"):
    return GrowingCopy(snapshot, 0, 10, "d", name)


def test_another_snapshot_takes_the_place_of_the_kept_one():
    copies = GrowingCopies()
    copies.keep("/data/a.csv", copy_of("/bak/1"))
    copies.keep("/data/a.csv", copy_of("/bak/1")._replace(size=20))
    assert copies.released() == []
    copies.keep("/data/a.csv", copy_of("/bak/2"))
    assert not copies.is_kept("/bak/1") and copies.is_kept("/bak/2")
    assert [copy.snapshot for copy in copies.released()] == ["/bak/1"]
    assert copies.released() == []


def test_a_job_with_another_name_continues_nothing():
    copies = GrowingCopies()
    copies.keep("/data/a.csv", copy_of("/bak/1"))
    assert copies.of("/data/a.csv", "b.csv") is None
    assert copies.of("/data/a.csv", "a.csv") == copy_of("/bak/1")


def test_what_has_not_grown_for_a_day_is_released():
    copies = GrowingCopies()
    copies.turn_begins(1000.0)
    copies.keep("/data/a.csv", copy_of("/bak/1"))
    copies.turn_begins(1000.0 + KEPT_SECS)
    assert copies.is_kept("/bak/1")
    copies.turn_begins(1001.0 + KEPT_SECS)
    assert not copies.is_kept("/bak/1")


# ---- with the queue


class Station:
    """A growing file, its watch, its pipeline and its queue."""

    def __init__(self, folder, source, *, shares):
        self.source = source
        self.bak = folder / "bak"
        state = folder / "state"
        state.mkdir()
        aids = CopyAids()
        aids.shares_snapshots = shares
        self.copies = aids.growing_copies
        snaps = Snapshotter(str(self.bak), "ftp", lambda: 0, is_kept=self.copies.is_kept)
        self.thread = SpoolThread(str(state), "sftp://me@host:22/in", snaps.drop)
        entries = read_entries([{"file": str(source)}])
        watch = Watcher(entries, KnownStamps(self.thread), [], lambda: None, use_events=False)
        self.pipeline = pipeline_of(entries, watch, snaps, self.thread, StatusModel(lambda: 0.0), str(source.parent), aids=aids)
        self.now = 1000.0
        self.number = 0

    def notify(self):
        self.number += 1
        self.now += 10.0
        notify = f"{self.source}.notify"
        with open(notify, "wb"):
            pass
        os.utime(notify, (self.number * 1000, self.number * 1000))
        self.pipeline.take(self.now)

    def grows_once(self):
        """The file is delivered, grows, and is notified: the snapshot of its new content is kept."""
        self.notify()
        self.deliver(self.claim())
        grow(self.source)
        self.notify()

    def claim(self):
        (job,) = self.thread.run(self.thread.spool.queue.claim, 1, self.now, 0.0)
        return job

    def deliver(self, job):
        remote = RemoteStat(job.size, 0)
        self.thread.run(self.thread.deliver, [DeliveryResult(job.id, remote, job.size, "size")])

    def left(self):
        """The snapshots, once all that was dropped is gone."""
        self.thread.run(lambda: None)
        self.thread._sweeper.submit(lambda: None)
        self.thread._sweeper.shutdown()
        self.thread._sweeper = type(self.thread._sweeper)("sweeper")
        return sorted(os.listdir(self.bak))


@pytest.fixture
def station(tmp_path, source):
    one = Station(tmp_path, source, shares=True)
    yield one
    one.thread.close()


def test_a_growing_file_has_one_snapshot_for_all_jobs(station):
    station.notify()
    station.deliver(station.claim())
    assert station.left() == [], "a file that has not grown yet keeps nothing"
    grow(station.source)
    station.notify()
    station.deliver(job := station.claim())
    assert station.left() == [os.path.basename(job.snapshot)]
    grow(station.source)
    station.notify()
    sending = station.claim()
    assert sending.snapshot == job.snapshot
    grow(station.source)
    station.notify()
    station.deliver(sending)
    assert station.left() == [os.path.basename(job.snapshot)]
    last = station.claim()
    assert (last.snapshot, last.size) == (job.snapshot, station.source.stat().st_size)
    assert read(last.snapshot) == station.source.read_bytes()
    station.deliver(last)
    station.pipeline.close()
    assert station.left() == []


def test_a_snapshot_that_is_released_stays_for_its_jobs(station):
    station.grows_once()
    sending = station.claim()
    grow(station.source)
    station.notify()
    station.copies.release_all()
    station.pipeline.take(station.now + 1)
    assert len(station.left()) == 1
    station.deliver(sending)
    assert len(station.left()) == 1, "the waiting job has the same snapshot"
    last = station.claim()
    assert read(last.snapshot) == station.source.read_bytes()
    station.deliver(last)
    assert station.left() == []


def test_a_job_given_back_keeps_the_snapshot_of_the_newer_one(station):
    station.grows_once()
    sending = station.claim()
    grow(station.source)
    station.notify()
    station.copies.release_all()
    station.thread.run(station.thread.give_back, sending.id, "the link was cut", 0.0)
    last = station.claim()
    assert last.size == station.source.stat().st_size
    assert station.left() == [os.path.basename(last.snapshot)]


def test_a_rewritten_file_begins_a_snapshot_of_its_own(station):
    station.grows_once()
    old = station.claim()
    station.deliver(old)
    station.source.write_bytes(b"all new\n" * 50_000)
    station.notify()
    new = station.claim()
    assert new.snapshot != old.snapshot
    assert station.left() == [os.path.basename(new.snapshot)]


def test_each_job_has_its_own_snapshot_where_lengths_matter(tmp_path, source):
    """A subtask of the user's own may read the whole snapshot."""
    station = Station(tmp_path, source, shares=False)
    for _ in range(3):
        station.notify()
        station.deliver(station.claim())
        assert station.left() == []
        grow(source)
    station.thread.close()


def test_a_small_file_is_copied_whole(station, monkeypatch):
    monkeypatch.setattr(copier, "LEAST_BYTES", 10_000_000)
    for _ in range(3):
        station.notify()
        station.deliver(station.claim())
        assert station.left() == []
        grow(station.source)


def test_a_snapshot_found_faulty_is_not_continued(station):
    station.grows_once()
    faulty = station.claim()
    assert station.copies.is_kept(faulty.snapshot)
    child = SimpleNamespace(aids=SimpleNamespace(growing_copies=station.copies), retakes=Retakes(lambda: None))
    UploadClient(child, None, None, may_have_tails=True).snapshot_lost(str(station.source))
    assert not station.copies.is_kept(faulty.snapshot)
