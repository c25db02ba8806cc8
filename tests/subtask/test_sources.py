"""What is read is what was watched, and what is made is made there, whoever renames things in the folder meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import pathlib
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.errors import SourceError
from pysubtask.common.notify import Toucher, make_notify, remove_signal, write_hold
from pysubtask.subtask.snapshot.file_copies import content_digest
from pysubtask.subtask.snapshot.known_stamps import KnownStamps
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.subtask.watch.folder import Folder
from pysubtask.subtask.watch.watcher import Watcher
from tests.support.helpers import wait_until
from tests.support.pipelines import pipeline_of

needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes files of other users: needs root")
ALICE, MALLORY = 64001, 64002
_EXCHANGE, _AT_FDCWD = 2, -100


def exchange(one: str, other: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.fixture
def tmp_path() -> Iterator[pathlib.Path]:
    """One that other users may pass: those of pytest are below a folder of mode 0700."""
    path = pathlib.Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def swapping(tmp_path) -> Iterator[Callable[[str, str], None]]:
    """Exchanges two names all the time on a thread."""
    try:
        (tmp_path / "p").mkdir()
        (tmp_path / "q").symlink_to("p")
        exchange(str(tmp_path / "p"), str(tmp_path / "q"))
    except (OSError, AttributeError):
        pytest.skip("this file system or C library cannot exchange two names (renameat2)")
    over = threading.Event()
    threads = []

    def run(one: str, other: str) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):  # a notify file may be made in between
                exchange(one, other)

    def begin(one: str, other: str) -> None:
        threads.append(threading.Thread(target=run, args=(one, other)))
        threads[-1].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join()


def give(path, uid: int, mode: int | None = None) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)
    if mode is not None:
        os.chmod(path, mode)


@pytest.fixture
def snaps(tmp_path):
    return Snapshotter(str(tmp_path / "bak"), "t", lambda: 0)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def secret(tmp_path):
    """A file that others could read, in a folder where they cannot go: as root's home is."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "a.csv").write_bytes(b"SECRET")
    return folder / "a.csv"


@pytest.mark.slow
def test_a_folder_that_is_swapped_for_a_link_while_it_is_copied(data, snaps, secret, swapping):
    """The proof of the review: exchanges of `sub` and a link, four seconds; it leaked thousands of times."""
    (data / "sub").mkdir()
    (data / "sub" / "a.csv").write_bytes(b"harmless")
    (data / "link").symlink_to(secret.parent)
    swapping(str(data / "sub"), str(data / "link"))
    harmless = leaked = refused = 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        try:
            copied = snaps.copy(str(data / "sub" / "a.csv"), str(data / "sub"))
        except SourceError:
            refused += 1
            continue
        with open(str(copied.temp), "rb") as file:
            found = file.read()
        snaps.discard(copied)
        harmless += found == b"harmless"
        leaked += found == b"SECRET"
    assert leaked == 0
    assert harmless and refused, "both sides of the exchange were met"


@needs_root
def test_a_link_to_what_its_owner_may_not_read_is_no_named_file(data, snaps, secret):
    """The proof of the review: root's task names a file in a user's folder, and the user makes it a link."""
    give(data, ALICE)
    link = data / "today.csv"
    link.symlink_to(secret)
    give(link, ALICE)
    with pytest.raises(SourceError, match="is reached by a link of another user, who may not read it"):
        snaps.copy(str(link))
    with pytest.raises(SourceError):
        content_digest(str(link), 6)
    secret.parent.chmod(0o755)
    snaps.discard(snaps.copy(str(link)))  # what he may read by himself
    secret.chmod(0o600)
    with pytest.raises(SourceError):
        snaps.copy(str(link))


@needs_root
def test_links_of_their_own_are_followed(data, snaps, secret, tmp_path):
    give(data, ALICE)
    for owner in (0, ALICE):
        target = tmp_path / f"of-{owner}"
        target.write_bytes(b"x")
        give(target, ALICE, 0o600)
        link = data / f"link-{owner}"
        link.symlink_to(target)
        give(link, owner)
        snaps.discard(snaps.copy(str(link)))
    own = data / "own"
    own.symlink_to(secret)
    snaps.discard(snaps.copy(str(own)))  # root itself made it


@needs_root
def test_a_link_of_a_third_user_is_not_followed(data, snaps, tmp_path):
    give(data, ALICE, 0o777)
    (tmp_path / "his").write_bytes(b"x")
    give(tmp_path / "his", MALLORY)
    (data / "link").symlink_to(tmp_path / "his")
    give(data / "link", MALLORY)
    with pytest.raises(SourceError, match="is a link of another user"):
        snaps.copy(str(data / "link"))


@needs_root
def test_a_chain_of_links_ends_where_a_stranger_leads_it_astray(data, snaps, secret, tmp_path):
    """The first link is ours, and the second, or a folder on the way, is not."""
    (tmp_path / "his").mkdir()
    for name, target in (("second", secret), ("way", secret.parent)):
        (tmp_path / "his" / name).symlink_to(target)
        give(tmp_path / "his" / name, MALLORY)
    (data / "one.csv").symlink_to(tmp_path / "his" / "second")
    (data / "two.csv").symlink_to(tmp_path / "his" / "way" / "a.csv")
    for name in ("one.csv", "two.csv"):
        with pytest.raises(SourceError):
            snaps.copy(str(data / name))


@needs_root
@pytest.mark.parametrize("kind", ["named", "in a folder"])
def test_root_sends_no_file_that_the_folders_owner_may_not_read(data, snaps, kind):
    give(data, ALICE)
    within = None if kind == "named" else str(data)
    file = data / "a.csv"
    file.write_bytes(b"x")
    cases = [(ALICE, 0o600, True), (0, 0o600, True), (MALLORY, 0o604, True), (MALLORY, 0o600, False)]
    for owner, mode, goes in cases:
        give(file, owner, mode)
        if goes:
            snaps.discard(snaps.copy(str(file), within))
        else:
            with pytest.raises(SourceError, match="may not be read by the owner of its folder"):
                snaps.copy(str(file), within)
    give(file, 0, 0o600)
    os.link(file, data / "second")
    with pytest.raises(SourceError):
        snaps.copy(str(file), within)


@needs_root
@pytest.mark.parametrize("kind", ["named", "in a folder"])
@pytest.mark.parametrize("mode", [0o1777, 0o2775, 0o755])
def test_root_sends_no_second_name_of_a_private_file(data, snaps, secret, kind, mode):
    """Where fs.protected_hardlinks is 0 anybody may give any file a name there."""
    within = None if kind == "named" else str(data)
    os.chown(data, 0, 4242)
    data.chmod(mode)
    for owner, closed, name in ((0, 0o600, "roots.csv"), (MALLORY, 0o640, "bobs.csv")):
        give(secret, owner, closed)
        os.link(secret, data / name)
        if mode == 0o755:
            snaps.discard(snaps.copy(str(data / name), within))  # root made it
        else:
            with pytest.raises(SourceError, match="has a second name"):
                snaps.copy(str(data / name), within)
    give(secret, MALLORY, 0o644)
    snaps.discard(snaps.copy(str(data / "bobs.csv"), within))  # all may read it


@needs_root
@pytest.mark.parametrize("make", ["make_notify", "touch", "write_hold"])
def test_no_signal_file_is_created_where_a_strangers_link_leads(data, secret, make):
    link = data / "sub"
    link.symlink_to(secret.parent)
    give(link, ALICE)
    acts = {"make_notify": make_notify, "touch": Toucher().touch, "write_hold": lambda path: write_hold(path, 1)}
    with pytest.raises(OSError, match="a link of another user leads there"):
        acts[make](str(link / "a.csv.notify"))
    assert os.listdir(secret.parent) == ["a.csv"]
    os.unlink(link)
    link.symlink_to(secret.parent)  # of this user's own
    acts[make](str(link / "a.csv.notify"))
    assert len(os.listdir(secret.parent)) == 2


@pytest.mark.slow
@needs_root
def test_no_signal_file_goes_astray_while_its_folder_is_swapped(data, secret, swapping):
    (data / "sub").mkdir()
    (data / "link").symlink_to(secret.parent)
    give(data / "sub", ALICE)
    give(data / "link", ALICE)
    swapping(str(data / "sub"), str(data / "link"))
    toucher, done = Toucher(), 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for act in (make_notify, toucher.touch):
            with contextlib.suppress(OSError):
                act(str(data / "sub" / "a.csv.notify"))
                done += 1
        assert os.listdir(secret.parent) == ["a.csv"]
    assert done


def test_a_link_in_the_place_of_a_folder_inside_is_not_listed(tmp_path, data, secret):
    (data / "sub").mkdir()
    entry = read_entries(TREE, cwd=str(data))[0]
    inside = Folder(0, entry, (), Folder(0, entry, ()), "sub")
    assert inside.scan(True).odd == []
    (data / "sub").rmdir()
    (data / "sub").symlink_to(secret.parent)
    for every in (True, False):
        with pytest.raises(OSError):
            inside.scan(every)


@needs_root
def test_a_signal_file_is_not_removed_through_a_strangers_link(data, secret):
    hold = secret.parent / "a.csv.hold"
    hold.touch()
    link = data / "sub"
    link.symlink_to(secret.parent)
    give(link, ALICE)
    with pytest.raises(OSError):
        remove_signal(str(link / "a.csv.hold"))
    assert hold.exists()
    remove_signal(str(hold))
    assert not hold.exists()


class Station:
    """A watch and an intake as a child has them, over real folders."""

    def __init__(self, tmp_path, entries: list[object]) -> None:
        state = tmp_path / "data" / ".pysubtask" / "main" / "base"
        state.mkdir(parents=True, mode=0o700)
        self.snaps = Snapshotter(str(tmp_path / "bak"), "tag", lambda: 0)
        self.spool_thread = SpoolThread(str(state), "file:///nowhere", self.snaps.drop, time.time)
        read = read_entries(entries, cwd=str(tmp_path / "data"))
        status_model = StatusModel(time.time)
        self.watch = Watcher(
            read, KnownStamps(self.spool_thread), [str(tmp_path / "bak"), str(state.parent.parent)], lambda: None, False
        )
        self.pipeline = pipeline_of(read, self.watch, self.snaps, self.spool_thread, status_model, str(tmp_path / "data"))

    def tick(self) -> None:
        self.pipeline.take(time.monotonic())

    def queued(self) -> set[str]:
        return {os.path.basename(path) for path in self.spool_thread.spool.stamps.sources}


@pytest.fixture
def station(tmp_path, data) -> Iterator[Callable[[list[object]], Station]]:
    stations: list[Station] = []

    def make(entries: list[object]) -> Station:
        stations.append(Station(tmp_path, entries))
        return stations[-1]

    logging.getLogger("quiet").setLevel(logging.CRITICAL + 1)
    yield make
    for each in stations:
        each.spool_thread.close()


TREE = [{"dir": ".", "recursive": True, "settle_secs": 0, "on_change": True}]


@pytest.mark.slow
def test_a_thread_that_swaps_folders_and_files_ends_no_child(station, data, secret, swapping):
    (data / "sub").mkdir()
    (data / "sub" / "a.csv").write_bytes(b"harmless")
    (data / "link").symlink_to(secret.parent)
    (data / "n.csv").write_bytes(b"1")
    (data / "n.link").symlink_to("nowhere")
    (data / "f.csv").write_bytes(b"1")
    (data / "f.link").symlink_to("n.csv")  # through sub it would be this user's own link to the secret
    one = station([*TREE, {"file": "f.csv"}])
    swapping(str(data / "sub"), str(data / "link"))
    swapping(str(data / "n.csv"), str(data / "n.link"))
    swapping(str(data / "f.csv"), str(data / "f.link"))
    end = time.monotonic() + 4
    while time.monotonic() < end:
        (data / "f.csv.notify").touch()
        one.tick()
    assert not any(
        b"SECRET" in pathlib.Path(path).read_bytes() for path in one.spool_thread.run(one.spool_thread.spool.queue.snapshots)
    )
    (data / "good.csv").write_bytes(b"x")
    wait_until(lambda: one.tick() is None and "good.csv" in one.queued(), what="other files go on")


KINDS = [errno.EINVAL, errno.ELOOP, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.EBUSY]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_error_of_a_system_call_ends_the_child(station, data, tmp_path, monkeypatch, seed):
    """Any system call about the data may fail in any way: it is a matter of that file, tried again."""
    (data / "sub").mkdir()
    for name in ("a.csv", "b.csv", "sub/c.csv"):
        (data / name).write_bytes(b"1" * 3000)
    (data / "l.csv").symlink_to("a.csv")
    (data / "named.csv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"1")
    one = station([*TREE, {"file": "named.csv"}])
    rng = random.Random(seed)
    failing = True
    me = threading.get_ident()
    at_work = {str(tmp_path / "bak"), str(data / ".pysubtask")}

    def wrapped(real: Callable[..., object]) -> Callable[..., object]:
        def call(target: object, *args: object, **more: object) -> object:
            ours = isinstance(target, str) and target.startswith(tuple(at_work))
            if failing and threading.get_ident() == me and not ours and rng.random() < 0.03:
                raise OSError(rng.choice(KINDS), "injected", target if isinstance(target, str) else None)
            return real(target, *args, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "stat", "lstat", "readlink", "scandir", "fstat", "preadv", "pread", "lseek", "utime"):
            patch.setattr(os, name, wrapped(getattr(os, name)))
        for turn in range(150):
            if turn % 10 == 0:
                with open(data / "a.csv", "ab") as file:
                    file.write(b"more")
                with open(data / "named.csv.notify", "wb"):
                    pass
            one.tick()
        failing = False
    wait_until(lambda: one.tick() is None and {"a.csv", "b.csv", "c.csv", "named.csv"} <= one.queued(), what="all are taken")
