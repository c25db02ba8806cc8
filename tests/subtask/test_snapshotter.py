"""Copies of files that others are writing."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import stat
import threading
from collections import namedtuple
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import DiskLow, SourceChanged, SourceError, SourceMissing
from pysubtask.subtask.snapshot import snapshotter
from pysubtask.subtask.snapshot.append_tracker import Digest
from pysubtask.subtask.snapshot.file_copies import content_digest
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
from pysubtask.transports.base import Job
from pysubtask.transports.shared.source import open_source


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def bak(tmp_path):
    return tmp_path / "bak" / "ftp"


@pytest.fixture
def snaps(bak):
    return Snapshotter(str(bak), "ftp", lambda: 0)


def left_in(folder) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture
def between(monkeypatch):
    """Runs a function after the first piece of the source was read."""

    def install(act) -> None:
        real, done = os.preadv, []

        def preadv(*args):
            got = real(*args)
            if not done:
                done.append(1)
                act()
            return got

        monkeypatch.setattr(snapshotter.os, "preadv", preadv)

    return install


def test_a_copy_is_whole_and_carries_the_sources_time(tmp_path, bak, snaps):
    source = tmp_path / "data.csv"
    data = os.urandom(3_000_001)
    source.write_bytes(data)
    os.utime(source, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    copied = snaps.copy(str(source))
    assert (copied.size, copied.mtime_ns, copied.inode) == (len(data), 1_600_000_000_123_456_789, os.stat(source).st_ino)
    assert (copied.source, copied.live, copied.digest) == (str(source), False, sha(data))
    assert not os.path.exists(copied.path), "nothing is there under the final name before it is durable"
    snaps.seal([copied])
    with open(copied.path, "rb") as file:
        assert file.read() == data
    assert os.stat(copied.path).st_mtime_ns == 1_600_000_000_123_456_789
    assert left_in(bak) == [os.path.basename(copied.path)]


@pytest.mark.slow
@settings(max_examples=60)
@given(pieces=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=6), tail=st.integers(0, 3))
def test_any_layout_of_holes_and_data_is_copied(tmp_path_factory, pieces, tail):
    folder = tmp_path_factory.mktemp("holes")
    with open(folder / "s", "wb") as file:
        for blocks, data in pieces:
            file.seek(blocks * 65536, os.SEEK_CUR)
            file.write(data)
        file.truncate(file.tell() + tail * 65536)
    snaps = Snapshotter(str(folder / "bak"), "t", lambda: 0)
    copied = snaps.copy(str(folder / "s"))
    snaps.seal([copied])
    want = (folder / "s").read_bytes()
    with open(copied.path, "rb") as file:
        assert file.read() == want
    assert copied.digest == sha(want) == content_digest(str(folder / "s"), len(want))


def test_sparse_stays_sparse(tmp_path, snaps):
    source = tmp_path / "image"
    with open(source, "wb") as file:
        file.seek(64 * 1024 * 1024)
        file.write(b"end")
    if os.stat(source).st_blocks * 512 > 1024 * 1024:
        pytest.skip("this file system keeps no holes")
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    assert os.stat(copied.path).st_blocks * 512 < 1024 * 1024
    assert copied.digest == sha(bytes(64 * 1024 * 1024) + b"end")


@settings(max_examples=40)
@given(st.binary(max_size=300), st.sets(st.integers(0, 320)), st.lists(st.integers(1, 90), max_size=8))
def test_the_digests_of_the_beginnings(data, sizes, steps):
    digest, at = Digest(sizes), 0
    for step in [*steps, len(data)]:
        digest.update(memoryview(data)[at : at + step], at)
        at = min(len(data), at + step)
    assert digest.hexdigest() == sha(data)
    assert digest.prefixes == {size: sha(data[:size]) for size in sizes if size <= len(data)}


def test_a_copy_tells_the_digests_of_its_beginnings(tmp_path, snaps):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    copied = snaps.copy(str(tmp_path / "a"), None, {1_500_000, 3_000_000, 3_000_001})
    assert copied.prefixes == {1_500_000: sha(data[:1_500_000]), 3_000_000: sha(data)}


def test_an_empty_file(tmp_path, snaps):
    (tmp_path / "empty").touch()
    copied = snaps.copy(str(tmp_path / "empty"))
    snaps.seal([copied])
    assert os.path.getsize(copied.path) == 0 and copied.digest == sha(b"")


def test_a_file_that_grows_is_a_true_prefix(tmp_path, snaps, between):
    source = tmp_path / "log"
    data = os.urandom(2_500_000)
    source.write_bytes(data)

    def append() -> None:
        with open(source, "ab") as file:
            file.write(b"more" * 1000)

    between(append)
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    with open(copied.path, "rb") as file:
        assert file.read() == data
    assert copied.size == len(data) and os.path.getsize(source) > copied.size


@pytest.mark.slow
def test_a_writer_that_never_rests_still_gives_true_prefixes(tmp_path, snaps):
    source = tmp_path / "log"
    line = b"0123456789abcdef" * 256
    source.write_bytes(line * 500)
    end = threading.Event()

    def write() -> None:
        with open(source, "ab", buffering=0) as file:
            while not end.is_set() and file.tell() < 60_000_000:
                file.write(line)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            copied = snaps.copy(str(source))
            snaps.seal([copied])
            with open(copied.path, "rb") as file:
                got = file.read()
            assert len(got) == copied.size and got == (line * (len(got) // len(line) + 1))[: len(got)]
            snaps.drop(copied.path)
    finally:
        end.set()
        writer.join()


@pytest.mark.parametrize("whole_seconds", [False, True])
def test_a_file_rewritten_under_the_copy_is_not_taken(tmp_path, bak, snaps, between, whole_seconds, monkeypatch):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 2_500_000)
    when = os.stat(source).st_mtime_ns // 1_000_000_000 * 1_000_000_000
    if whole_seconds:
        # A clock of whole seconds shows no difference.
        os.utime(source, ns=(when, when))
        monkeypatch.setattr(snapshotter.time, "time_ns", lambda: when + 1_000_000_000)

    def rewrite() -> None:
        with open(source, "r+b") as file:
            file.write(b"b" * 2_500_000)
        if whole_seconds:
            os.utime(source, ns=(when, when))

    between(rewrite)
    with pytest.raises(SourceChanged):
        snaps.copy(str(source))
    assert left_in(bak) == []
    assert snaps.copy(str(source)).digest == sha(b"b" * 2_500_000)


def test_a_file_truncated_under_the_copy_is_not_taken(tmp_path, bak, snaps, between):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 2_500_000)
    between(lambda: os.truncate(source, 100))
    with pytest.raises(SourceChanged):
        snaps.copy(str(source))
    assert left_in(bak) == []


def test_a_file_emptied_before_its_first_byte_is_read_is_no_hole(tmp_path, bak, snaps, monkeypatch):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 100_000)
    real = os.lseek

    def lseek(*args):
        os.truncate(source, 0)
        return real(*args)

    monkeypatch.setattr(snapshotter.os, "lseek", lseek)
    with pytest.raises(SourceChanged):
        snaps.copy(str(source))
    assert left_in(bak) == []


def test_a_file_replaced_during_the_copy_gives_the_old_version(tmp_path, snaps, between):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 2_500_000)
    inode = os.stat(source).st_ino

    def replace() -> None:
        (tmp_path / "new").write_bytes(b"b" * 2_500_000)
        os.replace(tmp_path / "new", source)

    between(replace)
    copied = snaps.copy(str(source))
    assert copied.digest == sha(b"a" * 2_500_000) and copied.inode == inode


def test_a_file_that_vanishes_under_the_copy(tmp_path, bak, snaps, between):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 2_500_000)
    between(lambda: os.unlink(source))
    with pytest.raises(SourceMissing):
        snaps.copy(str(source))
    assert left_in(bak) == []


def test_missing_files(tmp_path, snaps):
    (tmp_path / "f").touch()
    for path in (tmp_path / "none", tmp_path / "f" / "below"):
        with pytest.raises(SourceMissing):
            snaps.copy(str(path))


def test_folders_fifos_sockets_and_devices_are_refused_at_once(tmp_path, bak, snaps):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in [("fifo", "not a regular file"), ("folder", "is a folder"), ("/dev/null", "not a reg"), ("loop", "link")]:
        with pytest.raises(SourceError, match=words):
            snaps.copy(str(tmp_path / path))
    assert left_in(bak) == []


def test_a_file_that_may_not_be_read(tmp_path, snaps, monkeypatch):
    source = tmp_path / "secret"
    source.write_text("x")
    source.chmod(0)
    if os.access(source, os.R_OK):
        # The superuser may read everything.
        real = os.open

        def refuse(path, *args, **more):
            if os.path.basename(str(path)) == source.name:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real(path, *args, **more)

        monkeypatch.setattr(snapshotter.os, "open", refuse)
    with pytest.raises(SourceError, match="may not be read"):
        snaps.copy(str(source))


def test_a_disk_that_fails_in_the_middle(tmp_path, bak, snaps, monkeypatch):
    (tmp_path / "log").write_bytes(b"a" * 100)

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(snapshotter.os, "preadv", fail)
    with pytest.raises(SourceError, match="the disk reports an error"):
        snaps.copy(str(tmp_path / "log"))
    assert left_in(bak) == []


def test_within_keeps_links_inside(tmp_path, snaps):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "real").write_text("mine")
    (inside / "link").symlink_to("real")
    (outside / "secret").write_text("theirs")
    (inside / "escape").symlink_to(outside / "secret")
    assert snaps.copy(str(inside / "link"), str(inside)).digest == sha(b"mine")
    assert snaps.copy(str(inside / "real"), str(inside)).digest == sha(b"mine")
    with pytest.raises(SourceError, match="leads out"):
        snaps.copy(str(inside / "escape"), str(inside))
    with pytest.raises(SourceMissing):
        snaps.copy(str(inside / "none"), str(inside))
    (inside / "sub").symlink_to(outside)
    with pytest.raises(SourceError, match="leads out"):
        snaps.copy(str(inside / "sub" / "secret"), str(inside / "sub"))


_Space = namedtuple("_Space", "f_bavail f_frsize")


def test_space_that_must_stay_free(tmp_path, bak, monkeypatch):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 10_000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(50_000_000)
    keep = 20_000
    snaps = Snapshotter(str(bak), "ftp", lambda: keep)
    monkeypatch.setattr(snapshotter.os, "statvfs", lambda _: _Space(29_999, 1))
    with pytest.raises(DiskLow, match="less than 20000"):
        snaps.copy(str(source))
    assert left_in(bak) == []
    if os.stat(tmp_path / "sparse").st_blocks == 0:
        snaps.copy(str(tmp_path / "sparse"))
    keep = 19_999
    snaps.copy(str(source))


def test_a_disk_that_fills_up_in_the_middle(tmp_path, bak, snaps):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 3_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
    try:
        with pytest.raises(DiskLow):
            snaps.copy(str(source))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(bak) == []


def test_a_disk_that_is_full_when_it_comes_to_the_sync(tmp_path, bak, snaps, monkeypatch):
    copies = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        copies.append(snaps.copy(str(tmp_path / name)))
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(snapshotter.os, "fsync", full)
    with pytest.raises(DiskLow):
        snaps.seal(copies)
    assert left_in(bak) == []


def test_seal_syncs_each_file_then_its_name_then_the_folder(tmp_path, bak, snaps, monkeypatch):
    copies = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        copies.append(snaps.copy(str(tmp_path / name)))
    steps: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def fsync(handle):
        real_sync(handle)
        steps.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))

    def rename(old, new, **more):
        steps.append("name " + os.path.basename(old))
        real_rename(old, new, **more)

    monkeypatch.setattr(snapshotter.os, "fsync", fsync)
    monkeypatch.setattr(snapshotter.os, "rename", rename)
    snaps.seal(copies)
    temps = [os.path.basename(str(copied.temp)) for copied in copies]
    assert steps == [f"sync {temps[0]}", f"sync {temps[1]}", f"name {temps[0]}", f"name {temps[1]}", "sync ftp"]
    snaps.seal([])
    assert len(steps) == 5


@pytest.mark.parametrize("listed", [True, False])
def test_one_copy_is_synced_while_it_is_open_and_not_again(tmp_path, bak, snaps, monkeypatch, listed: bool):
    """Also where the descriptor of the folder is none that can be synced."""
    (tmp_path / "a").write_text("a")
    snaps.seal([snaps.copy(str(tmp_path / "a"))])
    steps: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def fsync(handle):
        real_sync(handle)
        steps.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))

    def rename(old, new, **more):
        steps.append("name " + os.path.basename(old))
        real_rename(old, new, **more)

    monkeypatch.setattr(snapshotter.os, "fsync", fsync)
    monkeypatch.setattr(snapshotter.os, "rename", rename)
    if not listed:
        monkeypatch.setattr(snapshotter.beneath, "found_to_write", partial(_without_to_sync, snapshotter.beneath.found_to_write))
    with snaps.at_work(alone=True):
        copied = snaps.copy(str(tmp_path / "a"))
        temp = os.path.basename(str(copied.temp))
        assert copied.synced and steps == [f"sync {temp}"]
        snaps.seal([copied])
    assert steps == [f"sync {temp}", f"name {temp}", "sync ftp"]
    assert not snaps.copy(str(tmp_path / "a")).synced


def _without_to_sync(found_to_write, path: str, *, to_sync: bool = False):
    return found_to_write(path)


def test_the_folder_is_recreated_when_it_is_removed(tmp_path, bak, snaps):
    (tmp_path / "log").write_text("x")
    first = snaps.copy(str(tmp_path / "log"))
    os.unlink(str(first.temp))
    os.rmdir(bak)
    second = snaps.copy(str(tmp_path / "log"))
    snaps.seal([second])
    assert left_in(bak) == [os.path.basename(second.path)]
    with pytest.raises(SourceError):
        snaps.seal([first])


def test_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "bak").write_text("a file is in the way")
    (tmp_path / "log").write_text("x")
    with pytest.raises(SourceError, match="no snapshot can be made"):
        Snapshotter(str(tmp_path / "bak" / "ftp"), "t", lambda: 0).copy(str(tmp_path / "log"))


def test_no_two_versions_files_runs_or_tags_share_a_name(tmp_path, bak):
    (tmp_path / "x").mkdir()
    (tmp_path / "log").write_text("1")
    (tmp_path / "x" / "log").write_text("2")
    copies = []
    for tag in ("ftp", "ftp", "dropbox"):
        snaps = Snapshotter(str(bak), tag, lambda: 0)
        for _ in range(2):
            copies += [snaps.copy(str(tmp_path / "log")), snaps.copy(str(tmp_path / "x" / "log"))]
            snaps.seal(copies[-2:])
    assert len({copied.path for copied in copies}) == 12 == len(left_in(bak))


@pytest.mark.parametrize("name", [b"n" * 255, b"\xff\xfe,'\" \n", "\u00fc".encode() * 127, b"-rf"])
def test_any_name_gives_a_name_the_folder_can_hold(tmp_path, bak, snaps, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"x")
    copied = snaps.copy(os.fsdecode(path))
    snaps.seal([copied])
    assert os.path.getsize(copied.path) == 1
    assert len(os.fsencode(os.path.basename(copied.path))) <= 255 and len(os.fsencode(os.path.basename(str(copied.temp)))) <= 255


def test_without_a_folder_the_live_file_is_hashed_and_not_copied(tmp_path, between):
    source = tmp_path / "log"
    source.write_bytes(b"a" * 10)
    before = left_in(tmp_path)
    snaps = Snapshotter(None, "ftp", lambda: 1 << 60)
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    assert (copied.path, copied.temp, copied.live, copied.digest) == (str(source), None, True, sha(b"a" * 10))
    snaps.drop(copied.path)
    snaps.discard(copied)
    assert snaps.sweep([]) == [] and left_in(tmp_path) == before
    between(lambda: source.write_bytes(b"b" * 10))
    with pytest.raises(SourceChanged):
        snaps.copy(str(source))


def test_drop_removes_our_snapshots_and_nothing_else(tmp_path, bak, snaps):
    (tmp_path / "log").write_text("x")
    copied = snaps.copy(str(tmp_path / "log"))
    snaps.seal([copied])
    (bak / "notes.txt").write_text("mine")
    (bak / "below").mkdir()
    (bak / "below" / "ftp-1").write_text("mine")
    (tmp_path / "ftp-2").write_text("mine")
    for path in (tmp_path / "log", bak / "notes.txt", bak / "below" / "ftp-1", tmp_path / "ftp-2", bak / "ftp-missing"):
        snaps.drop(str(path))
    snaps.drop(f"{bak}/below/../notes.txt")
    assert left_in(bak) == ["below", os.path.basename(copied.path), "notes.txt"]
    assert (tmp_path / "log").exists() and (tmp_path / "ftp-2").exists() and (bak / "below" / "ftp-1").exists()
    snaps.drop(copied.path)
    assert not os.path.exists(copied.path)


def test_discard_removes_a_copy_in_either_state(tmp_path, bak, snaps):
    (tmp_path / "log").write_text("x")
    early, late = snaps.copy(str(tmp_path / "log")), snaps.copy(str(tmp_path / "log"))
    snaps.seal([late])
    snaps.discard(early)
    snaps.discard(late)
    assert left_in(bak) == []


def test_sweep_removes_a_crashs_remains_and_keeps_what_is_needed(tmp_path, bak, snaps):
    (tmp_path / "log").write_text("x")
    temp, kept, lost = (snaps.copy(str(tmp_path / "log")) for _ in range(3))
    snaps.seal([kept, lost])
    other = Snapshotter(str(bak), "dropbox", lambda: 0).copy(str(tmp_path / "log"))
    (bak / "notes.txt").write_text("mine")
    again = Snapshotter(str(bak), "ftp", lambda: 0)
    assert sorted(again.sweep({kept.path})) == sorted([str(temp.temp), lost.path])
    assert left_in(bak) == sorted([os.path.basename(kept.path), os.path.basename(str(other.temp)), "notes.txt"])
    assert Snapshotter(str(tmp_path / "nowhere"), "ftp", lambda: 0).sweep([]) == []


def test_content_digest(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abcdef")
    assert content_digest(str(path), 3) == sha(b"abc")
    assert content_digest(str(path), 0) == sha(b"")
    with pytest.raises(SourceChanged):
        content_digest(str(path), 7)
    with pytest.raises(SourceMissing):
        content_digest(str(tmp_path / "none"), 1)


@pytest.mark.parametrize("tag", ["", "a/b", "t" * 65])
def test_a_tag_must_fit_into_a_name(tag):
    with pytest.raises(ValueError):
        Snapshotter("/tmp", tag, lambda: 0)


def test_no_handle_is_left_open(tmp_path, snaps):
    (tmp_path / "log").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        snaps.seal([snaps.copy(str(tmp_path / "log"))])
        with pytest.raises(SourceError):
            snaps.copy(str(tmp_path / "fifo"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_snapshot_is_private_whatever_the_umask(tmp_path):
    """A copy of a file that only its owner may read must not be readable by others for as long as the link is down."""
    (tmp_path / "diary.csv").write_bytes(b"private")
    (tmp_path / "diary.csv").chmod(0o600)
    before = os.umask(0)
    try:
        snaps = Snapshotter(str(tmp_path / "upload" / "ftp"), "tag", lambda: 0)
        copied = snaps.copy(str(tmp_path / "diary.csv"))
        snaps.seal([copied])
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(copied.path).st_mode) == 0o600
    for folder in (tmp_path / "upload", tmp_path / "upload" / "ftp"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["link", "second name"])
def test_another_file_in_the_place_of_a_snapshot_is_not_sent(tmp_path, what):
    private = tmp_path / "private.txt"
    private.write_bytes(b"x" * 40)
    (tmp_path / "a.csv").write_bytes(b"y" * 40)
    snaps = Snapshotter(str(tmp_path / "upload"), "tag", lambda: 0)
    copied = snaps.copy(str(tmp_path / "a.csv"))
    snaps.seal([copied])
    job = Job(copied.path, 40, 0, "a.csv", ".a.part", snapshot=True)
    os.close(open_source(job))
    os.unlink(copied.path)
    if what == "link":
        os.symlink(private, copied.path)
    else:
        os.link(private, copied.path)
    with pytest.raises(SourceChanged):
        open_source(job)


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes folders of another user: needs root")


def test_the_folder_of_snapshots_becomes_ours_alone(tmp_path):
    """One of a umask, of an earlier version, or made before us by somebody of our group."""
    bak = tmp_path / "upload"
    bak.mkdir()
    bak.chmod(0o777)
    (tmp_path / "a.csv").write_bytes(b"x")
    snaps = Snapshotter(str(bak), "tag", lambda: 0)
    copied = snaps.copy(str(tmp_path / "a.csv"))
    snaps.seal([copied])
    assert stat.S_IMODE(bak.stat().st_mode) & 0o022 == 0
    assert open_source_and_close(Job(copied.path, 1, 0, "a.csv", ".a.part", snapshot=True))


def open_source_and_close(job: Job) -> bool:
    os.close(open_source(job))
    return True


@needs_root
@pytest.mark.parametrize("how", ["a folder of his", "a link of his"])
def test_no_snapshot_is_kept_in_or_sent_from_anothers_folder(tmp_path, how):
    """mallory makes `upload` before the child does, or puts another one in its place."""
    (tmp_path / "a.csv").write_bytes(b"x")
    bak = tmp_path / "upload"
    snaps = Snapshotter(str(bak), "tag", lambda: 0)
    copied = snaps.copy(str(tmp_path / "a.csv"))
    snaps.seal([copied])
    name = os.path.basename(copied.path)
    bak.rename(tmp_path / "was")
    if how == "a link of his":
        (tmp_path / "private").mkdir(mode=0o700)
        bak.symlink_to(tmp_path / "private")
    else:
        bak.mkdir()
    os.rename(tmp_path / "was" / name, bak / name)
    os.chown(bak, 64002, 64002, follow_symlinks=False)
    with pytest.raises(SourceError):
        snaps.copy(str(tmp_path / "a.csv"))
    with pytest.raises(SourceChanged):
        open_source(Job(copied.path, 1, 0, "a.csv", ".a.part", snapshot=True))
    assert len(os.listdir(bak)) == 1, "nothing was made there"


@pytest.mark.parametrize(
    ("number", "problem"),
    [(errno.EROFS, "it fails (Read-only file system)"), (errno.EIO, "it fails (Input/output error)"), (errno.ENOSPC, "")],
)
def test_a_fault_of_the_disk_is_none_of_the_file(tmp_path, monkeypatch, number, problem):
    """It stays due, and the message names the disk: EIO is no full disk, and neither is a file that cannot be read."""
    (tmp_path / "a.csv").write_text("1\n")
    snapshotter = Snapshotter(str(tmp_path / "bak"), "t", lambda: 0)

    def fails(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(snapshotter._bak, "open", fails)
    with pytest.raises(DiskLow) as caught:
        snapshotter.copy(str(tmp_path / "a.csv"))
    assert caught.value.problem == problem
