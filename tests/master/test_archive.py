"""What is archived, what is left over, and what never moves."""

import errno
import json
import logging
import os
import time
from types import SimpleNamespace

import pytest

from pysubtask.common import receipts
from pysubtask.common.entries import read_entries
from pysubtask.common.receipts import Receipt
from pysubtask.common.status import write_status
from pysubtask.master import mover
from pysubtask.master.archive import Archive, Proof, day_folder, expiry, is_data, is_left_over, is_ours, is_proven, scope
from pysubtask.master.mover import Old, names

DAY = 86400
NOW = time.mktime((2026, 11, 21, 20, 37, 10, 0, 0, -1))
HOME = "sftp://me@host:22/x"


@pytest.fixture
def zone(monkeypatch):
    def use(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


class Place:
    """A folder ``data`` with files of any age, two destinations, and an archive on a made-up wall clock."""

    def __init__(self, root, watched=None, days=3, archive="archive", states=1, now=NOW, boot=10**6):
        self.root = root
        self.data = root / "data"
        (self.data / "box").mkdir(parents=True)
        self.watched = watched or [{"file": "data/a.csv"}, {"dir": "data/box"}]
        self.lines = []
        logger = logging.Logger("archive")
        logger.addHandler(self)
        self.level, self.handle = 0, lambda record: self.lines.append(record.getMessage())
        entries = read_entries(self.watched, cwd=str(root))
        self.states = [self.data / ".pysubtask" / "main" / f"s{number}" for number in range(states)]
        for state in self.states:
            state.mkdir(parents=True)
            write_status(str(state), {"mark": "same", "destination": HOME})
        self.now, self.boot = now, boot
        self.archive = Archive(
            scope(entries, archive, [str(self.data / "upload"), str(self.data / ".pysubtask")]),
            [Proof(str(state), "same") for state in self.states],
            days,
            [str(self.data / "child.log.txt")],
            logger,
            wall=lambda: self.now,
            boot=lambda: self.boot,
        )

    def make(self, name, days=10.0, content="x"):
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(int((NOW - days * DAY) * 1e9), int((NOW - days * DAY) * 1e9)))
        return path

    def receipt(self, path, state=0, destination=HOME, at="2026-11-12T00:00:00Z", **changed):
        found = path.stat()
        line = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, **changed}
        folder = str(self.states[state])
        receipt = Receipt(
            receipts.last_seq(folder) + 1, at, str(path), path.name, destination, line["size"], line["mtime_ns"], "d", 1, "size"
        )
        receipts.append(folder, [receipt])

    def run(self, secs=60.0):
        self.archive.begin()
        return self.archive.work(secs)

    def archived(self):
        root = self.data / "archive"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) if root.exists() else []

    def there(self):
        found = [path for path in self.data.rglob("*") if path.is_file() and not {"archive", ".pysubtask"} & set(path.parts)]
        return sorted(str(path.relative_to(self.data)) for path in found)


@pytest.fixture
def place(tmp_path):
    return lambda **how: Place(tmp_path, **how)


# -- pure


@pytest.mark.parametrize(
    ("zone_name", "moment", "days", "midnight"),
    [
        ("UTC", (2026, 11, 21, 20, 37), 3, (2026, 11, 18)),
        ("UTC", (2026, 3, 1, 0, 0), 3, (2026, 2, 26)),
        ("UTC", (2026, 1, 2, 12, 0), 36500, (1926, 1, 27)),
        ("UTC", (2026, 11, 21, 23, 59), 0, (2026, 11, 21)),
        # The clocks changed in between: still midnight, not an hour off.
        ("Europe/Berlin", (2026, 3, 30, 12, 0), 3, (2026, 3, 27)),
        ("Europe/Berlin", (2026, 10, 26, 0, 30), 3, (2026, 10, 23)),
        ("America/New_York", (2026, 11, 2, 1, 30), 1, (2026, 11, 1)),
    ],
)
def test_expiry_is_a_local_midnight(zone, zone_name, moment, days, midnight):
    zone(zone_name)
    found = expiry(time.mktime((*moment, 0, 0, 0, -1)), days)
    assert time.localtime(found)[:6] == (*midnight, 0, 0, 0)


def test_names_and_folders(zone):
    zone("UTC")
    first = names("a.tar.csv")
    assert [next(first) for _ in range(3)] == ["a.tar.csv", "a.tar_1.csv", "a.tar_2.csv"]
    bare = names("README")
    assert [next(bare) for _ in range(2)] == ["README", "README_1"]
    assert day_folder("/r", int(NOW * 1e9)) == "/r/202611/21"
    zone("Pacific/Kiritimati")
    assert day_folder("/r", 1_700_000_000 * 10**9) == "/r/202311/15"


@pytest.mark.parametrize("name", ["a.notify", "a.hold", "pi.heartbeat", "pi.heartbeat.json", ".hidden", ".x.part"])
def test_signals_and_hidden_files_are_no_data(name):
    assert not is_data(name)


def test_who_is_ours_and_who_is_left_over():
    watched = [{"dir": "/d/box"}, {"file": "/d/logs/a.csv"}, {"file": "/e/b.txt"}, {"file": "/e/bare"}]
    where = scope(read_entries(watched), "archive", [])
    assert where.root == "/d/box/archive"
    assert where.folders == ("/d/box",)
    left = {"/d/logs/old.csv", "/d/logs/old.txt", "/d/logs/old"}
    ours = left | {"/d/logs/a.csv", "/e/b.txt", "/e/bare", "/d/box/anything"}
    other = {"/d/logs/old.png", "/e/old.csv", "/d/other/x.csv", "/d/logs/.x.csv"}
    for path in ours | other:
        assert is_ours(where, path) == (path in ours), path
        assert is_left_over(where, path) == (path in left), path


def test_whose_files_are_with_patterns_and_folders_inside():
    tree = {"dir": "/d/t", "recursive": True, "exclude": ["*.tmp", "raw/*"]}
    where = scope(read_entries([{"file": "/d/t/logs/a.csv"}, tree, {"dir": "/d/box", "include": "*.jpg"}]), "archive", [])
    assert where.folders == ("/d/t/logs", "/d/t", "/d/box")
    ours = {"/d/t/logs/a.csv", "/d/t/logs/old.csv", "/d/t/x", "/d/t/x/y", "/d/box/a.jpg"}
    other = {"/d/t/logs/x.tmp", "/d/t/raw/x.csv", "/d/box/a.csv", "/d/t/logs/archive/x"}
    for path in ours | other:
        assert is_ours(where, path) == (path in ours), path
        assert not is_left_over(where, path), "those in watched folders are the watch's affair, patterns or not"


def test_which_folders_are_cleared():
    def folders(watched, archive="archive", others=("/d/upload", "/d/.pysubtask", None)):
        return scope(read_entries(watched, need_one=False), archive, others).folders

    assert folders([{"file": "/d/a"}, {"dir": "/p"}, {"file": "/e/b"}]) == ("/d", "/p")
    assert folders([{"dir": "/p"}, {"file": "/d/a"}]) == ("/p",)
    archives = [{"dir": f"/d/{name}"} for name in ("archive", "archive/202611", "archived")]
    assert folders([{"file": "/d/a"}, *archives]) == ("/d", "/d/archived")
    assert folders([{"file": "/d/a"}, {"dir": "/d/upload"}, {"dir": "/d/upload/ftp"}]) == ("/d",)
    assert folders([{"file": "/d/a"}], others=["/d"]) == (), "snapshots lie there"
    assert folders([{"file": "/d/a"}], archive=".") == ("/d",)
    assert folders([]) == (), "nothing is watched: the working folder is nobody's to clear"


def test_proof_needs_every_destination_and_the_present_state():
    old = Old("/d/a", 5, 77, 1)

    def at(size=5, mtime_ns=77):
        return {"/d/a": Receipt(1, "", "/d/a", "a", "x", size, mtime_ns, "", 0, "size")}

    assert is_proven(old, [at(), at()])
    assert not is_proven(old, [at(), {}])
    assert not is_proven(old, [at(), at(size=4)])
    assert not is_proven(old, [at(mtime_ns=78)])


# -- done


def test_old_files_of_others_go_by_age_and_ours_with_a_receipt(place):
    one = place()
    one.make("notes.txt")
    one.make("young.txt", days=3)
    one.make("sub/deep.txt")
    proven, changed, boxed = one.make("a.csv"), one.make("old.csv"), one.make("box/x.png")
    one.make("box/unsent.png")
    one.make("unsent.csv")
    for path in (proven, boxed):
        one.receipt(path)
    one.receipt(changed, mtime_ns=5)
    assert one.run() == 3
    day = time.strftime("%Y%m/%d", time.localtime(NOW - 10 * DAY))
    assert one.archived() == [f"{day}/a.csv", f"{day}/notes.txt", f"{day}/x.png"]
    assert one.there() == ["box/unsent.png", "old.csv", "sub/deep.txt", "unsent.csv", "young.txt"]
    assert f"Archiving [{proven}] to [{one.data}/archive/{day}/a.csv]" in one.lines
    assert one.run() == 0


def test_midnight_three_days_ago_is_the_limit(place):
    one = place()
    limit = expiry(NOW, 3)
    for name, at in (("just.txt", limit - 0.001), ("not.txt", limit)):
        os.utime(one.make(name), (at, at))
    assert one.run() == 1
    assert one.there() == ["not.txt"]


# -- a clock that was wrong when a file was written


def in_1970(one, name):
    """A file with a time of before the clock was set. Its ctime is the kernel's: now, or what the test says."""
    path = one.make(name)
    os.utime(path, (50, 50))
    return path


@pytest.fixture
def ctime(monkeypatch):
    """Folders whose files' state changed when the test says: scandir's stat is looked through."""
    times = {}

    class Item:
        def __init__(self, item):
            self._item = item
            self.name, self.path = item.name, item.path

        def __getattr__(self, name):
            return getattr(self._item, name)

        def stat(self, *, follow_symlinks=True):
            found = self._item.stat(follow_symlinks=follow_symlinks)
            at = times.get(self.name)
            if at is None:
                return found
            fields = {key: getattr(found, key) for key in dir(found) if key.startswith("st_")}
            return SimpleNamespace(**{**fields, "st_ctime": at})

    class Listing:
        def __init__(self, items):
            self._items = items

        def __iter__(self):
            return (Item(item) for item in self._items)

        def __enter__(self):
            return iter(self)

        def __exit__(self, *why):
            return self._items.__exit__(*why)

    real = os.scandir
    monkeypatch.setattr("pysubtask.master.archive.os.scandir", lambda path: Listing(real(path)))
    return times


@pytest.mark.parametrize(
    ("changed", "delivered", "moves"),
    [
        (NOW, "1970-01-01T00:05:00Z", False),  # the kernel's clock was right when it was written
        (60.0, "1970-01-01T00:05:00Z", False),  # nothing says when that was
        (60.0, "2026-11-21T10:00:00Z", False),  # delivered today, after the clock was set
        (60.0, "2026-11-10T10:00:00Z", True),
        (NOW - 11 * DAY, "1970-01-01T00:05:00Z", True),
        (60.0, "nonsense", False),
    ],
)
def test_a_file_dated_1970_goes_by_its_state_and_its_receipt(place, ctime, changed, delivered, moves):
    one = place()
    path = in_1970(one, "box/x.png")
    ctime["x.png"] = changed
    one.receipt(path, at=delivered)
    assert one.run() == int(moves)
    assert not any(name.startswith("1970") for name in one.archived()), one.archived()
    assert one.there() == ([] if moves else ["box/x.png"])


@pytest.mark.parametrize(("changed", "moves"), [(NOW, False), (60.0, False), (NOW - 11 * DAY, True)])
def test_a_file_that_is_not_sent_goes_by_its_state_alone(place, ctime, changed, moves):
    one = place()
    in_1970(one, "notes.txt")
    ctime["notes.txt"] = changed
    assert one.run() == int(moves)
    assert one.archived() == ([time.strftime("%Y%m/%d/notes.txt", time.localtime(NOW - 11 * DAY))] if moves else [])


def test_a_clock_that_is_put_right_meanwhile(place, ctime):
    """It begins at a date that looks right, as many systems do at their first boot: all that was written then is young."""
    one = place(boot=30.0, now=NOW - 300 * DAY)
    old, fresh = one.make("box/old.png", days=400), one.make("box/fresh.png", days=300)
    for path in (old, fresh):
        one.receipt(path, at="2026-01-25T00:00:00Z" if path == fresh else "2025-10-17T20:37:10Z")
    ctime.update({"old.png": NOW - 400 * DAY, "fresh.png": NOW - 300 * DAY})
    assert one.run() == 1 and one.there() == ["box/fresh.png"]
    one.now, one.boot = NOW, 90.0
    assert one.run() == 0 and one.there() == ["box/fresh.png"]


def test_a_clash_is_numbered_and_nothing_overwritten(place):
    one = place()
    for content in ("first", "second", "third"):
        one.make("n.txt", content=content)
        assert one.run() == 1
    day = one.data / "archive" / time.strftime("%Y%m/%d", time.localtime(NOW - 10 * DAY))
    assert {path.name: path.read_text() for path in day.iterdir()} == {"n.txt": "first", "n_1.txt": "second", "n_2.txt": "third"}


def test_a_receipt_of_each_destination_is_needed(place):
    one = place(states=2)
    path = one.make("a.csv")
    one.receipt(path, state=0)
    assert one.run() == 0
    one.receipt(path, state=1, destination="sftp://elsewhere")
    assert one.run() == 0, "that was another server"
    one.receipt(path, state=1)
    assert one.run() == 1


@pytest.mark.parametrize(
    "page", [None, {"mark": "other", "destination": HOME}, {"mark": "same"}, {"mark": "same", "destination": "x"}]
)
def test_receipts_count_only_for_the_destination_that_is_meant(place, page):
    one = place()
    one.receipt(one.make("a.csv"))
    status = one.states[0] / "status.json"
    status.unlink()
    if page is not None:
        write_status(str(one.states[0]), page)
    assert one.run() == 0


def test_the_newest_receipt_counts(place):
    one = place()
    path = one.make("a.csv")
    one.receipt(path)
    one.receipt(path, size=999)
    assert one.run() == 0


def test_what_is_in_use_stays(place, monkeypatch):
    one = place()
    for name in ("child.log.txt", "open.dat", "module.py", "a.csv.notify", "old.hold", "pi.heartbeat", "pi.heartbeat.json", ".dot"):
        one.make(name, content="")
    os.symlink(one.make("target.txt", days=0), one.data / "link.txt")
    os.mkfifo(one.data / "fifo")
    monkeypatch.syspath_prepend(str(one.data))
    __import__("module")
    with open(one.data / "open.dat", "a"):
        assert one.run() == 0
    assert one.run() == 1
    assert "open.dat" not in one.there()


def test_the_signals_of_an_archived_file_of_ours_go(place):
    one = place()
    path = one.make("box/x")
    one.make("box/x.notify")
    one.make("box/x.hold")
    one.make("other.txt")
    one.make("other.txt.notify")
    one.receipt(path)
    assert one.run() == 2
    assert one.there() == ["other.txt.notify"]


def test_no_archive_folder_archives_nothing(place):
    one = place(archive=None)
    one.make("notes.txt")
    assert one.run() == 0
    assert one.there() == ["notes.txt"]


@pytest.mark.parametrize("name", ["a.csv", "notes.txt"])
def test_a_file_that_changes_at_the_last_moment_stays(place, monkeypatch, name):
    one = place()
    path = one.make(name)
    one.receipt(path)
    reserve = mover._reserve

    def late(folder, name):
        path.write_text("new data")
        return reserve(folder, name)

    monkeypatch.setattr(mover, "_reserve", late)
    assert one.run() == 0
    assert path.read_text() == "new data"
    assert one.archived() == []


@pytest.mark.parametrize("again", [False, True], ids=["goes back", "begun anew"])
def test_a_file_that_changes_while_it_is_moved_is_not_lost(place, monkeypatch, again):
    one = place()
    path = one.make("a.csv")
    one.receipt(path)
    replace = os.replace

    def late(source, target, **folders):
        ours = os.path.basename(source) == path.name
        if ours:
            path.write_text("new data")
        replace(source, target, **folders)
        if ours and again:
            path.write_text("newer data")

    monkeypatch.setattr(mover.os, "replace", late)
    assert one.run() == 0
    assert path.read_text() == ("newer data" if again else "new data")
    assert len(one.archived()) == again
    assert any("was written while it was archived" in line for line in one.lines) == again


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EACCES, errno.ENOSPC])
def test_what_cannot_be_moved_stays_and_is_logged_once(place, monkeypatch, code):
    one = place()
    for number in range(5):
        one.make(f"n{number}.txt")

    def fail(source, target, **folders):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(mover.os, "replace", fail)
    assert one.run() == 0
    assert len(one.there()) == 5
    assert one.archived() == [], "no empty file stays behind"
    lines = [line for line in one.lines if "stay" in line]
    assert len(lines) == 1
    assert ("another file system" in lines[0]) == (code == errno.EXDEV)


def test_an_archive_that_cannot_be_created_hurts_nobody(place):
    one = place()
    one.make("n.txt")
    one.make("archive", days=0)
    assert one.run() == 0
    assert (one.data / "n.txt").exists()


@pytest.mark.slow
def test_thousands_are_moved_a_little_at_each_call(place):
    one = place()
    for number in range(2000):
        one.make(f"{number}.txt")
    one.archive.begin()
    moved, calls, longest = 0, 0, 0.0
    while moved < 2000:
        begun = time.perf_counter()
        moved += one.archive.work(0.005)
        longest = max(longest, time.perf_counter() - begun)
        calls += 1
        assert calls < 100_000
    print(f"{calls} calls, the longest {longest * 1000:.1f} ms")
    assert calls > 5
    assert len(one.archived()) == 2000
    assert one.archive.work(1) == 0


def test_each_day_begins_anew(place):
    one = place()
    one.archive.begin()
    assert not one.archive.is_another_day()
    one.now += DAY
    assert one.archive.is_another_day()
    one.archive.begin()
    assert not one.archive.is_another_day()


def test_left_over_files(place):
    one = place()
    for name in ("a.csv", "b.csv", "c.txt", "b.csv.notify", ".h.csv", "box/d.csv", "sub/e.csv"):
        one.make(name)
    os.symlink(one.data / "b.csv", one.data / "link.csv")
    assert one.archive.left_over() == [str(one.data / "b.csv")]


def test_left_over_without_files_or_folder(tmp_path):
    one = Place(tmp_path, watched=[{"dir": "data/box"}])
    one.make("box/x.csv")
    assert one.archive.left_over() == []
    assert Archive(scope(read_entries([{"file": "/nowhere/a"}]), None, []), [], 3, [], logging.Logger("x")).left_over() == []


def test_garbage_among_receipts_and_pages_proves_nothing(place):
    one = place()
    path = one.make("a.csv")
    (one.states[0] / "receipts.jsonl").write_text(json.dumps({"path": str(path)}) + "\n\0\n{\n")
    assert one.run() == 0
    (one.states[0] / "status.json").write_text("[]")
    assert one.run() == 0
