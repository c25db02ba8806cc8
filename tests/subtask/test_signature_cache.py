"""A signature that is made while its file is being written."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from pysubtask.subtask.delta import signature
from pysubtask.subtask.delta.signature_cache import Growing, SignatureCache
from pysubtask.subtask.snapshot.snapshotter import Snapshotter

AVERAGE = 8192


def signed(path: Path) -> signature.Signature:
    return signature.sign(str(path), path.stat().st_size, lambda: False, AVERAGE)


def test_it_is_that_of_the_whole_file_however_it_is_written(tmp_path: Path):
    content = random.Random(3).randbytes(700_000)
    path, whole = tmp_path / "growing", tmp_path / "whole"
    whole.write_bytes(content)
    growing = Growing(len(content), AVERAGE)
    with open(path, "wb", buffering=0) as file:
        file.truncate(len(content))
        with growing.signing(str(path)):
            for at in range(0, len(content), 99_999):
                file.write(content[at : at + 99_999])
                growing.reached(min(len(content), at + 99_999))
    assert growing.outcome() == signed(whole)


def test_a_write_that_fails_ends_it(tmp_path: Path):
    path = tmp_path / "growing"
    path.write_bytes(bytes(100_000))
    growing, threads = Growing(100_000, AVERAGE), threading.active_count()
    with pytest.raises(OSError, match="full"), growing.signing(str(path)):
        growing.reached(50_000)
        raise OSError("the disk is full")
    assert growing.outcome() is None
    assert threading.active_count() == threads


def test_one_that_cannot_be_read_is_none(tmp_path: Path):
    growing = Growing(10, AVERAGE)
    with growing.signing(str(tmp_path / "missing")):
        growing.reached(10)
    assert growing.outcome() is None


def test_a_snapshot_has_the_signature_of_what_it_holds(tmp_path: Path):
    source = tmp_path / "data"
    with open(source, "wb") as file:
        file.write(random.Random(4).randbytes(3_000_000))
        file.seek(9_000_000)  # a hole
        file.write(os.urandom(100_000))
        file.truncate(20_000_000)  # and another
    snapshotter = Snapshotter(str(tmp_path / "bak"), "tag", lambda: 0)
    copied = snapshotter.copy(str(source), average=AVERAGE)
    snapshotter.seal([copied])
    assert copied.signature == signed(Path(copied.path)) == signed(source)
    assert snapshotter.copy(str(source)).signature is None
    assert Snapshotter(None, "tag", lambda: 0).copy(str(source), average=AVERAGE).signature is None


def test_the_last_few_are_kept(tmp_path: Path):
    path = tmp_path / "data"
    path.write_bytes(bytes(50_000))
    cache, built = SignatureCache(), signed(path)
    for number in range(10):
        cache.keep(str(number), built)
    assert cache.find("9", 50_000) == built
    assert cache.find("9", 49_999) is None
    assert cache.find("0", 50_000) is None
