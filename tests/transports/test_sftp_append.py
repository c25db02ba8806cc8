"""Going on with an upload and appending in place, seen at the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, NotAsLeft, TransportLost
from pysubtask.transports.base import Append, Job, RemoteStat, Sent
from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.sftp.publish import Publisher
from pysubtask.transports.sftp.resume import LEAST, SECS, ProgressNotes, ResumePoint, resume_point_of
from pysubtask.transports.shared.means import APPEND, FINAL_STAT, SYNC
from pysubtask.transports.shared.profile import Profile
from pysubtask.transports.shared.resume_note import to_note
from tests.support.sftp_peer import Peer, Request, playing

TIME = 1_600_000_000
LEFT = RemoteStat(600, TIME - 100)
DATA = os.urandom(1000)
LAST = ("fsetstat", "fsync", "fstat")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    return Job(str(source), len(DATA), TIME * 10**9, "a", ".a.tmp", replaces=LEFT, append=Append(600, 600))


@contextlib.asynccontextmanager
async def played() -> AsyncIterator[tuple[Client, Peer, Any, Publisher]]:
    """A client, its peer, ``start(job, progress)``, which begins an upload, and the publisher of it."""
    async with asyncio.timeout(60), playing() as (client, peer):
        profile = Profile(time.time)
        for means, rung in ((APPEND, "in_place"), (SYNC, "kept")):
            profile.learn(means, rung)  # it has worked before
        publisher = Publisher(client, "", None, profile=profile)

        async def proven(*refused: object) -> None:
            """What it finds out has tests of its own."""

        publisher._appender._prove = proven  # type: ignore[method-assign]
        peer.absent = ("a",)

        def start(job: Job, progress: Callable[[int], None] = lambda done: None) -> asyncio.Task[Sent]:
            return asyncio.create_task(publisher.upload(job, progress))

        yield client, peer, start, publisher


def place_of(write: Request) -> tuple[int, int]:
    """Offset and count of a WRITE to the handle h1."""
    offset, count = struct.unpack_from(">QI", write.body, 6)
    return offset, count


async def test_an_append_takes_four_round_trips_and_sends_the_tail(job: Job):
    async with played() as (_, peer, start, _):
        order: list[str] = []
        running = start(job._replace(stale=(".old",), confirm=lambda: order.append("confirmed")))
        opening, clearing = await peer.expect("open", "remove")
        assert (opening.path, clearing.path) == ("a", ".old")
        assert struct.unpack_from(">II", opening.body, 5) == (packets.WRITE_FLAG, 0), "as it is: not made, not cut off"
        await peer.handle(opening)
        [looking] = await peer.expect("fstat")
        await peer.attrs(looking, *LEFT[:2])
        await peer.nothing()
        assert not order, "an earlier attempt might yet be renamed over it"
        await peer.status(clearing)
        write, timed, synced, stat, standing = await peer.expect("write", *LAST, "stat")
        assert order == ["confirmed"]
        assert place_of(write) == (600, 400) and write.body.endswith(DATA[600:])
        for one in (write, timed, synced):
            await peer.status(one)
        await peer.attrs(stat, 1000, TIME)
        await peer.attrs(standing, 1000, TIME)
        closing, looking = await peer.expect("close", "stat")
        await peer.status(closing)
        await peer.attrs(looking, 1000, TIME)
        sent = await running
        assert (sent.remote[:2], sent.bytes_sent) == ((1000, TIME), 400)
        await peer.nothing()


@pytest.mark.parametrize(
    ("before", "after", "verified"),
    [
        (1000, packets.NO_SUCH_FILE, "taken"),
        (1000, packets.PERMISSION_DENIED, "size"),
        (None, packets.NO_SUCH_FILE, ""),
        (600, packets.NO_SUCH_FILE, ""),
    ],
)
async def test_a_file_taken_away_after_it_was_whole_is_delivered(job: Job, before: int | None, after: int, verified: str):
    """What stands under the name when all is written, and when it is closed. Where it was another one even before that, the bytes
    may have gone to a file that was rotated away."""

    async with played() as (_, peer, start, publisher):
        running = start(job)
        await peer.handle((await peer.expect("open"))[0])
        await peer.attrs((await peer.expect("fstat"))[0], *LEFT[:2])
        *others, stat, standing = await peer.expect("write", *LAST, "stat")
        for one in others:
            await peer.status(one)
        await peer.attrs(stat, 1000, TIME)
        await (peer.status(standing, packets.NO_SUCH_FILE) if before is None else peer.attrs(standing, before, TIME))
        closing, looking = await peer.expect("close", "stat")
        await peer.status(closing)
        await peer.status(looking, after)
        if not verified:
            with pytest.raises(NotAsLeft, match="moved away"):
                await running
            return
        sent = await running
        assert (sent.verified, sent.remote) == (verified, RemoteStat(1000, None if verified == "taken" else TIME))
        assert publisher._profile.rung(FINAL_STAT) == ("taken" if verified == "taken" else "hidden")


@pytest.mark.parametrize("stat", [(600, TIME - 99), (599, TIME - 100), (601, TIME - 100), (1000, TIME - 100), (600, None)])
async def test_nothing_is_written_to_a_file_that_is_not_as_left(job: Job, stat: tuple[int, int | None]):
    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.handle((await peer.expect("open"))[0])
        await peer.attrs((await peer.expect("fstat"))[0], *stat)
        await peer.status((await peer.expect("close"))[0])
        with pytest.raises(NotAsLeft):
            await running
        await peer.nothing(0.05)


@pytest.mark.parametrize("code", [packets.NO_SUCH_FILE, packets.PERMISSION_DENIED, packets.FAILURE, packets.OP_UNSUPPORTED])
async def test_a_file_that_cannot_be_opened_is_sent_whole(job: Job, code: int):
    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.status((await peer.expect("open"))[0], code)
        with pytest.raises(NotAsLeft):
            await running
        await peer.nothing(0.05)


@pytest.mark.parametrize(
    ("what", "code", "error"),
    [
        ("write", packets.FAILURE, NotAsLeft),
        ("write", packets.OP_UNSUPPORTED, NotAsLeft),
        ("write", packets.CONNECTION_LOST, NotAsLeft),
        ("fsync", packets.FAILURE, AttemptFailed),
        ("fstat", 999, NotAsLeft),
        ("stat", 1001, NotAsLeft),
        ("stat", 0, NotAsLeft),
        ("close", packets.FAILURE, NotAsLeft),
    ],
)
async def test_a_bad_answer_to_an_append(job: Job, what: str, code: int, error: type[Exception]):
    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.handle((await peer.expect("open"))[0])
        await peer.attrs((await peer.expect("fstat"))[0], *LEFT[:2])

        async def answer() -> None:
            while True:
                one = await peer.next()
                bad = one.what == what
                if one.what in ("fstat", "stat"):
                    if bad and not code:
                        await peer.status(one, packets.NO_SUCH_FILE)
                    else:
                        await peer.attrs(one, code if bad else 1000, TIME)
                else:
                    await peer.status(one, code if bad else packets.OK)

        answering = asyncio.ensure_future(answer())
        with pytest.raises(error):
            await running
        answering.cancel()
        assert not {"remove", "posix-rename"} & set(peer.seen)


async def test_a_cut_append_is_read_back_before_it_is_resumed(job: Job):
    async with played() as (_, peer, start, _):
        for own in (True, False):
            running = start(job._replace(append=Append(600, 900)))
            [opening] = await peer.expect("open")
            assert struct.unpack_from(">II", opening.body, 5) == (packets.READ_FLAG | packets.WRITE_FLAG, 0)
            await peer.handle(opening)
            await peer.attrs((await peer.expect("fstat"))[0], 700, 5)
            [reading] = await peer.expect("read")
            assert struct.unpack_from(">QI", reading.body, 6) == (0, 700)
            await peer.data(reading, DATA[:700] if own else DATA[:699] + bytes([DATA[699] ^ 1]))
            if own:
                [write, *_] = await peer.expect("write", *LAST, "stat")
                assert place_of(write) == (700, 300)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                await peer.expect("close")
            else:
                await peer.status((await peer.expect("close"))[0])
                with pytest.raises(NotAsLeft):
                    await running


async def test_a_source_without_its_beginning(tmp_path: Path, job: Job):
    """Only what it has is compared and sent."""
    (tmp_path / "tail").write_bytes(DATA[650:])
    job = job._replace(source=str(tmp_path / "tail"), base=650)

    async with played() as (_, peer, start, _):
        running = start(job._replace(append=Append(600, 900)))
        await peer.handle((await peer.expect("open"))[0])
        await peer.attrs((await peer.expect("fstat"))[0], 700, 5)
        [reading] = await peer.expect("read")
        assert struct.unpack_from(">QI", reading.body, 6) == (650, 50)
        await peer.data(reading, DATA[650:700])
        write = (await peer.expect("write", *LAST, "stat"))[0]
        assert place_of(write) == (700, 300) and write.body.endswith(DATA[700:])
        running.cancel()
        await peer.expect("close")
        for has in (600, 649, 650):
            running = start(job._replace(append=Append(600, 900)))
            await peer.handle((await peer.expect("open"))[0])
            await peer.attrs((await peer.expect("fstat"))[0], has, 5)
            while (one := await peer.next()).what != "close":
                await peer.status(one, packets.EOF)
            await peer.status(one)
            with pytest.raises(NotAsLeft):
                await running


@pytest.mark.parametrize(
    ("text", "expected"), [(b"a\n" * 100_000, [True]), (b"x" * 300_000 + b"\n" + b"y" * 300_000, [False, True])]
)
async def test_writes_end_at_a_newline(tmp_path: Path, job: Job, text: bytes, expected: list[bool]):
    """Where there is one; a line longer than a WRITE cannot be helped, and the end is where the source ends."""
    (tmp_path / "source").write_bytes(text)
    job = job._replace(size=len(text), replaces=RemoteStat(3, 1), append=Append(3, 3), whole_records=True)

    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.handle((await peer.expect("open"))[0])
        await peer.attrs((await peer.expect("fstat"))[0], 3, 1)
        at, ends = 3, set()
        while at < len(text):
            one = await peer.next()
            assert one.what == "write"
            offset, count = place_of(one)
            assert offset == at and one.body.endswith(text[at : at + count])
            at += count
            if at < len(text):
                ends.add(text[at - 1 : at] == b"\n")
            await peer.status(one)
        running.cancel()
        assert sorted(ends) == expected


# --- going on


def test_what_was_noted_is_gone_on_from_and_nothing_else():
    point = ResumePoint(2_000_000, 3_000_000)
    assert resume_point_of(to_note(point), 3_000_000) == point
    assert resume_point_of(to_note(point), 3_000_001) is None
    for text in (
        "",
        "{",
        "1",
        "[3, 3]",
        "null",
        '{"offset": 3}',
        '{"offset": 4, "size": 3}',
        '{"offset": 0, "size": 3}',
        '{"offset": "3", "size": 3}',
        '{"offset": 1.5, "size": 3}',
        '{"offset": null, "size": 3}',
    ):
        assert resume_point_of(text, 3) is None, text


def test_notes_are_rare_and_the_last_one_is_exact():
    now, stored = [0.0], []
    notes = ProgressNotes(stored.append, 50 * LEAST, lambda: now[0])
    for step in range(1, 31):
        now[0] = step * (SECS + 0.001) / 8
        notes.reached(step * LEAST)
    assert [json.loads(text)["offset"] // LEAST for text in stored] == [8, 16, 24]
    now[0] += 100
    notes.last()
    notes.reached(30 * LEAST + 1)
    assert len(stored) == 4
    notes.last()
    notes.last()
    assert [json.loads(text)["offset"] for text in stored[4:]] == [30 * LEAST + 1]
    notes.forget()
    assert stored[5:] == [""]
    small = ProgressNotes(stored.append, LEAST - 1, lambda: now[0])
    now[0] += 100
    small.reached(LEAST - 1)
    small.last()
    small.forget()
    assert len(stored) == 6 and not small.worth


async def test_only_what_is_there_without_a_gap_is_noted(tmp_path: Path):
    size = 4 * LEAST
    (tmp_path / "big").write_bytes(os.urandom(size))
    stored: list[str] = []
    seen: list[int] = []

    async with played() as (client, peer, start, _):
        client.window.limit, client.window.chunk = 10 * size, LEAST
        client.window._set = lambda may_shrink: None  # type: ignore[method-assign]
        job = Job(str(tmp_path / "big"), size, TIME * 10**9, "a", ".a.tmp", note=stored.append)
        running = start(job, seen.append)
        await peer.handle((await peer.expect("open"))[0])
        writes = await peer.expect("write", "write", "write", "write")
        for which in (0, 2, 3):
            await peer.status(writes[which])
        asked = client.request(packets.STAT, packets.string(b"x"))  # answered when those have been heard
        while (one := await peer.next()).what != "stat":
            pass
        await peer.status(one)
        await asked
        client.fail(TransportLost("cut"))
        with pytest.raises(TransportLost):
            await running
    assert seen and set(seen) == {LEAST}
    assert [resume_point_of(text, size) for text in stored] == [ResumePoint(LEAST, size)]


async def test_a_temp_name_that_may_yet_be_renamed_is_not_begun_anew(tmp_path: Path):
    size = 2 * LEAST
    (tmp_path / "big").write_bytes(os.urandom(size))
    stored: list[str] = []
    job = Job(
        str(tmp_path / "big"), size, TIME * 10**9, "a", ".a.tmp", resume=to_note(ResumePoint(size, size, True)), note=stored.append
    )

    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.status((await peer.expect("open"))[0], packets.NO_SUCH_FILE)
        with pytest.raises(AttemptFailed, match="may yet rename"):
            await running
        assert stored == [""]
        await peer.nothing(0.05)


async def test_a_file_whole_before_the_cut_is_checked_and_renamed(tmp_path: Path):
    size = 2 * LEAST
    data = os.urandom(size)
    (tmp_path / "big").write_bytes(data)
    job = Job(str(tmp_path / "big"), size, TIME * 10**9, "a", ".a.tmp", resume=to_note(ResumePoint(size, size, True)))

    async with played() as (_, peer, start, _):
        running = start(job)
        await peer.handle((await peer.expect("open"))[0])
        looking, reading = await peer.expect("fstat", "read")
        assert struct.unpack_from(">QI", reading.body, 6) == (size - 32768, 32768)
        await peer.attrs(looking, size)
        await peer.data(reading, data[-32768:])
        timed, synced, stat = await peer.expect(*LAST)
        await peer.status(timed)
        await peer.status(synced)
        await peer.attrs(stat, size)
        closing, renaming = await peer.expect("close", "posix-rename")
        await peer.status(closing)
        await peer.status(renaming, packets.NO_SUCH_FILE)
        [looking] = await peer.expect("lstat")
        assert looking.path == ".a.tmp"
        await peer.status(looking, packets.NO_SUCH_FILE)
        with pytest.raises(AttemptFailed, match="may have been late"):
            await running
