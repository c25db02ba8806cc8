"""Growing files, versions made from old ones, and uploads that go on, against a real sshd that is killed or frozen."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import NotAsLeft, TransportLost
from pysubtask.testing import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.base import Append, Copy, Job, RemoteStat, Sent
from pysubtask.transports.sftp import SFTPTransport
from tests.support.helpers import wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

LIMIT = 60
TIME = 1_600_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


class DeliveryContext:
    """A folder on the server, the sources, and transports to it."""

    def __init__(self, server: OpenSSHServer, place: Path) -> None:
        self.server, self.place = server, place
        self.folder = place / "remote"
        self.folder.mkdir()
        self.count = 0

    def transport(self, **settings: Any) -> SFTPTransport:
        return SFTPTransport(self.server.settings(HostPath=str(self.folder), **settings), str(self.place / "work"))

    def left(self, data: bytes) -> RemoteStat:
        """``data`` stands under the name, as an upload of ours would have left it."""
        (self.folder / "a").write_bytes(data)
        os.utime(self.folder / "a", (TIME, TIME))
        return RemoteStat(len(data), TIME)

    def job(self, data: bytes, **changes: Any) -> Job:
        self.count += 1
        source = self.place / f"source{self.count}"
        source.write_bytes(data)
        return Job(str(source), len(data), (TIME + self.count) * 10**9, "a", f".a.{self.count}.tmp", **changes)

    def read(self) -> bytes:
        return (self.folder / "a").read_bytes()

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture
def context(server: OpenSSHServer, tmp_path: Path) -> DeliveryContext:
    return DeliveryContext(server, tmp_path)


async def put(transport: SFTPTransport, job: Job, progress: Callable[[int], None] = lambda done: None) -> Sent:
    return await transport.upload(job, progress)


@pytest.mark.slow
async def test_what_a_change_costs_with_the_login(context: DeliveryContext, server: OpenSSHServer):
    """64 KB at the end of 20 MB, in place and by copying; 1 MB at the front; bytes of both directions outside of ssh."""
    old, tail, front = os.urandom(20_000_000), os.urandom(64 * 1024), os.urandom(1024 * 1024)
    costs: dict[str, float] = {}

    for kind, data, new, how in (
        ("in place", old + tail, len(tail), {"append": Append(len(old), len(old))}),
        ("copied", old + tail, len(tail), {"copies": (Copy(0, len(old), 0),)}),
        ("at the front", front + old, len(front), {"copies": (Copy(len(front), len(old), 0),)}),
    ):
        left = context.left(old)
        with Relay("127.0.0.1", server.port) as relay:
            transport = context.transport(HostPort=relay.port, HostKey=server.host_key)
            await transport.connect()
            sent = await put(transport, context.job(data, replaces=left, **how))
            await transport.close()
            costs[kind] = (relay.up + relay.down) / new
        assert sent.bytes_sent == new
        assert context.read() == data
        assert context.names() == ["a"]
    assert costs["in place"] < 1.25 and costs["copied"] < 1.25 and costs["at the front"] < 1.1, costs


@pytest.mark.slow
async def test_a_server_killed_while_a_file_grows(context: DeliveryContext, server: OpenSSHServer):
    data = b"".join(b"%d;" % i * random.randrange(1, 30) + b"\n" for i in range(60_000))
    start = data.index(b"\n", 500_000) + 1
    sizes: set[int] = set()
    wrong: list[int] = []
    enough = threading.Event()

    def poll() -> None:
        while not enough.is_set():
            seen = context.read()
            sizes.add(len(seen))
            if len(seen) < start or not data.startswith(seen):
                wrong.append(len(seen))

    left = context.left(data[:start])
    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for _ in range(3):
            has = len(context.read())
            at = has + random.randrange((len(data) - has) // 3)
            with Relay("127.0.0.1", server.port) as relay:
                transport = context.transport(HostPort=relay.port, HostKey=server.host_key)
                await transport.connect()
                # A few megabytes a second: the server dies in the middle and not when all has arrived.
                relay.throttle(8_000_000, "up")
                killed: list[bool] = []

                def kill(done: int, at: int = at, killed: list[bool] = killed) -> None:
                    if done >= at and not killed:
                        server.kill()
                        killed.append(True)

                how = Append(left.size, len(data))
                try:
                    await put(transport, context.job(data, replaces=left, append=how, whole_records=True), kill)
                except TransportLost:
                    assert killed
                await transport.close()
            if killed:
                server.start()
            assert data.startswith(context.read())
        transport = context.transport()
        await transport.connect()
        await put(transport, context.job(data, replaces=left, append=Append(left.size, len(data)), whole_records=True))
        await transport.close()
    finally:
        enough.set()
        reader.join()
    assert context.read() == data
    assert not wrong
    # A file system shows a write page by page to a reader in that very microsecond; else there are whole lines.
    assert not [size for size in sizes if data[size - 1 : size] != b"\n" and size % mmap.PAGESIZE]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["in the middle", "at the rename"])
async def test_a_thawed_server_does_not_harm_an_upload_that_went_on(context: DeliveryContext, server: OpenSSHServer, moment: str):
    data = os.urandom(6_000_000)
    frozen: list[int] = []
    noted: list[str] = []

    try:
        context.left(b"old")
        first = context.transport(StallSecs=1)
        await first.connect()

        def freeze(done: int = len(data)) -> None:
            if not frozen and done >= 1_500_000:  # some more is under way, but not its end
                frozen.extend(server.freeze())

        job = context.job(data, note=noted.append)
        with pytest.raises(TransportLost, match="no answer"):
            if moment == "at the rename":
                await put(first, job._replace(confirm=freeze))
            else:
                await put(first, job, freeze)
        await first.close()
        assert noted and frozen
        second = context.transport()
        await second.connect()
        sent = await put(second, job._replace(resume=noted[-1]))
        assert sent.bytes_sent == 0 if moment == "at the rename" else sent.bytes_sent <= 4_500_000
        server.thaw(frozen)
        await asyncio.to_thread(wait_until, lambda: not set(frozen) & set(server.sftp_pids()), 30, "the end of the thawed server")
        assert context.read() == data
        assert context.names() == ["a"]
        await second.close()
    finally:
        server.thaw(frozen)


async def test_a_log_that_is_rotated_while_it_is_appended_to(context: DeliveryContext):
    """The bytes went to the file that was moved away, so they are not delivered."""
    old, new = os.urandom(1000), os.urandom(5_000_000)

    left = context.left(old)
    transport = context.transport()
    await transport.connect()
    path = context.folder / "a"
    job = context.job(old + new, replaces=left, append=Append(1000, 1000), confirm=lambda: path.rename(context.folder / "a.1"))
    with pytest.raises(NotAsLeft):
        await put(transport, job)
    path.write_bytes(b"somebody else's")
    await put(transport, context.job(old + new))
    assert context.read() == old + new
    await transport.close()
