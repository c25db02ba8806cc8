"""A version made from parts of the old one: seen at the wire, and on a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import FileRefused, NotAsLeft, TransportLost
from pysubtask.testing.servers.sshd import missing, openssh_server
from pysubtask.transports.base import Append, Copy, Job, RemoteStat, Sent
from pysubtask.transports.sftp import SFTPTransport, packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.sftp.patch import are_sound, in_pieces
from pysubtask.transports.sftp.publish import Publisher
from tests.support.sftp_peer import Peer, Request, playing

TIME = 1_600_000_000
LEFT = RemoteStat(500, TIME - 100)
DATA = os.urandom(1000)
LAST = ("fsetstat", "fsync", "fstat")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Bytes 100 to 300 and 400 to 700 are to be copied."""
    source = tmp_path / "source"
    source.write_bytes(DATA)
    return Job(str(source), len(DATA), TIME * 10**9, "a", ".a.tmp", replaces=LEFT, copies=(Copy(100, 200, 0), Copy(400, 300, 200)))


@contextlib.asynccontextmanager
async def played() -> AsyncIterator[tuple[Client, Peer, Any]]:
    """A client, its peer, and ``start(job)``, which begins an upload."""
    async with asyncio.timeout(60), playing() as (client, peer):
        publisher = Publisher(client, "", None)
        peer.absent = ("a",)

        def start(job: Job) -> asyncio.Task[Sent]:
            return asyncio.create_task(publisher.upload(job, lambda done: None))

        yield client, peer, start


async def begin(peer: Peer, stat: tuple[int, int] = (LEFT.size, TIME - 100)) -> None:
    """Both files are open, as h1 and as old, and the old one shows this."""
    making, opening = await peer.expect("open", "open")
    assert (making.path, opening.path) == (".a.tmp", "a")
    assert struct.unpack_from(">II", opening.body, 5) == (packets.READ_FLAG, 0)
    await peer.handle(making)
    await peer.handle(opening, b"old")
    await peer.attrs((await peer.expect("fstat"))[0], *stat)


async def test_four_round_trips_and_the_parts_in_their_order(job: Job):
    async with played() as (_, peer, start):
        order: list[str] = []
        running = start(job._replace(confirm=lambda: order.append("confirmed")))
        await begin(peer)
        asked = await peer.expect(
            "copy-data", "fstat", "copy-data", "fstat", "write", "write", "write", "fstat", "close", "fsetstat", "fsync", "fstat"
        )
        expected = packets.string(b"old") + struct.pack(">QQ", 0, 200) + packets.string(b"h1") + struct.pack(">Q", 100)
        assert asked[0].body == expected
        assert [struct.unpack_from(">QI", one.body, 6) for one in asked[4:7]] == [(0, 100), (300, 100), (700, 300)]
        assert asked[7].path == asked[8].path == "old"
        for one, size in zip(asked, (None, 300, None, 700, None, None, None, 500, None, None, None, 1000), strict=True):
            assert not order
            if size is None:
                await peer.status(one)
            else:
                await peer.attrs(one, size, TIME - 100 if size == 500 else TIME)
        for one in await peer.expect("close", "posix-rename"):
            await peer.status(one)
        sent = await running
        assert (sent.remote[:2], sent.bytes_sent, order) == ((1000, TIME), 500, ["confirmed"])


@pytest.mark.parametrize(
    ("copied", "size", "later", "error"),
    [
        (packets.OK, 650, LEFT.size, NotAsLeft),
        (packets.OK, 650, 450, NotAsLeft),
        (packets.FAILURE, 650, LEFT.size, NotAsLeft),
        (packets.FAILURE, 650, 499, NotAsLeft),
        (packets.EOF, 650, LEFT.size, NotAsLeft),
        (packets.OP_UNSUPPORTED, 300, LEFT.size, NotAsLeft),
        (packets.NO_CONNECTION, 300, LEFT.size, NotAsLeft),
        (packets.OK, 700, 501, NotAsLeft),
        (packets.OK, 700, None, NotAsLeft),
    ],
)
async def test_a_copy_that_is_not_whole(job: Job, copied: int, size: int, later: int | None, error: type[Exception]):
    """What the second copy is answered with, the size then, and what the old file shows afterwards (None: another time)."""

    async with played() as (_, peer, start):
        confirmed: list[bool] = []
        running = start(job._replace(confirm=lambda: confirmed.append(True)))
        await begin(peer)
        seen = {"copy-data": 0, "h1": 0}

        async def answer(one: Request) -> None:
            if one.what == "copy-data":
                seen["copy-data"] += 1
                await peer.status(one, copied if seen["copy-data"] == 2 else packets.OK)
            elif one.what != "fstat":
                await peer.status(one)
            elif one.path == "old":
                await peer.attrs(one, LEFT.size if later is None else later, TIME - 100 + (later is None))
            else:
                seen["h1"] += 1
                await peer.attrs(one, {1: 300, 2: size}.get(seen["h1"], 1000), TIME)

        async def serve() -> None:
            while True:
                await answer(await peer.next())

        serving = asyncio.ensure_future(serve())
        with pytest.raises(error):
            await running
        serving.cancel()
        assert not confirmed
        assert "posix-rename" not in peer.seen
        assert ("remove" in peer.seen) == (error is not TransportLost)


async def test_long_copies_go_in_pieces_a_few_at_a_time(job: Job, tmp_path: Path):
    long = 100 * 1024 * 1024
    with open(tmp_path / "source", "wb") as file:
        file.truncate(long)
    job = job._replace(size=long, copies=(Copy(0, long, 0),), replaces=RemoteStat(long, 1))

    async with played() as (_, peer, start):
        running = start(job)
        await begin(peer, (long, 1))
        asked = await peer.expect(*["copy-data", "fstat"] * 4)
        await peer.nothing(0.1)
        await peer.status(asked[0])
        await peer.attrs(asked[1], 16 * 1024 * 1024)
        await peer.expect("copy-data", "fstat")
        running.cancel()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60), st.integers(-1, 50)), max_size=4), st.integers(0, 120))
def test_only_copies_that_fit_are_asked_for(parts: list[tuple[int, int, int]], size: int):
    copies, at = [], 0
    for gap, length, origin in parts:
        copies.append(Copy(at + gap, length, origin))
        at += gap + length
    good = at <= size if copies else True
    good = good and all(one.size > 0 and 0 <= one.origin <= 60 - one.size for one in copies)
    assert are_sound(tuple(copies), size, 60) == good


def test_pieces_cover_what_is_to_be_copied():
    size = 40 * 1024 * 1024 + 1
    pieces = list(in_pieces((Copy(5, size, 9),)))
    assert sum(piece.size for piece in pieces) == size and len(pieces) == 3
    assert all(piece.origin - piece.at == 4 for piece in pieces)
    assert [piece.at for piece in pieces][1:] == [piece.at + piece.size for piece in pieces][:-1]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
async def test_a_full_disk_never_costs_the_good_copy(tmp_path: Path):
    """OpenSSH's server calls a copy good whose last 64 KB did not fit; an append stops at a prefix."""
    folder = tmp_path / "remote"
    folder.mkdir()
    old, more = os.urandom(400_000), os.urandom(300_000)

    async def case(transport: SFTPTransport) -> None:
        async def put(data: bytes, **how: Any) -> Sent:
            (tmp_path / "source").write_bytes(data)
            job = Job(str(tmp_path / "source"), len(data), TIME * 10**9, "a", ".a.tmp", **how)
            return await transport.upload(job, lambda done: None)

        left = (await put(old)).remote
        assert transport.traits.copies
        for copies in ((Copy(300_000, 250_000, 0), Copy(600_000, 1, 0)), (Copy(300_000, 390_000, 0),), (Copy(0, 400_000, 0),)):
            with pytest.raises(NotAsLeft):
                await put(more + old, replaces=left, copies=copies)
            assert os.listdir(folder) == ["a"]
            assert (folder / "a").read_bytes() == old
        with pytest.raises(NotAsLeft, match=r"server said: Failure$"):
            await put(old + more, replaces=left, append=Append(400_000, 400_000))
        with pytest.raises(FileRefused, match=r"server said: Failure$"):
            await put(old + more)
        found = (folder / "a").read_bytes()
        assert len(found) >= 400_000 and (old + more).startswith(found)

    with openssh_server(tmp_path / "sshd", file_limit=500_000) as server:
        transport = SFTPTransport(server.settings(HostPath=str(folder)), str(tmp_path / "work"))

        async with asyncio.timeout(60):
            await transport.connect()
            try:
                await case(transport)
            finally:
                await transport.close()
