"""The files we keep for ourselves: what is in their place and is not ours is neither followed, read, written nor waited for."""

import os
import stat
import sys
import threading

import pytest

from pysubtask.common import own_files, own_folders, residual
from pysubtask.common.events import EventLog, Tail, read_events
from pysubtask.common.own_folders import NotOurs
from pysubtask.common.receipt_months import MonthFiles
from pysubtask.common.receipts import Receipt, append, last_seq, read_receipts, to_line
from pysubtask.common.settings_file import read_settings_page
from pysubtask.common.status import read_status, write_status
from pysubtask.daemon.folders import JOURNAL
from pysubtask.daemon.journal import Journal
from pysubtask.master.state_dir import make_ready

RECEIPT = Receipt(1, "2026-11-29T00:00:00.000Z", "/d/a", "a", "sftp://h/", 3, 4, "5", 3, "size")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes files of another user: needs root")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "data" / ".pysubtask" / "main" / "ftp"
    folder.parent.parent.parent.mkdir()
    own_folders.make_folder(str(folder))
    return folder


def test_a_state_folder_is_created_private_in_all_its_parts(state):
    for folder in (state, state.parent, state.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.parent.parent.parent.stat().st_mode) != 0o700, "the data folder keeps its mode"


def test_the_data_folder_is_not_created(tmp_path):
    with pytest.raises(FileNotFoundError):
        own_folders.make_folder(str(tmp_path / "nowhere" / ".pysubtask" / "main" / "ftp"))
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_replaced_whole_and_private(state):
    before = os.umask(0)
    try:
        own_files.replace(str(state), "status.json", b"one")
        own_files.replace(str(state), "status.json", b"two", sync=True)
    finally:
        os.umask(before)
    assert own_files.read(str(state), "status.json") == b"two"
    assert stat.S_IMODE((state / "status.json").stat().st_mode) == 0o600
    assert os.listdir(state) == ["status.json"]


def test_a_failed_replacement_leaves_the_old_file_alone(state, monkeypatch):
    own_files.replace(str(state), "status.json", b"old")

    def full(handle, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_files, "write_all", full)
    with pytest.raises(OSError, match="No space"):
        own_files.replace(str(state), "status.json", b"new")
    assert os.listdir(state) == ["status.json"] and (state / "status.json").read_bytes() == b"old"


# Each writes something of ours into a state folder, under that name.
WRITERS = {
    "status.json": lambda state: write_status(state, {"n": 1}),
    "events.jsonl": lambda state: EventLog(state, 1).emit("started"),
    "receipts.jsonl": lambda state: append(state, [RECEIPT]),
    "residual.json": lambda state: residual.offer(state, ["/a"]),
}
READERS = {
    "status.json": lambda state: read_status(state),
    "events.jsonl": lambda state: (list(read_events(state)), Tail(state, (0, 0)).read()),
    "receipts.jsonl": lambda state: (list(read_receipts(state)), last_seq(state)),
    "residual.json": lambda state: residual.take(state),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_in_the_place_of_a_file_is_not_written_through(state, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine\n")
    (state / name).symlink_to(precious)
    for temp in (f"{name}.part", f".{name}.part"):
        (state / temp).symlink_to(precious)
    try:
        WRITERS[name](str(state))
    except OSError as exc:
        assert isinstance(exc, NotOurs) and name in str(exc)
    assert precious.read_bytes() == b"mine\n"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["pipe", "device", "link", "folder"])
def test_anything_else_in_a_files_place_is_not_read(state, tmp_path, name, what):
    if what == "pipe":
        os.mkfifo(state / name)
    elif what == "device":
        (state / name).symlink_to("/dev/zero")
    elif what == "folder":
        (state / name).mkdir()
    else:
        other = tmp_path / "other"
        own_folders.make_folder(str(other))
        WRITERS[name](str(other))
        (state / name).symlink_to(other / name)
    found = []
    thread = threading.Thread(target=lambda: found.append(READERS[name](str(state))), daemon=True)
    thread.start()
    thread.join(30)
    assert found and not any(bool(part) for part in (found[0] if isinstance(found[0], tuple) else [found[0]]))


@pytest.mark.parametrize("part", [".pysubtask", "main", "ftp"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path, part):
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    (other / "main" / "ftp").mkdir(parents=True, mode=0o700)
    (other / "ftp").mkdir(mode=0o700)
    at = data
    for name in (".pysubtask", "main", "ftp"):
        if name == part:
            (at / name).symlink_to(other if name == ".pysubtask" else other / "main" if name == "main" else other / "main" / "ftp")
            break
        at = at / name
        at.mkdir(mode=0o700)
    state = str(data / ".pysubtask" / "main" / "ftp")
    for name, write in WRITERS.items():
        try:
            write(state)
        except NotOurs as exc:
            assert part in str(exc) or state in str(exc), name
    assert not list(other.rglob("*.*")), "nothing was written behind the link"
    with pytest.raises(NotOurs):
        make_ready(state)


@needs_root
@pytest.mark.parametrize("part", [".pysubtask", "main", "ftp"])
def test_root_too_refuses_a_state_folder_of_somebody_else(tmp_path, part):
    state = tmp_path / ".pysubtask" / "main" / "ftp"
    own_folders.make_folder(str(state))
    residual.offer(str(state), ["/etc/shadow"])
    at = {".pysubtask": state.parent.parent, "main": state.parent, "ftp": state}[part]
    os.chown(at, 12345, 12345)
    with pytest.raises(NotOurs, match="another user"):
        make_ready(str(state))
    assert residual.take(str(state)) == []
    for write in (WRITERS["status.json"], WRITERS["receipts.jsonl"]):
        with pytest.raises(NotOurs, match="another user"):
            write(str(state))
    log = EventLog(str(state), 1)
    log.emit("started")
    assert log.lost == 1


HASH = "0123456789abcdef0123"


@pytest.mark.parametrize("part", [HASH, f"{HASH}/main", f"{HASH}/main/ftp"])
def test_a_state_folder_elsewhere_is_looked_at_from_its_hash_on(tmp_path, part):
    """What is above it may be reached by a link of the user's, as in a home."""
    (tmp_path / "real" / "pysubtask" / "state").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "real")
    state = tmp_path / "home" / "pysubtask" / "state" / HASH / "main" / "ftp"
    own_folders.make_folder(str(state))
    own_files.replace(str(state), "status.json", b"ours")
    assert own_files.read(str(state), "status.json") == b"ours"
    place = tmp_path / "home" / "pysubtask" / "state" / part
    place.rename(tmp_path / "was")
    place.symlink_to(tmp_path / "was")
    with pytest.raises(NotOurs, match="which is a link or no folder"):
        own_files.read(str(state), "status.json")
    with pytest.raises(NotOurs):
        own_folders.make_folder(str(state))


def test_only_a_whole_hash_is_one():
    assert own_folders.is_root(HASH) and own_folders.is_root(".pysubtask")
    assert not any(map(own_folders.is_root, (HASH[1:], HASH + "0", HASH[:-1] + "g", HASH.upper(), "", "data")))


def test_a_file_is_replaced_in_pieces(state, monkeypatch):
    own_files.replace(str(state), "receipts.jsonl", iter([b"x" * 1_000_000, b"", b"yz"]))
    assert own_files.read(str(state), "receipts.jsonl") == b"x" * 1_000_000 + b"yz"

    def breaks():
        yield b"new"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        own_files.replace(str(state), "receipts.jsonl", breaks())
    assert os.listdir(state) == ["receipts.jsonl"] and len(own_files.read(str(state), "receipts.jsonl")) == 1_000_002


def test_only_an_empty_folder_of_ours_is_removed(state):
    own_files.replace(str(state), "status.json", b"x")
    assert not own_folders.remove_empty(str(state)) and not own_folders.remove_empty(str(state / "nothing"))
    own_files.remove(str(state), "status.json")
    assert own_folders.remove_empty(str(state)) and not state.exists()


@needs_root
@pytest.mark.parametrize("name", ["residual.json", "receipts.jsonl"])
def test_a_file_of_somebody_else_in_our_folder_is_not_obeyed(state, name):
    WRITERS[name](str(state))
    os.chown(state / name, 12345, 12345)
    if name == "residual.json":
        assert residual.take(str(state)) == []
    else:
        assert list(read_receipts(str(state), any_owner=False)) == []
        with pytest.raises(NotOurs, match="another user"):
            append(str(state), [RECEIPT])


def test_a_second_name_of_a_file_gets_no_line(state, tmp_path):
    """A backup that is made of links, or a link of somebody's making."""
    append(str(state), [RECEIPT])
    os.link(state / "receipts.jsonl", tmp_path / "backup")
    append(str(state), [RECEIPT._replace(seq=2)])
    assert (tmp_path / "backup").read_bytes().count(b"\n") == 1
    assert [receipt.seq for receipt in read_receipts(str(state))] == [1, 2]


def test_a_folder_that_others_may_write_is_closed_to_them(tmp_path):
    state = tmp_path / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    state.parent.chmod(0o777)
    make_ready(str(state))
    assert not stat.S_IMODE(state.parent.stat().st_mode) & 0o022


def test_what_is_read_whole_has_a_limit(state):
    with open(state / "status.json", "wb") as file:
        file.truncate(own_files.MOST_BYTES + 1)
    with pytest.raises(OSError, match="larger than"):
        own_files.read(str(state), "status.json")
    assert read_status(str(state)) is None


def test_a_recreated_folder_is_not_taken_for_the_one_before(state):
    write_status(str(state), {"n": 1})
    state.rename(state.with_name("aside"))
    own_folders.make_folder(str(state))
    write_status(str(state), {"n": 2})
    assert read_status(str(state)) == {"format": 1, "n": 2}


def test_compacting_follows_no_link(state, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine\n")
    (state / "receipts-2026-10.jsonl").symlink_to(precious)
    old = RECEIPT._replace(at="2026-10-01T00:00:00.000Z")
    append(str(state), [old._replace(seq=seq, path="/" + "p" * 400) for seq in range(1, 1500)])
    with pytest.raises(NotOurs):
        MonthFiles(str(state)).add(old, to_line(old))
    assert precious.read_bytes() == b"mine\n" and len(list(read_receipts(str(state)))) == 1499


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_settings_that_are_no_file_are_not_waited_for(state, what):
    """A person who queries another user's task (status, queue, get, set) reads what its child has left there."""
    if what == "pipe":
        os.mkfifo(state / "settings.json")
    else:
        (state / "settings.json").symlink_to("/dev/zero")
    found = []
    thread = threading.Thread(target=lambda: found.append(read_settings_page(str(state))), daemon=True)
    thread.start()
    thread.join(30)
    assert found == [{}]


def test_lines_that_another_cut_short_end_before_the_next_ones(tmp_path):
    """How a file ends is not read again while it is as long as these lines left it."""
    for cut in (b"half", b""):
        own_files.append_lines(str(tmp_path), "lines", b"one\n")
        with (tmp_path / "lines").open("ab") as file:
            file.write(cut)
        own_files.append_lines(str(tmp_path), "lines", b"two\n")
    assert (tmp_path / "lines").read_bytes() == b"one\nhalf\ntwo\none\ntwo\n"
    os.truncate(tmp_path / "lines", 2)
    own_files.append_lines(str(tmp_path), "lines", b"three\n")
    assert (tmp_path / "lines").read_bytes() == b"on\nthree\n"


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_line_that_a_full_disk_cuts_short_is_an_error(tmp_path):
    """The system writes what there is room for and says so by the count: whoever asked must not take the line for written."""
    import resource

    journal = Journal(str(tmp_path))
    journal.load()
    journal.write({"id": "zero", "state": "taken"})
    room = (tmp_path / JOURNAL).stat().st_size + 10
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError):
            journal.write({"id": "one", "state": "taken"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "one" not in journal.rows
    journal.write({"id": "two", "state": "taken"})
    again = Journal(str(tmp_path))
    assert again.load() == ["zero", "two"]
