"""The order of a safe upload, seen at the wire."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, SourceChanged, TransportLost
from pysubtask.transports.base import Job, RemoteStat, Sent
from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.sftp.publish import Publisher
from pysubtask.transports.sftp.swap import SwapRecord, Swaps
from tests.support.sftp_peer import Peer, playing

DATA = os.urandom(1000)
LAST = ("fsetstat", "fsync", "fstat")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    return Job(str(source), len(DATA), 1_600_000_000_000_000_000, "a", ".a.tmp")


@contextlib.asynccontextmanager
async def played(**how: Any) -> AsyncIterator[tuple[Client, Peer, Any]]:
    """A client, its peer, and ``start(job)``, which begins an upload."""
    syncs = how.pop("syncs", True)
    async with asyncio.timeout(60), playing(**how) as (client, peer):
        publisher = Publisher(client, "", None, syncs=syncs)
        peer.absent = ("a",)

        def start(job: Job) -> asyncio.Task[Sent]:
            return asyncio.create_task(publisher.upload(job, lambda done: None))

        yield client, peer, start


@pytest.mark.slow
async def test_three_round_trips_and_no_more(job: Job):
    async with played() as (_, peer, start):
        peer.absent = ()
        order: list[str] = []
        running = start(job._replace(stale=(".a.old1", ".a.old2"), confirm=lambda: order.append("confirmed")))
        opening, looking, *clearing = await peer.expect("open", "lstat", "remove", "remove")
        assert [one.path for one in (opening, looking, *clearing)] == [".a.tmp", "a", ".a.old1", ".a.old2"]
        await peer.nothing()
        await peer.status(looking, packets.NO_SUCH_FILE)
        for one in clearing:
            await peer.status(one, packets.NO_SUCH_FILE)
        await peer.handle(opening)
        write, timed, synced, stat = await peer.expect("write", *LAST)
        assert write.body.endswith(DATA)
        await peer.nothing()
        assert not order
        for one in (write, timed, synced):
            await peer.status(one)
        await peer.attrs(stat, len(DATA))
        closing, renaming = await peer.expect("close", "posix-rename")
        assert order == ["confirmed"]
        assert renaming.body == packets.string(b".a.tmp") + packets.string(b"a")
        await peer.status(closing)
        await peer.status(renaming)
        assert (await running).remote[:2] == (1000, 1_600_000_000)
        await peer.nothing()


async def test_without_server_sync_no_file_is_synced(job: Job):
    async with played(syncs=False) as (_, peer, start):
        peer.absent = ()
        running = start(job)
        opening, looking = await peer.expect("open", "lstat")
        await peer.status(looking, packets.NO_SUCH_FILE)
        await peer.handle(opening)
        write, timed, stat = await peer.expect("write", "fsetstat", "fstat")
        await peer.status(write)
        await peer.status(timed)
        await peer.attrs(stat, len(DATA))
        (closing,) = await peer.expect("close")
        await peer.nothing()  # the reply to it is the last in which the server can report that bytes were lost
        await peer.status(closing)
        (renaming,) = await peer.expect("posix-rename")
        await peer.status(renaming)
        assert (await running).remote.size == len(DATA)
        await peer.nothing()


@pytest.mark.parametrize("late", ["write", *LAST])
async def test_no_rename_before_every_answer_is_there(job: Job, late: str):
    """Answers come in any order; whichever is missing keeps the name as it was."""

    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        rest = {one.what: one for one in await peer.expect("write", *LAST)}

        async def answer(what: str) -> None:
            await (peer.attrs(rest[what], len(DATA)) if what == "fstat" else peer.status(rest[what]))

        for what in reversed(rest):
            if what != late:
                await answer(what)
        await peer.nothing()
        await answer(late)
        for one in await peer.expect("close", "posix-rename"):
            await peer.status(one)
        await running


async def test_no_rename_while_earlier_attempts_could_still_rename(job: Job):
    """One that the server does not let us remove gets another name: an old request to rename it finds nothing then."""

    async with played() as (_, peer, start):
        running = start(job._replace(stale=(".a.old",)))
        opening, clearing = await peer.expect("open", "remove")
        await peer.handle(opening)
        await peer.nothing()
        await peer.status(clearing, packets.PERMISSION_DENIED, "Permission denied")
        [looking] = await peer.expect("lstat")
        await peer.attrs(looking, 5)
        [moving] = await peer.expect("rename")
        assert moving.body == packets.string(b".a.old") + packets.string(b".a.old.left")
        await peer.nothing()
        await peer.status(moving)
        for one in await peer.expect("write", *LAST):
            await (peer.attrs(one, len(DATA)) if one.what == "fstat" else peer.status(one))
        for one in await peer.expect("close", "posix-rename"):
            await peer.status(one)
        await running


async def test_a_refused_write_means_no_rename_and_no_temp(job: Job):
    """And nothing is read into "Failure"."""

    async with played() as (_, peer, start):
        confirmed: list[bool] = []
        running = start(job._replace(confirm=lambda: confirmed.append(True)))
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        for one in await peer.expect("write", *LAST):
            if one.what == "write":
                await peer.status(one, packets.FAILURE, "Failure")
            elif one.what == "fstat":
                await peer.attrs(one, len(DATA))
            else:
                await peer.status(one)
        for one in await peer.expect("close", "remove"):
            await peer.status(one)
        with pytest.raises(FileRefused, match=r"a: writing: server said: Failure$"):
            await running
        assert not confirmed
        assert "posix-rename" not in peer.seen


@pytest.mark.slow
async def test_a_file_shorter_than_what_was_written_is_not_renamed(job: Job):
    """Some servers still store it when they are asked first, so it is looked at again; the file waits by itself then."""

    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        for one in await peer.expect("write", *LAST):
            await (peer.attrs(one, len(DATA) - 1) if one.what == "fstat" else peer.status(one))
        [closing] = await peer.expect("close")
        await peer.status(closing)
        for _ in range(4):
            [looking] = await peer.expect("stat")
            assert looking.path == ".a.tmp"
            await peer.attrs(looking, len(DATA) - 1)
        [removing] = await peer.expect("remove")
        await peer.status(removing)
        with pytest.raises(AttemptFailed, match="1,000 bytes were written and the server has 999"):
            await running
        assert "posix-rename" not in peer.seen


@pytest.mark.slow
@pytest.mark.parametrize("stat", ["nothing", "no size", "0 bytes"])
async def test_a_size_that_is_known_only_after_the_close_is_asked_then(job: Job, stat: str):
    async with played() as (_, peer, start):
        for first in (True, False):
            running = start(job)
            [opening] = await peer.expect("open")
            await peer.handle(opening)
            for one in await peer.expect("write", "fsetstat", "fsync", *(["fstat"] if first else [])):
                if one.what != "fstat":
                    await peer.status(one)
                elif stat == "nothing":
                    await peer.status(one, packets.NO_SUCH_FILE, "No such file")
                else:
                    await peer.attrs(one, 0)
            [closing] = await peer.expect("close")
            await peer.nothing()
            await peer.status(closing)
            [looking] = await peer.expect("stat")
            await peer.nothing()
            await peer.attrs(looking, len(DATA))
            [renaming] = await peer.expect("posix-rename")
            await peer.status(renaming)
            assert (await running).verified == "size"


async def test_without_any_size_the_servers_reply_has_to_do(job: Job):
    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        for one in await peer.expect("write", *LAST):
            await peer.status(one, packets.OK if one.what != "fstat" else packets.OP_UNSUPPORTED)
        [closing] = await peer.expect("close")
        await peer.status(closing)
        [looking] = await peer.expect("stat")
        await peer.status(looking, packets.OP_UNSUPPORTED)
        [renaming] = await peer.expect("posix-rename")
        await peer.status(renaming)
        sent = await running
        assert (sent.verified, sent.remote) == ("reply", RemoteStat(1000, None))


async def test_a_refused_sync_is_an_obstacle_only_where_it_has_worked(job: Job):
    """A server that never could says so with any status; one that could, and cannot now, may have a bad disk."""

    async def one_file(peer: Peer, start: Any, synced: int, *after: str) -> asyncio.Task[Sent]:
        running: asyncio.Task[Sent] = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        for one in await peer.expect("write", *LAST):
            if one.what == "fsync":
                await peer.status(one, synced, "Failure")
            else:
                await (peer.attrs(one, len(DATA)) if one.what == "fstat" else peer.status(one))
        for what in after:
            [one] = await peer.expect(what)
            await peer.status(one)
        return running

    async with played() as (_, peer, start):
        await (await one_file(peer, start, packets.OK, "close", "posix-rename"))
        with pytest.raises(AttemptFailed, match="disk: server said: Failure"):
            await (await one_file(peer, start, packets.FAILURE, "close", "remove"))
        await (await one_file(peer, start, packets.FAILURE, "close", "posix-rename"))

    async with played() as (_, peer, start):
        await (await one_file(peer, start, packets.FAILURE, "close", "posix-rename"))


async def test_a_time_that_cannot_be_set_is_no_obstacle(job: Job):
    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        write, timed, synced, stat = await peer.expect("write", *LAST)
        await peer.status(timed, packets.OP_UNSUPPORTED)
        for one in (write, synced):
            await peer.status(one)
        await peer.attrs(stat, len(DATA), 77)
        for one in await peer.expect("close", "posix-rename"):
            await peer.status(one)
        assert (await running).remote.mtime == 77


@pytest.mark.parametrize("known", [True, False])
async def test_without_a_sync_the_close_is_waited_for(job: Job, known: bool):
    """Where nothing syncs, closing is where a server says that it could not keep the bytes."""

    async with played(extensions=(packets.POSIX_RENAME, packets.FSYNC) if known else (packets.POSIX_RENAME,)) as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        await peer.handle(opening)
        for one in await peer.expect("write", *(what for what in LAST if known or what != "fsync")):
            if one.what == "fstat":
                await peer.attrs(one, len(DATA))
            else:
                await peer.status(one, packets.OP_UNSUPPORTED if one.what == "fsync" else packets.OK)
        [closing] = await peer.expect("close")
        await peer.nothing()
        await peer.status(closing, packets.FAILURE)
        [removing] = await peer.expect("remove")
        await peer.status(removing)
        with pytest.raises(FileRefused, match="closing"):
            await running
        assert "posix-rename" not in peer.seen


async def test_a_cancelled_upload_removes_even_an_unopened_temporary(job: Job):
    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await peer.expect("remove")
        await peer.handle(opening, b"orphan")
        [closing] = await peer.expect("close")
        assert closing.path == "orphan"


async def test_a_source_that_shrinks_during_the_upload(job: Job):
    async with played() as (_, peer, start):
        running = start(job)
        [opening] = await peer.expect("open")
        os.truncate(job.source, 10)
        await peer.handle(opening)
        [write] = await peer.expect("write")
        await peer.status(write)
        for one in await peer.expect("close", "remove"):
            await peer.status(one)
        with pytest.raises(SourceChanged, match="ends at 10 of 1,000 bytes"):
            await running


async def test_lost_while_waiting(job: Job):
    async with played() as (_, peer, start):
        running = [start(job), start(job._replace(temp=".b.tmp"))]
        await peer.expect("open", "open")
        peer.hang_up()
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert [type(end) for end in ends] == [TransportLost, TransportLost]
        with pytest.raises(TransportLost):
            await start(job)


async def test_a_missing_folder_is_created_once_for_all_who_wait(job: Job):
    async with played() as (_, peer, start):
        jobs = [job._replace(name=f"x/y/{i}", temp=f"x/y/.{i}.tmp") for i in range(3)]
        peer.absent = tuple(one.name for one in jobs)
        running = [start(one) for one in jobs]
        for one in await peer.expect("open", "open", "open"):
            await peer.status(one, packets.NO_SUCH_FILE)
        [deep] = await peer.expect("mkdir")
        assert deep.path == "x/y"
        await peer.nothing()
        await peer.status(deep, packets.NO_SUCH_FILE)
        [top] = await peer.expect("mkdir")
        assert top.path == "x"
        await peer.status(top)
        [deep] = await peer.expect("mkdir")
        assert deep.path == "x/y"
        await peer.status(deep, packets.FAILURE)  # somebody else was quicker: it is there
        await peer.expect("open", "open", "open")
        for one in running:
            one.cancel()


class TestSwap:
    """A server that cannot rename over a file."""

    @staticmethod
    @contextlib.asynccontextmanager
    async def played(tmp_path: Path, record: SwapRecord | None = None) -> AsyncIterator[tuple[Peer, Swaps, SwapRecord]]:
        async with asyncio.timeout(60), playing(extensions=()) as (client, peer):
            kept = record or SwapRecord(str(tmp_path), "me")
            yield peer, Swaps(client, kept), kept

    async def test_the_old_file_is_recorded_before_its_move_and_restored(self, tmp_path: Path):
        async with self.played(tmp_path) as (peer, swaps, _):
            running = asyncio.create_task(swaps.replace(b".t", b"a"))
            [first] = await peer.expect("rename")
            await peer.status(first, packets.FAILURE)
            [looking] = await peer.expect("lstat")
            await peer.attrs(looking, 5)
            [aside] = await peer.expect("rename")
            assert aside.body == packets.string(b"a") + packets.string(b".t.old")
            assert SwapRecord(str(tmp_path), "me").asides.keys() == {b".t.old"}
            await peer.status(aside)
            [again] = await peer.expect("rename")
            await peer.status(again, packets.PERMISSION_DENIED)
            [back] = await peer.expect("rename")
            assert back.body == packets.string(b".t.old") + packets.string(b"a")
            await peer.status(back)
            assert (await running).code == packets.PERMISSION_DENIED
            assert not SwapRecord(str(tmp_path), "me").asides

    @pytest.mark.parametrize("missing", [True, False])
    async def test_mending(self, tmp_path: Path, missing: bool):
        """The old one goes back where the name is missing, and away where it is there; never the other way."""
        record = SwapRecord(str(tmp_path), "me")
        record.add(b".t.old", b"a", 1e9)

        async with self.played(tmp_path, SwapRecord(str(tmp_path), "me")) as (peer, swaps, _):
            running = asyncio.create_task(swaps.mend_all())
            [aside] = await peer.expect("lstat")
            await peer.attrs(aside, 5)
            [name] = await peer.expect("lstat")
            assert name.path == "a"
            if missing:
                await peer.status(name, packets.NO_SUCH_FILE)
            else:
                await peer.attrs(name, 6)
            [last] = await peer.expect("rename" if missing else "remove")
            assert last.path == ".t.old"
            await peer.status(last)
            await running
            await peer.nothing()

    async def test_an_unclear_answer_moves_nothing(self, tmp_path: Path):
        async with self.played(tmp_path) as (peer, swaps, _):
            running = asyncio.create_task(swaps.mend(b".t", b"a"))
            [aside] = await peer.expect("lstat")
            await peer.attrs(aside, 5)
            [name] = await peer.expect("lstat")
            await peer.status(name, packets.FAILURE)
            await running
            await peer.nothing()

    def test_a_record_of_another_server_or_not_readable_is_no_record(self, tmp_path: Path):
        SwapRecord(str(tmp_path), "me").add(b".\xff.old", b"\xff", 1.0)
        assert SwapRecord(str(tmp_path), "me").asides == {b".\xff.old": (b"\xff", 1.0)}
        assert not SwapRecord(str(tmp_path), "another").asides
        (tmp_path / "swaps.json").write_text("[1,")
        assert not SwapRecord(str(tmp_path), "me").asides
