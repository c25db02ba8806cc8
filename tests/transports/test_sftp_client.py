"""The pipelined client against a peer played by hand: order, fairness, standstill, rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import SourceChanged, TransportLost
from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.sftp.packets import Attrs, Handle, Status
from pysubtask.transports.sftp.transfer import WriteRefused
from tests.support.sftp_peer import Peer, playing, strangers


@contextlib.asynccontextmanager
async def played(**how: Any) -> AsyncIterator[tuple[Client, Peer]]:
    async with asyncio.timeout(60), playing(**how) as (client, peer):
        yield client, peer


def nothing(*anything: Any) -> None:
    return None


@pytest.fixture
def source(tmp_path: Path) -> Any:
    """Opens a source of so many bytes and returns its descriptor."""
    handles: list[int] = []

    def make(size: int) -> int:
        path = tmp_path / f"source{len(handles)}"
        path.write_bytes(os.urandom(size))
        handles.append(os.open(path, os.O_RDONLY))
        return handles[-1]

    yield make
    for handle in handles:
        os.close(handle)


async def test_answers_are_matched_by_their_number_in_any_order():
    async with played() as (client, peer):
        asked = [client.request(packets.STAT, packets.string(str(i).encode())) for i in range(100)]
        got = await peer.expect(*["stat"] * 100)
        assert [one.path for one in got] == [str(i) for i in range(100)]
        for one in got[::-1]:
            await peer.attrs(one, int(one.path))
        answers = await asyncio.gather(*asked)
        assert [one.size for one in answers if isinstance(one, Attrs)] == list(range(100))


@pytest.mark.parametrize(
    "raw",
    [
        b"Welcome to this machine!\r\n",
        struct.pack(">I", 0),
        struct.pack(">I", 0xFFFFFFFF),
        packets.string(b"\x65"),
        packets.string(struct.pack(">BII", packets.STATUS, 4711, 0)),
        packets.string(struct.pack(">BI", packets.NAME, 1) + packets.string(b"x")),
        packets.string(struct.pack(">BII", packets.STATUS, 1, 0) + struct.pack(">I", 1000)),
    ],
)
async def test_rubbish_is_a_lost_connection(raw: bytes):
    async with played() as (client, peer):
        asked = client.request(packets.STAT, packets.string(b"a"))
        await peer.expect("stat")
        await peer.send(raw)
        with pytest.raises(TransportLost):
            await asked
        with pytest.raises(TransportLost):
            await client.request(packets.STAT, packets.string(b"b"))


async def test_a_login_script_that_prints_is_named():
    async with asyncio.timeout(30), strangers() as (client, peer):
        await peer.send(b"Last login: yesterday\n")
        with pytest.raises(TransportLost, match=r"login script.*Last login: yesterday"):
            await client.start()


async def test_a_server_of_an_older_kind():
    async with asyncio.timeout(30), strangers() as (client, peer):
        await peer.send(packets.string(struct.pack(">BI", packets.VERSION, 2)))
        with pytest.raises(TransportLost, match="only version 2"):
            await client.start()


@given(st.binary(max_size=3000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_server_says_the_client_comes_to_an_end(raw: bytes):
    async def whole() -> None:
        async with asyncio.timeout(30), playing() as (client, peer):
            asked = [client.request(packets.STAT, packets.string(b"a")) for _ in range(5)]
            await peer.expect(*["stat"] * 5)
            await peer.send(raw)
            peer.hang_up()
            for end in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(end, (TransportLost, Status, Attrs, Handle, packets.Extended))
            assert client.lost is not None

    asyncio.run(whole())


class TestStandstill:
    async def test_no_answer_ends_every_wait(self, source: Any):
        async with played(stall=0.3) as (client, _):
            started = time.monotonic()
            moving = client.transfer(b"h", source(10_000), 10_000, nothing, nothing)
            asked = client.request(packets.STAT, packets.string(b"a"))
            for one in (moving.done, asked):
                with pytest.raises(TransportLost, match=r"no answer from the server for 0\.3 s"):
                    await one
            assert 0.3 <= time.monotonic() - started < 20

    async def test_a_full_pipe_is_watched_too(self, source: Any):
        """The peer reads nothing at all, so most of the bytes never leave."""

        async with played(stall=0.3) as (client, _):
            client.window.limit = client.window.chunk = 8_000_000
            moving = client.transfer(b"h", source(8_000_000), 8_000_000, nothing, nothing)
            with pytest.raises(TransportLost, match="no answer"):
                await moving.done

    @pytest.mark.slow
    async def test_silence_is_fine_while_nothing_is_asked(self):
        async with played(stall=1) as (client, peer):
            asked = client.request(packets.STAT, packets.string(b"a"))
            [one] = await peer.expect("stat")
            await peer.attrs(one, 1)
            await asked
            await asyncio.sleep(1.5)
            asked = client.request(packets.STAT, packets.string(b"a"))
            [one] = await peer.expect("stat")
            await asyncio.sleep(0.1)
            await peer.attrs(one, 1)
            await asked

    @pytest.mark.slow
    async def test_any_answer_is_a_sign_of_life(self):
        async with played(stall=1.8) as (client, peer):
            asked = [client.request(packets.STAT, packets.string(b"a")) for _ in range(6)]
            for one in await peer.expect(*["stat"] * 6):
                await asyncio.sleep(0.4)
                await peer.attrs(one, 1)
            await asyncio.gather(*asked)

    @pytest.mark.slow
    async def test_a_slow_disk_is_given_its_time_and_no_more(self):
        async with played(stall=0.3) as (client, peer):
            slow = client.request(packets.EXTENDED, packets.extended(packets.FSYNC, b"h"), patience=60)
            [one] = await peer.expect("fsync")
            await asyncio.sleep(0.8)
            await peer.status(one)
            assert await slow == Status(0, "")
            with pytest.raises(TransportLost, match="no answer"):
                async with asyncio.timeout(20):
                    await client.request(packets.STAT, packets.string(b"a"))


class TestTransfer:
    async def test_every_byte_in_its_place_and_what_follows_right_behind(self, source: Any):
        size = 300_000
        fd = source(size)

        async with played() as (client, peer):
            seen: list[int] = []
            after: list[Any] = []
            moving = client.transfer(
                b"h", fd, size, seen.append, lambda: after.append(client.request(packets.FSTAT, packets.string(b"h")))
            )
            got = bytearray(size)
            while True:
                one = await peer.next()
                if one.what == "fstat":
                    break
                offset, count = struct.unpack_from(">QI", one.body, 5)
                got[offset : offset + count] = one.body[17:]
                assert len(one.body) == 17 + count
                await peer.status(one)
            await moving.done
            assert bytes(got) == os.pread(fd, size, 0)
            assert seen == sorted(seen)
            assert seen[-1] == size
            assert not after[0].done()

    async def test_no_more_is_in_flight_than_the_window_allows(self, source: Any):
        async with played() as (client, peer):
            client.transfer(b"h", source(1_000_000), 1_000_000, nothing, nothing)
            await peer.expect("write", "write")
            await peer.nothing()
            assert client.window.in_flight == 64 * 1024

    async def test_a_short_file_goes_before_the_rest_of_a_long_one(self, source: Any):
        async with played() as (client, peer):
            client.transfer(b"long", source(1_000_000), 1_000_000, nothing, nothing)
            first, second = await peer.expect("write", "write")
            client.transfer(b"short", source(100), 100, nothing, nothing)
            await peer.status(first)
            await peer.status(second)
            assert (await peer.next()).path == "short"

    async def test_long_files_take_turns(self, source: Any):
        async with played() as (client, peer):
            size = 500_000
            for name in (b"a", b"b", b"c"):
                client.transfer(name, source(size), size, nothing, nothing)
            order = []
            for _ in range(12):
                one = await peer.next()
                order.append(one.path)
                await peer.status(one)
            assert {name: order.count(name) for name in "abc"} == {"a": 4, "b": 4, "c": 4}

    async def test_small_requests_do_not_wait_for_the_window(self, source: Any):
        async with played() as (client, peer):
            client.transfer(b"h", source(1_000_000), 1_000_000, nothing, nothing)
            await peer.expect("write", "write")
            client.request(packets.STAT, packets.string(b"a"))
            await peer.expect("stat")

    async def test_a_refused_write_stops_the_rest(self, source: Any):
        async with played() as (client, peer):
            sent: list[bool] = []
            moving = client.transfer(b"h", source(1_000_000), 1_000_000, nothing, lambda: sent.append(True))
            first, second = await peer.expect("write", "write")
            await peer.status(first, packets.FAILURE, "No space left")
            with pytest.raises(WriteRefused, match="No space left"):
                await moving.done
            await peer.status(second)
            await peer.nothing()
            assert not sent
            assert client.window.in_flight == 0
            assert client.lost is None

    async def test_a_progress_that_raises_hurts_its_own_upload_alone(self, source: Any):
        async with played() as (client, peer):

            def bad(done: int) -> None:
                raise KeyError("mine")

            ill = client.transfer(b"h", source(10), 10, bad, nothing)
            well = client.transfer(b"h", source(10), 10, nothing, nothing)
            for one in await peer.expect("write", "write"):
                await peer.status(one)
            with pytest.raises(KeyError, match="mine"):
                await ill.done
            await well.done

    async def test_a_source_that_ends_too_early(self, source: Any):
        async with played() as (client, _):
            moving = client.transfer(b"h", source(10), 20, nothing, nothing)
            with pytest.raises(SourceChanged, match="ends at 10 of 20"):
                await moving.done

    async def test_larger_writes_where_the_server_says_it_takes_them(self):
        async with asyncio.timeout(30), strangers() as (client, peer):
            starting = asyncio.create_task(client.start())
            await peer.greet((packets.LIMITS,))
            [asking] = await peer.expect("limits")
            body = struct.pack(">QQQQ", 1 << 20, 1 << 20, 1 << 20, 40)
            await peer.send(packets.string(struct.pack(">BI", packets.EXTENDED_REPLY, asking.number) + body))
            await starting
            assert client.limits.handles == 40
            window = client.window
            for _ in range(5):
                window.acknowledged(window.chunk, window.sent(window.chunk, 0.0), 0.0001)
            assert window.chunk == 261_120, "OpenSSH ends the connection above 262,115"
