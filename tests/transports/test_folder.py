"""The folder transport."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import FileRefused, TransportLost
from pysubtask.transports.base import Job
from pysubtask.transports.folder.transport import FolderTransport
from tests.support.helpers import wait_until
from tests.transports.contract import Site, TransportContract


class TestContract(TransportContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        folder, work = tmp_path / "remote", tmp_path / "work"
        folder.mkdir()
        work.mkdir()
        return Site(FolderTransport, {"HostPath": str(folder), "StallSecs": 20, "Concurrency": 8}, str(work), str(folder))


def job(tmp_path: Path, data: bytes = b"new", **changes: Any) -> Job:
    source = tmp_path / "source"
    source.write_bytes(data)
    return Job(str(source), len(data), 10**18, "a", ".a.1.tmp")._replace(**changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def connected(folder: Path, **settings: Any) -> AsyncIterator[FolderTransport]:
    transport = FolderTransport({"HostPath": str(folder), **settings}, "")
    await transport.connect()
    try:
        async with asyncio.timeout(30):
            yield transport
    finally:
        await transport.close()


def nothing_left_hanging() -> None:
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "folder-transport"], what="the threads' end")


def test_a_folder_that_is_missing_is_a_lost_connection(tmp_path: Path):
    transport = FolderTransport({"HostPath": str(tmp_path / "usb")}, "")
    with pytest.raises(TransportLost, match="not mounted"):
        asyncio.run(transport.connect())
    (tmp_path / "usb").mkdir()
    asyncio.run(transport.connect())


async def test_a_folder_that_goes_away_is_a_lost_connection(folder: Path, tmp_path: Path):
    async with connected(folder) as transport:
        os.rmdir(folder)
        with pytest.raises(TransportLost, match="not mounted"):
            await transport.upload(job(tmp_path), print)
    assert not folder.exists()


async def test_another_file_system_at_the_path_is_a_lost_connection(folder: Path, tmp_path: Path):
    other = "/proc"
    if not os.path.isdir(other):
        pytest.skip("no second file system to put in place of the first (Linux has /proc)")

    async with connected(folder) as transport:
        os.rmdir(folder)
        os.symlink(other, folder)
        with pytest.raises(TransportLost, match="another file system"):
            await transport.upload(job(tmp_path, name="pysubtask-test-never-there"), print)
    folder.unlink()


async def test_a_hanging_call_ends_by_the_limit_and_publishes_nothing(folder: Path, tmp_path: Path):
    """A named pipe for a source stands in for a mount that does not answer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (folder / "a").write_bytes(b"old")

    async with connected(folder, StallSecs=0.5) as transport:
        started = time.monotonic()
        with pytest.raises(TransportLost, match=r"for 0\.5 s"):
            await transport.upload(job(tmp_path, source=str(pipe)), print)
        assert 0.5 <= time.monotonic() - started < 15
        # The transport is of use while the first call still hangs.
        await transport.upload(job(tmp_path, temp=".a.2.tmp", stale=(".a.1.tmp",)), print)
    with open(pipe, "wb") as waking:
        waking.write(b"xxx")
    nothing_left_hanging()
    assert sorted(os.listdir(folder)) == ["a"]
    assert (folder / "a").read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace"])
async def test_a_system_call_that_hangs_then_wakes_late(folder: Path, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch):
    wake = threading.Event()
    real, hanging = getattr(os, call), []

    def slow(*args: Any) -> None:
        if not hanging:
            hanging.append(True)
            wake.wait(30)
        real(*args)

    monkeypatch.setattr(os, call, slow)
    (folder / "a").write_bytes(b"old")

    async with connected(folder, StallSecs=0.5) as transport:
        with pytest.raises(TransportLost):
            await transport.upload(job(tmp_path, b"late"), print)
        assert (folder / "a").read_bytes() == b"old"
        await transport.upload(job(tmp_path, b"newer", temp=".a.2.tmp", stale=(".a.1.tmp",)), print)
        wake.set()
        await asyncio.to_thread(nothing_left_hanging)
        assert sorted(os.listdir(folder)) == ["a"]
        assert (folder / "a").read_bytes() == b"newer"
    assert hanging


async def test_connect_does_not_pile_up_threads_in_a_dead_mount(folder: Path, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async with connected(folder, StallSecs=0.3) as transport:
        jobs = [job(tmp_path, source=str(pipe), temp=f".a.{i}.tmp") for i in range(40)]
        ends = await asyncio.gather(*(transport.upload(one, print) for one in jobs), return_exceptions=True)
        assert {type(end) for end in ends} == {TransportLost}
        with pytest.raises(TransportLost, match="40 earlier calls still hang"):
            await transport.connect()
        await asyncio.to_thread(pipe.write_bytes, b"")
        await asyncio.to_thread(nothing_left_hanging)
        await transport.connect()
        await transport.upload(job(tmp_path), print)
    assert os.listdir(folder) == ["a"]


@pytest.mark.slow
async def test_a_slow_source_that_moves_is_not_given_up(folder: Path, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with open(pipe, "wb", buffering=0) as file:
            for _ in range(8):
                time.sleep(0.2)
                file.write(b"x" * 1000)

    feeder = threading.Thread(target=feed)
    feeder.start()

    async with connected(folder, StallSecs=1) as transport:
        await transport.upload(job(tmp_path, source=str(pipe), size=8000), print)
    feeder.join()
    assert (folder / "a").read_bytes() == b"x" * 8000


async def test_a_cancelled_upload_leaves_the_old_version_and_no_temp(folder: Path, tmp_path: Path):
    (folder / "a").write_bytes(b"old")

    async with connected(folder) as transport:
        moving = asyncio.Event()
        task = asyncio.ensure_future(transport.upload(job(tmp_path, b"x" * 50_000_000), lambda done: moving.set()))
        await moving.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(nothing_left_hanging)
    assert os.listdir(folder) == ["a"]
    assert (folder / "a").read_bytes() == b"old"


FULL = """
import asyncio, os, resource, sys
from pysubtask.common.errors import FileRefused
from pysubtask.transports.base import Job
from pysubtask.transports.folder.transport import FolderTransport

async def main(folder, source):
    transport = FolderTransport({"HostPath": folder}, "")
    await transport.connect()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        await transport.upload(Job(source, 3_000_000, 10**18, "a", ".a.tmp"), lambda done: None)
    except FileRefused as exc:
        print("refused:", exc.__cause__.errno)
    await transport.upload(Job(source, 900_000, 10**18, "b", ".b.tmp"), lambda done: None)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_full_disk_refuses_the_file_and_keeps_the_old_version(folder: Path, tmp_path: Path):
    (folder / "a").write_bytes(b"old")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    done = subprocess.run([sys.executable, "-c", FULL, str(folder), str(source)], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"refused: {errno.EFBIG}\n", done.stderr
    assert sorted(os.listdir(folder)) == ["a", "b"]
    assert (folder / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (errno.EIO, TransportLost),
        (errno.ESTALE, TransportLost),
        (errno.ENOSPC, FileRefused),
        (errno.EDQUOT, FileRefused),
        (errno.EROFS, FileRefused),
    ],
)
async def test_which_errors_condemn_the_mount(
    folder: Path, tmp_path: Path, number: int, verdict: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    def broken(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    async with connected(folder) as transport:
        with monkeypatch.context() as patch, pytest.raises(verdict) as caught:
            patch.setattr(os, "fsync", broken)
            await transport.upload(job(tmp_path), print)
        assert isinstance(caught.value.__cause__, OSError)
        await transport.upload(job(tmp_path), print)
    assert os.listdir(folder) == ["a"]


async def test_a_folder_that_cannot_be_synced_is_no_obstacle(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some network file systems answer EINVAL to an fsync of a folder."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)

    async with connected(folder) as transport:
        await transport.upload(job(tmp_path, name="x/y/a", temp="x/y/.a.tmp"), print)
    assert (folder / "x/y/a").read_bytes() == b"new"
