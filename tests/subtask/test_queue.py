"""The queue, case by case and against a plain model."""

import contextlib
import os
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pysubtask.common.disk import IS_FULL, NO_INODES
from pysubtask.common.errors import DiskLow, SpoolBusy, SpoolDamaged, SpoolTooNew
from pysubtask.common.notify import Stamp
from pysubtask.common.own_folders import NotOurs
from pysubtask.common.receipts import read_receipts
from pysubtask.subtask.delta.transfer_plan import Known, TransferPlan
from pysubtask.subtask.spool import database
from pysubtask.subtask.spool.jobs import DeliveryResult, QueuedSnapshot
from pysubtask.subtask.spool.spool import Spool
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.spool.standing_claim import ClaimTerms
from pysubtask.subtask.spool.temp_names import temp_name
from pysubtask.transports.base import Append, RemoteStat

HERE = "sftp://me@host:22/in"
ODD = os.fsdecode(b"odd \xff,'\"\n name")


def entry(name, version, *, digest=None, path=None, live=False, at=1000.0):
    return QueuedSnapshot(
        name,
        path or f"/data/{name}",
        f"/bak/{name}-{version}",
        live,
        10 + version,
        version * 10**9,
        digest or f"d{version}",
        at,
        Stamp(version * 10**9, 10 + version, 7),
        f"/data/{name}.notify",
        Stamp(version, 0, 8),
    )


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "spool.db")


@pytest.fixture
def spool(path):
    plain = Spool(path, HERE, 0.0)
    yield plain
    plain.close()


def again(spool, destination=HERE):
    spool.close()
    return Spool(spool.path, destination, 0.0)


def take(spool, limit=10, now=100.0):
    return spool.queue.claim(limit, now, 0.0)


def finish(spool, version, *, sent=1, gone=()):
    remote = RemoteStat(version.size, version.mtime_ns // 10**9)
    return spool.deliveries.record([DeliveryResult(version.id, remote, sent, "size", gone)], 5.0)


def test_a_version_goes_from_the_queue_to_a_receipt(spool):
    assert spool.queue.enqueue([entry("a", 1)]) == []
    (version,) = take(spool)
    assert (version.name, version.snapshot, version.compare, version.stale, version.known) == ("a", "/bak/a-1", False, (), None)
    receipts, garbage = finish(spool, version)
    assert garbage == ["/bak/a-1"]
    assert [(receipt.seq, receipt.path, receipt.size, receipt.destination) for _, receipt in receipts] == [(1, "/data/a", 11, HERE)]
    assert spool.queue_admin.counts()[:3] == (0, 0, 0)
    assert spool.remote_files.known("a") == Known(RemoteStat(11, 1), "d1")


def test_handled_stamps_and_sources_are_in_the_same_commit(spool):
    spool.queue.enqueue([entry("a", 1)])
    spool = again(spool)
    assert spool.stamps.signals == {"/data/a.notify": Stamp(1, 0, 8)}
    assert spool.stamps.sources == {"/data/a": (Stamp(10**9, 11, 7), "d1")}
    spool.close()


def test_a_newer_version_replaces_the_waiting_and_keeps_its_age(spool):
    spool.queue.enqueue([entry("a", 1, at=1000.0)])
    assert spool.queue.enqueue([entry("a", 2, at=2000.0)]) == ["/bak/a-1"]
    (version,) = take(spool)
    assert (version.snapshot, version.at) == ("/bak/a-2", 1000.0)


def test_a_newer_version_never_touches_the_running_one(spool):
    spool.queue.enqueue([entry("a", 1)])
    (running,) = take(spool)
    assert spool.queue.enqueue([entry("a", 2)]) == []
    assert take(spool) == []
    assert finish(spool, running)[1] == ["/bak/a-1"]
    (newer,) = take(spool)
    assert newer.snapshot == "/bak/a-2"
    assert newer.known == Known(RemoteStat(11, 1), "d1")


def test_a_failed_version_yields_to_a_newer_one(spool):
    spool.queue.enqueue([entry("a", 1)])
    (running,) = take(spool)
    spool.queue.enqueue([entry("a", 2)])
    assert spool.queue.give_back(running.id, "lost", 0.0) == ["/bak/a-1"]
    (newer,) = take(spool)
    assert newer.snapshot == "/bak/a-2"
    assert newer.stale == (running.temp,)


def test_a_failed_version_waits_until_it_is_due(spool):
    spool.queue.enqueue([entry("a", 1)])
    (running,) = take(spool)
    assert spool.queue.give_back(running.id, "lost", 200.0, compare=True) == []
    assert take(spool, now=199.0) == []
    assert spool.queue.next_due() == 200.0
    (version,) = take(spool, now=200.0)
    assert (version.attempts, version.compare, version.stale) == (1, True, (running.temp,))
    assert version.temp != running.temp


def test_a_parked_version_is_listed_and_offered_again(spool):
    spool.queue.enqueue([entry("a", 1)])
    (running,) = take(spool)
    spool.queue.give_back(running.id, "permission denied", 500.0, park=True)
    assert [(row.name, row.reason) for row in spool.queue_admin.parked()] == [("a", "permission denied")]
    assert take(spool) == []
    spool.queue.enqueue([entry("a", 1)])
    assert spool.queue_admin.parked() == []
    assert len(take(spool)) == 1


def test_the_same_content_again_keeps_the_first_snapshot(spool):
    spool.queue.enqueue([entry("a", 1, digest="same")])
    assert spool.queue.enqueue([entry("a", 2, digest="same")]) == ["/bak/a-2"]
    (version,) = take(spool)
    assert (version.snapshot, version.mtime_ns) == ("/bak/a-1", 2 * 10**9)


def test_delivered_content_is_compared_before_it_is_sent_again(spool):
    spool.queue.enqueue([entry("a", 1, digest="same")])
    finish(spool, take(spool)[0])
    spool.queue.enqueue([entry("a", 2, digest="same")])
    assert take(spool)[0].compare is True


def test_content_in_flight_is_compared_before_it_is_sent_again(spool):
    spool.queue.enqueue([entry("a", 1, digest="same")])
    (running,) = take(spool)
    spool.queue.enqueue([entry("a", 2, digest="same")])
    finish(spool, running)
    assert take(spool)[0].compare is True


def test_newest_goes_first_but_every_fourth_is_the_oldest(spool):
    spool.queue.enqueue([entry(f"f{n}", 1) for n in range(20)])
    assert [version.name for version in take(spool, 4)] == ["f19", "f18", "f17", "f0"]
    assert [version.name for version in take(spool, 1)] == ["f16"]


def test_opening_makes_all_due_and_compares_what_was_in_flight(spool):
    spool.queue.enqueue([entry("a", 1), entry("b", 1), entry("c", 1)])
    by_name = {version.name: version for version in take(spool)}
    spool.queue.give_back(by_name["b"].id, "refused", 10**9, park=True)
    spool.queue.give_back(by_name["c"].id, "lost", 10**9)
    spool = again(spool)
    assert {version.name: version.compare for version in take(spool)} == {"a": True, "b": False, "c": False}
    spool.close()


def test_what_was_in_flight_is_moot_where_a_newer_version_waits(spool):
    spool.queue.enqueue([entry("a", 1)])
    take(spool)
    spool.queue.enqueue([entry("a", 2)])
    spool = again(spool)
    assert spool.queue.snapshots() == {"/bak/a-2"}
    assert [version.snapshot for version in take(spool)] == ["/bak/a-2"]
    spool.close()


def test_the_queue_alone_follows_a_change_of_destination(spool):
    spool.queue.enqueue([entry("a", 1), entry("b", 1)])
    finish(spool, next(version for version in take(spool) if version.name == "a"))
    elsewhere = again(spool, "sftp://other:22/")
    assert elsewhere.start.moved
    assert elsewhere.remote_files.known("a") is None
    assert elsewhere.stamps.sources == {}
    assert [(version.name, version.compare, version.stale) for version in take(elsewhere)] == [("b", False, ())]
    back = again(elsewhere)
    assert back.remote_files.known("a") == Known(RemoteStat(11, 1), "d1")
    back.close()


def test_what_another_protocol_left_is_known_and_not_as_our_own(spool):
    ftp = "ftp://me@host:21/in"
    spool.queue.enqueue([entry("a", 1), entry("b", 1)])
    for version in take(spool):
        finish(spool, version)
    other = again(spool, ftp)
    assert other.start.moved and other.start.former == HERE and other.remote_files.known("a") is None and other.stamps.sources == {}
    other.queue.enqueue([entry("a", 1)])
    (version,) = take(other)
    assert (version.known, version.former, version.compare) == (None, Known(RemoteStat(11, 1), "d1"), False)
    finish(other, version)
    other = again(other, ftp)
    other.queue.enqueue([entry("a", 2), entry("b", 1)])
    found = {version.name: version for version in take(other)}
    assert found["a"].known == Known(RemoteStat(11, 1), "d1") and found["a"].former is None, "it has one of its own by now"
    assert found["b"].former == Known(RemoteStat(11, 1), "d1"), "and that over a restart"
    other.remote_files.not_as_left("b")
    other.queue.give_back(found["b"].id, "not as we left it", 0.0)
    assert next(version for version in take(other) if version.name == "b").former is None
    finish(other, found["a"])
    # Back again: the newer of the two counts. At another place nothing does.
    back = again(other, HERE)
    assert back.remote_files.known("a") is None and back.start.former == ftp
    back = again(back, "sftp://me@elsewhere:22/in")
    assert back.start.former == ""
    back.queue.enqueue([entry("a", 1)])
    assert [version.former for version in take(back)] == [None, None]
    back.close()


def test_temps_are_on_record_until_they_are_surely_gone(spool):
    spool.queue.enqueue([entry("sub/a", 1)])
    (first,) = take(spool)
    assert first.temp.startswith("sub/.pysubtask-")
    assert spool.temps.names() == []
    spool.queue.give_back(first.id, "lost", 0.0)
    assert spool.temps.names() == [first.temp]
    spool.temps.swept([first.temp], [], 100.0)
    assert spool.temps.names() == [first.temp], "it may still come out of a frozen server"
    spool.temps.swept([first.temp], [], 10_000.0)
    assert spool.temps.names() == []


def test_temps_of_before_the_clock_was_set_are_young(tmp_path):
    """What was noted in 1970 is no month old because the clock was put right since."""
    path, now = str(tmp_path / "own.db"), 1_796_000_000.0
    spool = Spool(path, "sftp://h/", 20.0)
    temp = spool.temps.note("a", 30.0)
    spool.temps.swept([temp], [], now)
    assert spool.temps.names() == [temp], "the clock was put right between the two"
    spool.close()
    spool = Spool(path, "sftp://h/", now)
    assert spool.temps.names() == [temp]
    spool.temps.swept([temp], [], now + 60)
    assert spool.temps.names() == [temp]
    spool.close()
    spool = Spool(path, "sftp://h/", now + 31 * 86400)
    assert spool.temps.names() == []
    spool.close()


def test_a_delivery_strikes_its_own_temp_and_those_gone(spool):
    spool.queue.enqueue([entry("a", 1)])
    (first,) = take(spool)
    spool.queue.give_back(first.id, "lost", 0.0)
    (second,) = take(spool)
    finish(spool, second, gone=second.stale)
    assert spool.temps.names() == []


def test_withdrawing_forgets_the_source(spool):
    spool.queue.enqueue([entry("a", 1)])
    (version,) = take(spool)
    assert spool.queue.withdraw(version.id) == "/data/a"
    assert spool.stamps.sources == {}
    assert spool.queue_admin.counts()[:3] == (0, 0, 0)
    assert spool.queue.withdraw(version.id) is None


def test_receipts_are_kept_until_the_file_has_them(spool):
    spool.queue.enqueue([entry("a", 1), entry(ODD, 1)])
    for version in take(spool):
        finish(spool, version)
    assert [receipt.seq for receipt in spool.deliveries.receipts_after(1)] == [2]
    assert {receipt.name for receipt in spool.deliveries.receipts_after(0)} == {"a", ODD}
    spool.deliveries.receipts_safe(2)
    assert spool.deliveries.receipts_after(0) == []
    spool = again(spool)
    spool.queue.enqueue([entry("b", 1)])
    assert finish(spool, take(spool)[0])[0][0][1].seq == 3
    spool.close()


def test_live_files_are_never_garbage(spool):
    spool.queue.enqueue([entry("a", 1, live=True)])
    assert spool.queue.enqueue([entry("a", 2, live=True)]) == []
    assert spool.queue.snapshots() == set()
    assert finish(spool, take(spool)[0])[1] == []


def test_the_file_is_private(spool, path):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_each_opening_is_an_epoch(spool):
    first = spool.start.epoch
    spool = again(spool)
    assert spool.start.epoch == first + 1
    spool.close()


def test_garbage_is_refused(path):
    with open(path, "wb") as file:
        file.write(b"this is no database, " * 500)
    with pytest.raises(SpoolDamaged):
        Spool(path, HERE, 0.0)


def test_a_queue_of_a_later_format_is_refused_and_stays_as_it_is(path, tmp_path):
    """A downgrade must not put a good queue aside as damaged: what it holds would never be sent."""
    later = sqlite3.connect(path)
    later.execute("CREATE TABLE job (name)")
    later.execute("INSERT INTO job VALUES ('precious')")
    later.execute("PRAGMA user_version=99")
    later.commit()
    later.close()
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(SpoolTooNew, match="Install that version again"):
        Spool(path, HERE, 0.0)
    with pytest.raises(SpoolTooNew):
        SpoolThread(os.path.dirname(path), HERE, lambda *paths: None)
    with open(path, "rb") as file:
        assert file.read() == before
    assert not [name for name in os.listdir(os.path.dirname(path)) if "damaged" in name]


@pytest.mark.parametrize("name", ["spool.db", "spool.db-wal", "spool.db-journal"])
def test_a_link_in_the_place_of_the_queue_is_not_followed(path, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_bytes(b"")
    os.symlink(precious, os.path.join(os.path.dirname(path), name))
    with pytest.raises(NotOurs, match="is a link"):
        Spool(path, HERE, 0.0)
    assert precious.read_bytes() == b""


def test_a_spool_of_the_first_format_keeps_its_queue(path):
    old = sqlite3.connect(path)
    old.executescript("""
        CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
        CREATE TABLE stamp (path BLOB PRIMARY KEY, mtime_ns INTEGER, size INTEGER, inode INTEGER) WITHOUT ROWID;
        CREATE TABLE source (path BLOB PRIMARY KEY, mtime_ns INTEGER, size INTEGER, inode INTEGER, digest TEXT) WITHOUT ROWID;
        CREATE TABLE remote (destination TEXT, name BLOB, path BLOB, size INTEGER, mtime INTEGER, digest TEXT,
            PRIMARY KEY (destination, name)) WITHOUT ROWID;
        CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB, state TEXT, path BLOB, snapshot BLOB, live INTEGER,
            size INTEGER, mtime_ns INTEGER, digest TEXT, at REAL, attempts INTEGER DEFAULT 0, due REAL DEFAULT 0,
            compare INTEGER, reason TEXT, temp BLOB);
        CREATE TABLE temp (destination TEXT, temp BLOB, name BLOB, at REAL, PRIMARY KEY (destination, temp)) WITHOUT ROWID;
        CREATE TABLE receipt (seq INTEGER PRIMARY KEY, line BLOB);
        PRAGMA user_version = 1;
    """)
    old.execute("INSERT INTO remote VALUES (?, ?, ?, 3, 100, 'abc')", (HERE, b"there", b"/data/there"))
    old.execute(
        "INSERT INTO job (name, state, path, snapshot, live, size, mtime_ns, digest, at, compare)"
        " VALUES (?, 'waiting', ?, ?, 0, 3, 5, 'abc', 1.0, 0)",
        (b"a", b"/data/a", b"/bak/a"),
    )
    old.commit()
    old.close()
    spool = Spool(path, HERE, 0.0)
    known = spool.remote_files.known("there")
    assert known is not None and known.remote == RemoteStat(3, 100, "", "")
    assert spool.remote_files.signature("there") == b""
    [version] = spool.queue.claim(5, 0.0, 0.0)
    assert (version.name, version.snapshot, version.resume) == ("a", "/bak/a", "")
    spool.queue.note(version.id, "half")
    spool.queue.give_back(version.id, "cut", 0.0)
    assert spool.queue.claim(5, 0.0, 0.0)[0].resume == "half"
    spool.close()


def grown(name, size, *beginnings):
    """A version of which the beginnings of these sizes are what they were."""
    plain = entry(name, size, digest=f"d{size}")
    return plain._replace(size=size, prefixes={beginning: f"d{beginning}" for beginning in beginnings})


def deliver(spool, name, number, signature):
    spool.queue.enqueue([entry(name, number)])
    (version,) = take(spool)
    spool.deliveries.record([DeliveryResult(version.id, RemoteStat(version.size, number), 1, "size", signature=signature)], 5.0)


def test_a_signature_is_that_of_what_the_server_has(spool):
    assert spool.remote_files.signature("a") == b""
    deliver(spool, "a", 1, b"of 1")
    assert spool.remote_files.signature("a") == b"of 1"
    deliver(spool, "a", 2, None)
    assert spool.remote_files.signature("a") == b"of 1", "2 goes on where 1 ended"
    spool = again(spool)
    deliver(spool, "a", 3, b"of 3")
    assert spool.remote_files.signature("a") == b"of 3"
    spool = again(spool, "ftp://elsewhere")
    assert spool.remote_files.signature("a") == b""
    spool = again(spool)
    assert spool.remote_files.signature("a") == b"of 3"
    deliver(spool, "a", 4, b"")
    assert spool.remote_files.signature("a") == b""
    deliver(spool, "a", 5, b"of 5")
    spool.remote_files.not_as_left("a")
    assert spool.remote_files.signature("a") == b""
    spool.close()


def test_the_oldest_signatures_go_where_they_are_too_many(spool, monkeypatch):
    monkeypatch.setattr("pysubtask.subtask.spool.signatures.SIGNATURES_BYTES", 500)
    for number in range(64):
        deliver(spool, f"a{number % 40}", number, b"x" * 100)
    left = [number for number in range(40) if spool.remote_files.signature(f"a{number}")]
    assert left == [19, 20, 21, 22, 23]


def test_what_grew_is_appended_and_that_is_on_record_first(spool):
    spool.queue.enqueue([grown("a", 5000)])
    (version,) = take(spool)
    assert version.plan == TransferPlan(5000)
    finish(spool, version)
    assert spool.remote_files.known_sizes(["a"])["a"] == (5000, {5000})
    spool.queue.enqueue([grown("a", 6000, 5000)])
    assert spool.remote_files.known_sizes(["a"])["a"] == (5000, {5000, 6000})
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True)
    assert version.plan == TransferPlan(1000, append=Append(5000, 5000))
    spool = again(spool)
    assert spool.remote_files.known("a").reach == (6000, "d6000"), "so a start after a crash knows of it"
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True)
    assert version.plan.append == Append(5000, 6000)
    finish(spool, version)
    assert spool.remote_files.known("a").reach is None
    spool.close()


def test_a_cut_append_is_finished_by_the_next_version(spool):
    spool.queue.enqueue([grown("a", 5000)])
    finish(spool, *take(spool))
    spool.queue.enqueue([grown("a", 6000, 5000)])
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True)
    spool.queue.enqueue([grown("a", 7000, *spool.remote_files.known_sizes(["a"])["a"][1])])
    spool.queue.give_back(version.id, "cut", 0.0, compare=True)
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True)
    assert (version.size, version.plan.append) == (7000, Append(5000, 6000))


def test_nothing_is_appended_to_what_is_not_as_we_left_it(spool):
    spool.queue.enqueue([grown("a", 5000)])
    finish(spool, *take(spool))
    spool.queue.enqueue([grown("a", 6000, 5000)])
    spool.queue.claim(9, 0.0, 0.0, appends=True)
    spool.remote_files.not_as_left("a")
    spool = again(spool)
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True)
    assert version.plan == TransferPlan(6000) and version.known is None
    spool.close()


def test_a_live_file_is_sent_whole(spool):
    spool.queue.enqueue([grown("a", 5000)])
    finish(spool, *take(spool))
    spool.queue.enqueue([grown("a", 6000, 5000)._replace(live=True)])
    (version,) = spool.queue.claim(9, 0.0, 0.0, appends=True, copies=True)
    assert version.plan == TransferPlan(1000)


def test_a_resumed_temporary_keeps_its_name_and_is_not_swept(spool):
    spool.queue.enqueue([entry("a", 1)])
    (first,) = take(spool)
    spool.queue.note(first.id, "half")
    spool.queue.give_back(first.id, "cut", 0.0)
    assert spool.temps.names() == []
    spool = again(spool)
    assert spool.temps.names() == []
    (second,) = take(spool)
    assert (second.temp, second.stale, second.resume) == (first.temp, (), "half")
    spool.queue.enqueue([entry("a", 2)])
    spool.queue.give_back(second.id, "cut", 0.0)
    assert spool.temps.names() == [first.temp], "nobody goes on with it any more"
    (third,) = take(spool)
    assert third.temp != first.temp and third.stale == (first.temp,)
    spool.close()


def test_temp_names_are_unique_hidden_and_short():
    names = {temp_name("a/b/" + "x" * 255) for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("a/b/.") and len(name.rpartition("/")[2]) < 64 for name in names)


NAMES = st.sampled_from(["a", "b", "dir/c", ODD])


class Machine(RuleBasedStateMachine):
    """The spool beside a model of dictionaries; a crash is a reopening without a close."""

    @initialize()
    def begin(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "spool.db")
        self.spool = Spool(self.path, HERE, 0.0)
        self.now = 0.0
        self.count = 0
        self.waiting = {}  # name -> (snapshot, due)
        self.sending = {}  # name -> (snapshot, version)
        self.remote = {}  # name -> snapshot
        self.stamps = {}
        self.receipts = 0
        self.temps = set()

    def teardown(self):
        if hasattr(self, "spool"):
            self.spool.close()
            self.folder.cleanup()

    @rule(names=st.lists(NAMES, min_size=1, max_size=3, unique=True), claims=st.integers(0, 3))
    def enqueue(self, names, claims):
        entries, expected = [], []
        for name in names:
            self.count += 1
            entries.append(entry(name, self.count))
            if name in self.waiting:
                expected.append(self.waiting[name][0])
            self.waiting[name] = (f"/bak/{name}-{self.count}", 0.0)
            self.stamps[f"/data/{name}.notify"] = Stamp(self.count, 0, 8)
        if claims:
            self.spool.queue.standing.leave(ClaimTerms(claims, claims, self.now, False, False, lambda versions: None))
        assert self.spool.queue.enqueue(entries) == expected
        self.check_taken(self.spool.queue.standing.withdraw(), claims)

    @rule(limit=st.integers(1, 4))
    def take(self, limit):
        self.check_taken(self.spool.queue.claim(limit, self.now, 0.0), limit)

    def check_taken(self, taken, limit):
        due = {name for name, (_, at) in self.waiting.items() if at <= self.now and name not in self.sending}
        assert len(taken) == min(limit, len(due))
        for version in taken:
            assert version.name in due
            assert version.snapshot == self.waiting[version.name][0]
            assert version.temp not in self.temps
            self.temps.add(version.temp)
            self.sending[version.name] = (version.snapshot, version)
            del self.waiting[version.name]

    @rule(data=st.data())
    def finish(self, data):
        if self.sending:
            name = data.draw(st.sampled_from(sorted(self.sending)))
            snapshot, version = self.sending.pop(name)
            receipts, garbage = finish(self.spool, version)
            assert garbage == [snapshot]
            self.receipts += 1
            assert receipts[0][1].seq == self.receipts
            self.remote[name] = snapshot

    @rule(data=st.data(), wait=st.integers(0, 5), park=st.booleans())
    def fail(self, data, wait, park):
        if self.sending:
            name = data.draw(st.sampled_from(sorted(self.sending)))
            snapshot, version = self.sending.pop(name)
            garbage = self.spool.queue.give_back(version.id, "why", self.now + wait, park=park)
            if name in self.waiting:
                assert garbage == [snapshot]
            else:
                assert garbage == []
                self.waiting[name] = (snapshot, self.now + wait)

    @rule(secs=st.integers(1, 5))
    def time_goes_by(self, secs):
        self.now += secs

    @rule(clean=st.booleans())
    def crash_and_reopen(self, clean):
        if clean:
            self.spool.close()
        else:
            # What another process would find if this one was killed now: the files as they are.
            import shutil

            copy = self.path + ".copy"
            for suffix in ("", "-wal"):
                if os.path.exists(self.path + suffix):
                    shutil.copy(self.path + suffix, copy + suffix)
            self.spool.close()
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(self.path + suffix):
                    os.unlink(self.path + suffix)
                if os.path.exists(copy + suffix):
                    os.rename(copy + suffix, self.path + suffix)
        self.spool = Spool(self.path, HERE, 0.0)
        for name, (snapshot, _) in self.sending.items():
            self.waiting.setdefault(name, (snapshot, 0.0))
        self.sending = {}
        self.waiting = {name: (snapshot, 0.0) for name, (snapshot, _) in self.waiting.items()}

    @invariant()
    def they_agree(self):
        if not hasattr(self, "spool"):
            return
        counts = self.spool.queue_admin.counts()
        assert counts.waiting + counts.parked == len(self.waiting)
        assert counts.sending == len(self.sending)
        needed = {row[0] for row in self.waiting.values()} | {row[0] for row in self.sending.values()}
        assert self.spool.queue.snapshots() == needed
        assert self.spool.stamps.signals == self.stamps
        for name, snapshot in self.remote.items():
            assert self.spool.remote_files.known(name).digest == "d" + snapshot.rpartition("-")[2]
        assert len(self.spool.deliveries.receipts_after(0)) == self.receipts


TestModel = Machine.TestCase
EXAMPLES = 200 if os.environ.get("PYSUBTASK_FULL_SIZE") else 30
TestModel.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, suppress_health_check=list(HealthCheck))


def test_a_queue_that_another_program_has_open_is_not_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECS", 0.1)
    path = str(tmp_path / "spool.db")
    Spool(path, "sftp://here", 1.0).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SpoolBusy, match="open in another program"):
            SpoolThread(str(tmp_path), "sftp://here", lambda *paths: None)
    spool_thread = SpoolThread(str(tmp_path), "sftp://here", lambda *paths: None)
    assert spool_thread.damaged is None
    spool_thread.close()
    assert not list(tmp_path.glob("*damaged*"))


def test_an_unwritable_receipts_file_stops_nobody_and_loses_none(tmp_path):
    """A folder in its place binds root, too."""

    def deliver(spool_thread, version):
        def all_of_it():
            spool_thread.spool.queue.enqueue([entry("a", version)])
            (taken,) = take(spool_thread.spool)
            return spool_thread.deliver([DeliveryResult(taken.id, RemoteStat(taken.size, taken.mtime_ns // 10**9), 1, "size", ())])

        return spool_thread.run(all_of_it)

    path = tmp_path / "receipts.jsonl"
    path.mkdir()
    spool_thread = SpoolThread(str(tmp_path), HERE, lambda *paths: None)
    deliver(spool_thread, 1)
    spool_thread.close()
    spool_thread = SpoolThread(str(tmp_path), HERE, lambda *paths: None)
    deliver(spool_thread, 2)
    path.rmdir()
    deliver(spool_thread, 3)
    assert [receipt.seq for receipt in read_receipts(str(tmp_path))] == [1, 2, 3]
    spool_thread.close()


@pytest.mark.parametrize(
    ("code", "fault", "problem"),
    [
        ("SQLITE_IOERR", "", "it fails (disk I/O error)"),
        ("SQLITE_IOERR", "it is read-only", "it is read-only"),
        ("SQLITE_READONLY", "it is read-only", "it is read-only"),
        ("SQLITE_FULL", "", ""),
        ("SQLITE_IOERR", IS_FULL, ""),
        ("SQLITE_CANTOPEN", NO_INODES, NO_INODES),
    ],
)
def test_what_the_disk_does_to_the_queue_is_named_as_the_cause(tmp_path, monkeypatch, code, fault, problem):
    class Fails(sqlite3.OperationalError):
        sqlite_errorcode = getattr(sqlite3, code)

    class Db:
        in_transaction = False

        def execute(self, statement):
            raise Fails("disk I/O error")

    monkeypatch.setattr(database, "fault_of", lambda folder: fault)
    with pytest.raises(DiskLow) as caught, database.commit(Db(), str(tmp_path / "spool.db")):
        pass
    assert caught.value.problem == problem


BYTES = os.fsdecode(b"Mu\xf1oz \xe9")


def test_words_with_bytes_that_are_no_utf_8_are_kept(path):
    """A server's refusal has the file's name in it, a destination its folder's, a request what somebody typed."""
    where = f"sftp://me@host:22/{BYTES}"
    spool = Spool(path, where, 0.0)
    spool.queue.enqueue([entry(BYTES, 1, path=f"/data/{BYTES}")])
    (version,) = take(spool)
    spool.queue.note(version.id, BYTES)
    spool.queue.give_back(version.id, f"{BYTES}: server said: Failure", 100.0, park=True)
    spool.queue_admin.pause([BYTES], f"{BYTES} (pysubtask pause)", "now")
    (parked,) = spool.queue_admin.parked(10)
    assert (parked.name, parked.path) == (BYTES, f"/data/{BYTES}") and parked.reason.endswith(": server said: Failure")
    spool = again(spool, where)
    assert spool.queue_admin.counts().waiting == 1 and not spool.start.moved
    assert spool.queue_admin.paused.keys() == {BYTES}
    spool.close()


# ---- jobs that share a snapshot


def shared(version, digest=None):
    """A version whose snapshot is that of the first one, continued."""
    return entry("a.csv", version, digest=digest)._replace(snapshot="/bak/a.csv-1")


def test_a_shared_snapshot_is_garbage_with_the_last_job(spool):
    spool.queue.enqueue([shared(1)])
    (sending,) = take(spool)
    assert spool.queue.enqueue([shared(2)]) == []
    assert finish(spool, sending)[1] == []
    assert spool.queue.needs("a.csv", "/bak/a.csv-1")
    (last,) = take(spool)
    assert finish(spool, last)[1] == ["/bak/a.csv-1"]
    assert not spool.queue.needs("a.csv", "/bak/a.csv-1")


def test_a_waiting_job_is_replaced_by_one_with_its_snapshot(spool):
    spool.queue.enqueue([shared(1)])
    assert spool.queue.enqueue([shared(2)]) == []
    assert spool.queue.enqueue([shared(2)]) == [], "the same content again"
    assert spool.queue.enqueue([entry("a.csv", 3)]) == ["/bak/a.csv-1"]


def test_a_job_that_is_replaced_leaves_what_is_being_sent(spool):
    spool.queue.enqueue([shared(1)])
    (sending,) = take(spool)
    spool.queue.enqueue([shared(2)])
    assert spool.queue.enqueue([entry("a.csv", 3)]) == []
    assert spool.queue.give_back(sending.id, "cut", 0.0) == ["/bak/a.csv-1"]


def test_a_failed_attempt_leaves_the_snapshot_of_the_newer_job(spool):
    spool.queue.enqueue([shared(1)])
    (sending,) = take(spool)
    spool.queue.enqueue([shared(2)])
    assert spool.queue.give_back(sending.id, "cut", 0.0) == []
    assert spool.queue.snapshots() == {"/bak/a.csv-1"}
