"""The parts of the Dropbox transport that need no Dropbox."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import FileRefused, TransportLost
from pysubtask.transports.dropbox.chunks import LEAST, next_piece
from pysubtask.transports.dropbox.content_hash import BLOCK, ContentHash, hash_through
from pysubtask.transports.dropbox.publish import LINGER_SECS, Publisher
from pysubtask.transports.dropbox.resume import SESSION_SECS, ResumePoint, resume_point_of
from pysubtask.transports.shared.resume_note import to_note

DAY = 86400.0


def plain_hash(data: bytes) -> str:
    """As the reference words it."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
def test_the_hash_is_that_of_the_reference_whatever_the_pieces(size: int):
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    for step in (1_000_003, BLOCK, BLOCK * 2 + 1):
        found = ContentHash()
        for at in range(0, size, step):
            found.update(data[at : at + step])
            found.hexdigest()
        assert found.hexdigest() == plain_hash(data)
    assert hash_through(lambda at, count: data[at : at + count], size).hexdigest() == plain_hash(data)


@given(st.integers(LEAST, 64 * 2**20), st.lists(st.none() | st.floats(0, 100), max_size=30), st.integers(LEAST, 64 * 2**20))
def test_pieces_stay_within_their_limits(piece: int, calls: list[float | None], most: int):
    for secs in calls:
        before, piece = piece, next_piece(piece, secs, most)
        assert LEAST <= piece <= max(most, before)
        assert secs is not None or piece <= max(LEAST, before // 2)


def test_a_big_file_arrives_though_the_link_breaks_repeatedly():
    """20 kB/s: a piece of 4 MiB takes 210 s, so none would ever arrive if pieces did not shrink."""
    rate, alive, most = 20_000, 120.0, 4 * 2**20
    piece, done, clock, cut = most, 0, 0.0, alive
    while done < 20 * 2**20:
        secs = piece / rate
        if clock + secs > cut:
            clock, cut = cut + 5.0, cut + 5.0 + alive
            piece = next_piece(piece, None, most)
        else:
            clock, done = clock + secs, done + piece
            piece = next_piece(piece, secs, most)
        assert clock < 20 * DAY, "it never arrives"
    assert clock < 2 * 20 * 2**20 / rate


def test_a_note_is_read_back_while_it_is_of_use():
    point = ResumePoint("session", 10, False, 1000.0)
    assert resume_point_of(to_note(point), 20, 2000.0) == point
    assert resume_point_of(to_note(point), 20, 1000.0 + SESSION_SECS) is None, "the session is gone by now"
    assert resume_point_of(to_note(point), 20, 500.0) is None, "the clock was set back: who knows how old it is"
    assert resume_point_of(to_note(point), 9, 2000.0) is None, "it holds more than the file"
    assert resume_point_of(to_note(point._replace(closed=True)), 20, 2000.0) is None, "closed too early"
    assert resume_point_of(to_note(point._replace(closed=True, offset=20)), 20, 2000.0) is not None
    for junk in (
        "",
        "{}",
        "null",
        "[]",
        "x",
        '{"session": 1}',
        '{"session":"","offset":1,"closed":false,"at":1}',
        '{"session":"a","offset":"1","closed":false,"at":1}',
        "3",
        '{"session":"a","offset":1,"closed":false,"at":null}',
    ):
        assert resume_point_of(junk, 20, 2000.0) is None, junk


@pytest.mark.slow
async def test_files_that_come_together_share_a_call():
    batches: list[list[Any]] = []

    async def commit(entries: list[Any]) -> list[Any]:
        batches.append(entries)
        return [entry * 2 for entry in entries]

    publisher = Publisher(commit)

    async def one(number: int) -> int:
        publisher.coming(1)
        await asyncio.sleep(number * LINGER_SECS / 4)
        publisher.coming(-1)
        return int(await publisher.publish(number))

    assert await asyncio.gather(*map(one, range(10))) == [number * 2 for number in range(10)]
    assert [len(batch) for batch in batches] == [10]


@pytest.mark.slow
async def test_one_call_at_a_time_and_what_comes_meanwhile_goes_next():
    batches: list[list[Any]] = []
    running = 0

    async def commit(entries: list[Any]) -> list[Any]:
        nonlocal running
        running += 1
        assert running == 1
        batches.append(entries)
        await asyncio.sleep(LINGER_SECS * 2)
        running -= 1
        return entries

    publisher = Publisher(commit)
    first = asyncio.ensure_future(publisher.publish("first"))
    await asyncio.sleep(LINGER_SECS * 1.5)
    others = [asyncio.ensure_future(publisher.publish(number)) for number in range(3)]
    await asyncio.gather(first, *others)
    assert batches == [["first"], [0, 1, 2]]


async def test_a_failed_call_fails_all_of_its_files_and_no_other():
    calls = iter([TransportLost("cut"), None])

    async def commit(entries: list[Any]) -> list[Any]:
        error = next(calls)
        if error:
            raise error
        return entries

    publisher = Publisher(commit)
    ends = await asyncio.gather(publisher.publish(1), publisher.publish(2), return_exceptions=True)
    assert [type(end) for end in ends] == [TransportLost, TransportLost]
    assert await publisher.publish(3) == 3


async def test_one_entry_that_a_call_is_refused_for_condemns_no_other():
    calls: list[list[Any]] = []

    async def commit(entries: list[Any]) -> list[Any]:
        calls.append(entries)
        if 5 in entries:
            raise FileRefused("Dropbox does not take the request: 5")
        return entries

    publisher = Publisher(commit)
    ends = await asyncio.gather(*(publisher.publish(number) for number in range(8)), return_exceptions=True)
    assert [number for number, end in enumerate(ends) if isinstance(end, FileRefused)] == [5]
    assert [end for end in ends if not isinstance(end, FileRefused)] == [0, 1, 2, 3, 4, 6, 7]
    assert await publisher.publish(9) == 9
    assert len(calls) <= 8, "by halves, not one by one"


async def test_too_few_answers_are_no_success():
    async def commit(entries: list[Any]) -> list[Any]:
        return entries[:1]

    publisher = Publisher(commit)
    ends = await asyncio.gather(publisher.publish(1), publisher.publish(2), return_exceptions=True)
    assert all(isinstance(end, Exception) for end in ends)


async def test_a_close_ends_those_who_wait_and_the_call_itself():
    async def commit(entries: list[Any]) -> list[Any]:
        await asyncio.sleep(math.inf)
        return entries

    publisher = Publisher(commit)
    calling = asyncio.ensure_future(publisher.publish(1))
    await asyncio.sleep(LINGER_SECS * 2)
    waiting = asyncio.ensure_future(publisher.publish(2))
    await asyncio.sleep(0)
    publisher.close()
    ends = await asyncio.gather(calling, waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [TransportLost, TransportLost]
