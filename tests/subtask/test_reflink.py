"""Clones of whole files. The file systems that have them are rare where tests run, so the system call is one that copies."""

import errno
import os

import pytest

from pysubtask.subtask.platform import reflink
from pysubtask.subtask.snapshot.snapshotter import Snapshotter

DATA = os.urandom(300_000)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def snaps(tmp_path):
    return Snapshotter(str(tmp_path / "bak"), "ftp", lambda: 0)


@pytest.fixture
def clones(monkeypatch):
    """The calls of ioctl(2); each makes a clone, as FICLONE does, of the whole file at that moment."""
    calls = []

    def ioctl(target, request, source):
        calls.append(request)
        os.pwrite(target, os.pread(source, os.fstat(source).st_size, 0), 0)

    monkeypatch.setattr(reflink.fcntl, "ioctl", ioctl)
    return calls


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_snapshot_is_a_clone_where_there_are_clones(source, snaps, clones, monkeypatch):
    copied_by_hand, real = [], os.pwrite
    copied = snaps.copy(str(source))
    monkeypatch.setattr(os, "pwrite", lambda *args: copied_by_hand.append(args) or real(*args))
    snaps.seal([copied])
    assert len(clones) == 1 and copied_by_hand == []
    assert read(copied.path) == DATA
    assert copied.size == len(DATA)


def test_what_the_file_got_after_it_was_opened_is_not_in_it(source, snaps, monkeypatch):
    def ioctl(target, request, handle):
        with open(source, "ab") as file:
            file.write(b"later")
        os.pwrite(target, os.pread(handle, os.fstat(handle).st_size, 0), 0)

    monkeypatch.setattr(reflink.fcntl, "ioctl", ioctl)
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    assert read(copied.path) == DATA


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_without_clones_is_asked_once(source, snaps, monkeypatch, code):
    calls = []

    def ioctl(*args):
        calls.append(args)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(reflink.fcntl, "ioctl", ioctl)
    for _ in range(3):
        copied = snaps.copy(str(source))
        snaps.seal([copied])
        assert read(copied.path) == DATA
    assert len(calls) == 1


def test_a_small_file_is_copied(source, snaps, clones):
    source.write_bytes(b"small")
    copied = snaps.copy(str(source))
    snaps.seal([copied])
    assert clones == [] and read(copied.path) == b"small"
