"""Snapshots of the ends of files that only grow."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.subtask.snapshot.append_tracker import JOIN_BYTES, AppendTracker, base_of
from pysubtask.subtask.snapshot.copied import Copied
from pysubtask.subtask.snapshot.prefix_hashes import Prefixes
from pysubtask.subtask.snapshot.snapshotter import Snapshotter


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bench:
    """A data file, and what the intake does with it; ``delivered`` is the size at the server."""

    def __init__(self, place: Path) -> None:
        self.path = place / "data"
        self.snaps = Snapshotter(str(place / "bak"), "t", lambda: 0)
        self.append_tracker = AppendTracker()
        self.delivered = 0
        self.sizes: set[int] = set()

    def take(self) -> Copied:
        path = str(self.path)
        copied = self.snaps.copy(path, None, self.sizes, self.append_tracker.start(path, self.delivered))
        self.append_tracker.keep(path, str(copied.temp), copied.inode, copied.size, copied.base, copied.sha, self.sizes)
        data = self.path.read_bytes()
        assert copied.digest == sha(data)
        assert Path(str(copied.temp)).read_bytes() == data[copied.base :]
        assert all(found == sha(data[:size]) for size, found in copied.prefixes.items())
        self.sizes.add(copied.size)
        return copied

    def deliver(self, copied: Copied) -> None:
        self.delivered = copied.size
        self.sizes = {size for size in self.sizes if size >= copied.size}

    def add(self, data: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(data)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_only_the_end_is_copied_and_the_digest_is_of_the_whole(bench: Bench):
    bench.add(os.urandom(300_000))
    first = bench.take()
    assert first.base == 0
    bench.deliver(first)
    for _ in range(3):
        bench.add(os.urandom(1000))
        copied = bench.take()
        assert copied.base == base_of(bench.delivered) == bench.delivered - JOIN_BYTES
        assert bench.delivered in copied.prefixes
        bench.deliver(copied)


def test_the_tail_and_the_state_before_it_give_the_whole_digest(bench: Bench):
    """What is sent of a growing file can be compared with what was copied, without a read of what was sent before."""
    prefixes = Prefixes()
    bench.add(os.urandom(300_000))
    bench.deliver(bench.take())
    for _ in range(3):
        bench.add(os.urandom(1000))
        copied = bench.take()
        prefixes.keep(copied.digest, copied.sha.states)
        found = prefixes.before(copied.digest, bench.delivered, copied.base)
        assert found is not None and found[0] == bench.delivered
        whole = found[1].copy()
        whole.update(Path(str(copied.temp)).read_bytes()[found[0] - copied.base :])
        assert whole.hexdigest() == copied.digest
        assert prefixes.before(copied.digest, copied.base - 1, copied.base) is None
        bench.deliver(copied)
    assert prefixes.before("another", 10, 0) is None


def test_what_was_not_delivered_is_copied_again(bench: Bench):
    bench.add(os.urandom(300_000))
    first = bench.take()
    bench.deliver(first)
    bench.add(os.urandom(1000))
    lost = bench.take()
    bench.add(os.urandom(1000))
    both = bench.take()
    assert both.base == lost.base == base_of(first.size)
    assert set(both.prefixes) >= {first.size, lost.size}
    bench.deliver(lost)
    bench.add(b"x")
    assert bench.take().base == base_of(lost.size), "that one arrived after all"


@pytest.mark.parametrize("change", ["shorter", "replaced", "beginning", "join", "other inode"])
def test_a_file_that_did_not_only_grow_is_taken_whole(bench: Bench, change: str):
    bench.add(os.urandom(300_000))
    bench.deliver(bench.take())
    data = bench.path.read_bytes()
    if change == "shorter":
        os.truncate(bench.path, 200_000)
    elif change == "replaced":
        bench.path.write_bytes(os.urandom(400_000))
    elif change == "other inode":
        (bench.path.parent / "new").write_bytes(data + b"x")
        os.replace(bench.path.parent / "new", bench.path)
    else:
        with open(bench.path, "r+b") as file:
            file.seek(10 if change == "beginning" else 299_000)
            file.write(b"another")
        bench.add(b"x")
    assert bench.take().base == 0


def test_a_restart_knows_nothing_and_learns_at_the_first_copy(bench: Bench):
    bench.add(os.urandom(300_000))
    bench.deliver(bench.take())
    bench.sizes.add(bench.delivered)
    bench.append_tracker = AppendTracker()
    bench.add(b"more")
    assert bench.take().base == 0
    bench.add(b"and more")
    assert bench.take().base == base_of(300_000), "of what is still the server's end"


def test_a_second_check_reads_little(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.add(os.urandom(10_000_000))
    copied = bench.take()
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda handle, count, offset: read.append(count) or pread(handle, count, offset))
    assert bench.append_tracker.same(str(bench.path), copied.size) is True
    assert sum(read) < 100_000
    bench.add(b"x")
    assert bench.append_tracker.same(str(bench.path), copied.size) is False
    assert bench.append_tracker.same("/elsewhere", 1) is None


@settings(max_examples=30)
@given(st.data())
def test_any_growth_and_any_order_of_deliveries(tmp_path_factory: pytest.TempPathFactory, data: Any):
    one = Bench(tmp_path_factory.mktemp("tails"))
    one.add(os.urandom(data.draw(st.integers(0, 200_000))))
    taken = [one.take()]
    for _ in range(6):
        step = data.draw(st.sampled_from(["grow", "take", "deliver", "rotate", "forget"]))
        if step == "grow":
            one.add(os.urandom(data.draw(st.integers(0, 90_000))))
        elif step == "take":
            taken.append(one.take())
        elif step == "deliver":
            one.deliver(taken[-1])
        elif step == "rotate":
            one.path.unlink()
            one.add(os.urandom(data.draw(st.integers(0, 200_000))))
        else:
            one.append_tracker = AppendTracker()
    one.take()


def test_whether_it_grew_is_seen_without_reading_it_all(bench: Bench):
    bench.path.write_bytes(os.urandom(200_000))
    path = str(bench.path)
    assert not bench.append_tracker.grew(path, 200_000), "nothing is known"
    bench.deliver(bench.take())
    assert not bench.append_tracker.grew(path, 200_000), "it has not"
    bench.add(b"more")
    assert bench.append_tracker.grew(path, 200_000)
    with open(bench.path, "r+b") as file:
        file.write(b"other")
    assert not bench.append_tracker.grew(path, 200_000), "it begins with something else"
