"""Going on in the middle of a file: what servers do with STOR after REST, each played by a real server that does so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from pysubtask.testing import FTPRelay, ftp_server, vsftpd_server
from pysubtask.testing.servers.ftp import FTPServer
from pysubtask.testing.servers.vsftpd import missing
from pysubtask.transports.base import Append, Job, RemoteStat, Sent
from pysubtask.transports.ftp import FTPTransport
from tests.transports.contract import Site, watching

MTIME = 1_600_000_001
SIZE = 3_000_000
ODD = ("refused", "cut off", "emptied", "ignored", "emptied, ignored", "appended", "unknown")
needs_vsftpd = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Work:
    """A server that can be odd, the way to it, and a connected transport."""

    def __init__(self, place: Path, server: FTPServer, relay: FTPRelay) -> None:
        self.place = place
        self.server = server
        self.relay = relay
        self.notes: list[str] = []
        self.count = 0
        self.transport: FTPTransport
        self.folder = server.files / place.name

    def settings(self, **more: Any) -> dict[str, Any]:
        return self.server.settings(Host=self.relay.host, HostPort=self.relay.port, HostPath=f"/{self.folder.name}", **more)

    def job(self, name: str, data: bytes, **changes: Any) -> Job:
        self.count += 1
        source = self.place / f"source-{self.count}"
        source.write_bytes(data)
        job = Job(str(source), len(data), MTIME * 10**9, name, f".t{self.count}.tmp", note=self.notes.append)
        return job._replace(**changes)

    def appending(self, name: str, data: bytes, left: RemoteStat, until: int | None = None, **changes: Any) -> Job:
        job = self.job(name, data, replaces=left, append=Append(left.size, left.size if until is None else until))
        return job._replace(mtime_ns=(MTIME + 10) * 10**9)._replace(**changes)

    async def send(self, job: Job) -> Sent:
        return await self.transport.upload(job, lambda done: None)

    async def cut(self, data: bytes, after: int = SIZE // 2, job: Job | None = None) -> Job:
        """A job that goes on with an upload of ``data`` that was cut."""
        job = job or self.job("a", data)
        self.relay.drop("up", after)
        with pytest.raises((TransportLost, AttemptFailed)):
            await self.send(job)
        self.relay.heal()
        await self.transport.close()
        await self.transport.connect()
        return job._replace(resume=self.notes[-1])

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def names(self) -> set[str]:
        return set(os.listdir(self.folder))

    def make_odd(self, how: str) -> None:
        self.server.oddities = self.server.oddities._replace(restart=how)


@pytest.fixture(scope="module")
def pyftpdlib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp") / "files") as server:
        yield server


@pytest.fixture(scope="module")
def no_rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp") / "files", without=("REST",)) as server:
        yield server


Connected = Callable[..., contextlib.AbstractAsyncContextManager[Work]]


@pytest.fixture
def connected(pyftpdlib: FTPServer, no_rest: FTPServer, tmp_path: Path) -> Iterator[Connected]:
    """``async with connected(restart) as work``: files to send to a server of that kind."""

    @contextlib.asynccontextmanager
    async def connect_to(restart: str = "", **settings: Any) -> AsyncIterator[Work]:
        server = no_rest if restart == "unknown" else pyftpdlib
        (server.files / tmp_path.name).mkdir(exist_ok=True)
        (tmp_path / "work").mkdir(exist_ok=True)
        with FTPRelay(server.port, server.data_ports, buffer=16 * 1024) as relay:
            work = Work(tmp_path, server, relay)
            work.make_odd(restart)
            work.transport = FTPTransport(work.settings(**settings), str(tmp_path / "work"))
            async with asyncio.timeout(60):
                await work.transport.connect()
                try:
                    yield work
                finally:
                    await work.transport.close()

    yield connect_to
    pyftpdlib.oddities = pyftpdlib.oddities._replace(restart="")


# --- going on with an upload


@pytest.mark.slow
@pytest.mark.parametrize("restart", ODD)
async def test_a_resume_is_whole_whatever_the_server_does(connected: Connected, restart: str):
    data, other = os.urandom(SIZE), os.urandom(50_000)

    async with connected(restart) as work:
        sent = await work.send(await work.cut(data))
        assert work.read("a") == data
        if restart == "cut off":
            assert sent.bytes_sent < 0.7 * SIZE, "all before the place is there"
        else:
            assert SIZE <= sent.bytes_sent < 1.6 * SIZE
            assert work.notes[-2:] != work.notes[:1] * 2 and "" in work.notes, "what was noted of it holds no more"
        await work.send(work.job("b", other))
        assert work.read("b") == other, "a place that was told is not left for the next one"
        stores = work.server.counts["STOR"]
        again = await work.send(await work.cut(data))
        assert work.read("a") == data
        if restart != "cut off":
            assert (again.bytes_sent, work.server.counts["STOR"] - stores) == (SIZE, 2), "it is not tried again"
        assert work.names() == {"a", "b"}


@pytest.mark.slow
async def test_a_server_that_has_changed_is_found_out(connected: Connected):
    """It had resumed before; then it writes at the beginning, or refuses."""
    data = os.urandom(SIZE)

    async with connected() as work:
        left = (await work.send(work.job("b", data[:1000]))).remote
        await work.send(work.appending("b", data[:2000], left))
        for restart in ("ignored", "emptied, ignored", "refused"):
            job = await work.cut(data)
            work.make_odd(restart)
            await work.send(job)
            assert work.read("a") == data
            work.make_odd("")
            work.transport = FTPTransport(work.settings(), str(work.place / "work"))
            await work.transport.connect()
            left = (await work.send(work.job("b", data[:1000]))).remote
            left = (await work.send(work.appending("b", data[:2000], left))).remote
            await work.transport.close()
            await work.transport.connect()


async def test_a_temp_with_a_damaged_end_is_sent_anew(connected: Connected):
    """As after a crash of the server whose disk had the length and not the bytes."""
    data = os.urandom(SIZE)

    async with connected() as work:
        job = await work.cut(data)
        temp = work.folder / job.temp
        temp.write_bytes(temp.read_bytes()[:-100] + bytes(100))
        assert (await work.send(job)).bytes_sent >= SIZE
        assert work.read("a") == data


async def test_a_temp_that_is_whole_is_only_renamed(connected: Connected):
    data = os.urandom(SIZE)

    async with connected() as work:
        job = await work.cut(data)
        (work.folder / job.temp).write_bytes(data)
        assert (await work.send(job)).bytes_sent == 0
        assert work.read("a") == data


async def test_an_account_that_may_only_write(tmp_path: Path):
    data = os.urandom(SIZE)
    with ftp_server(tmp_path / "ftp", without=("RETR",)) as server, FTPRelay(server.port, server.data_ports, buffer=16384) as relay:
        work = Work(tmp_path, server, relay)
        work.folder.mkdir()
        work.transport = FTPTransport(work.settings(), str(tmp_path))

        async with asyncio.timeout(60):
            await work.transport.connect()
            sent = await work.send(await work.cut(data))
            assert sent.bytes_sent < 0.7 * SIZE
            left = (await work.send(work.appending("a", data + b"1", sent.remote))).remote
            (work.folder / "a").write_bytes(data + b"123")
            with pytest.raises(NotAsLeft):  # whose bytes these are cannot be seen
                await work.send(work.appending("a", data + b"12345", left, until=SIZE + 5))
            await work.transport.close()
        assert work.read("a") == data + b"123"


@pytest.mark.slow
async def test_notes_are_few(connected: Connected):
    """One for a file that takes long by its size or by the link; it says nothing that would change."""

    async with connected() as work:
        await work.send(work.job("small", os.urandom(400_000)))
        assert work.notes == []
        await work.send(work.job("big", os.urandom(SIZE)))
        assert len(work.notes) == 1
        work.relay.throttle(100_000, "up")
        await work.send(work.job("slow", os.urandom(180_000)))
        assert len(work.notes) == 2


async def test_a_temp_that_somebody_holds_is_left_alone(connected: Connected):
    """A session that died unnoticed keeps some servers from opening the file again: the next attempt takes another name."""
    data = os.urandom(SIZE)

    async with connected() as work:
        job = await work.cut(data)
        (work.folder / job.temp).unlink()
        (work.folder / job.temp).mkdir()  # what the server then says: 550
        with pytest.raises(AttemptFailed, match="cannot be used"):
            await work.send(job)
        assert work.notes[-1] == ""
        await work.transport.close()
        await work.transport.connect()
        await work.send(work.job("a", data))
        assert work.read("a") == data


async def test_cuts_that_get_on_are_no_reason_to_give_up(connected: Connected):
    """Three in a row at the same place put a file aside; these are not at the same place."""
    data = os.urandom(SIZE)

    async with connected() as work:
        job = await work.cut(data, 600_000)
        for _ in range(3):
            job = await work.cut(data, 600_000, job)
        assert (await work.send(job)).bytes_sent < 0.6 * SIZE
        assert work.read("a") == data


# --- appending in place


@pytest.mark.slow
@pytest.mark.parametrize("restart", ODD)
async def test_a_server_that_is_not_fit_for_it_shows_nothing_wrong(connected: Connected, tmp_path: Path, restart: str):
    old, new = os.urandom(100_000), os.urandom(10_000)

    async with connected(restart) as work:
        left = (await work.send(work.job("a", old))).remote
        assert work.transport.traits.appends == (restart != "unknown"), "nothing speaks against it yet"
        site = Site(FTPTransport, {}, "", str(work.folder))
        asked: list[bool] = []
        with watching(site, "a") as seen:
            for _ in range(2):
                with pytest.raises(NotAsLeft):
                    await work.send(work.appending("a", old + new, left, confirm=lambda: asked.append(True)))
                assert not work.transport.traits.appends
        assert seen == {old}
        assert (asked, work.names()) == ([], {"a"})
        assert await work.transport.stat("a") == left
        await work.send(work.job("a", old + new))
        assert work.read("a") == old + new


async def test_what_a_server_has_proven_is_remembered(connected: Connected):
    data = os.urandom(9000)

    async with connected() as work:
        left = (await work.send(work.job("a", data[:1000]))).remote
        for end, expected in ((2000, 4), (3000, 1)):
            before = work.server.counts["STOR"]
            left = (await work.send(work.appending("a", data[:end], left))).remote
            assert work.server.counts["STOR"] - before == expected
            assert (left.mtime, work.read("a")) == (MTIME + 10, data[:end])
        await work.transport.close()
        work.transport = FTPTransport(work.settings(), str(work.place / "work"))
        await work.transport.connect()
        before = work.server.counts["STOR"]
        left = (await work.send(work.appending("a", data[:4000], left))).remote
        assert work.server.counts["STOR"] - before == 1
        (work.place / "work" / "restarts.json").write_text('{"identity": "ftp://another", "server": ""}')
        work.transport = FTPTransport(work.settings(), str(work.place / "work"))
        await work.transport.connect()
        await work.send(work.appending("a", data[:5000], left))
        assert work.server.counts["STOR"] - before == 5, "another server's word is nothing"
        assert (work.read("a"), work.names()) == (data[:5000], {"a"})


async def test_a_comparison_that_is_cut_is_no_difference(connected: Connected):
    """What a server is asked for to compare ends early, with a reply that says all is well."""
    data = os.urandom(SIZE)

    async with connected() as work:
        job = await work.cut(data)
        again = work.appending("a", data + b"new", RemoteStat(SIZE, 0), until=SIZE + 3)
        for one in (job, again):
            work.relay.drop("down", 2000, how="fin")
            with pytest.raises(AttemptFailed, match="as after a cut"):
                await work.send(one)
            assert work.relay.drops > 1
            work.relay.heal()
            await work.transport.close()
            await work.transport.connect()
            assert (await work.send(one)).bytes_sent < 0.7 * SIZE
        assert work.read("a") == data + b"new"


async def test_stored_in_place_a_cut_upload_is_not_resumed(connected: Connected):
    """What stands under the name may be half of any version; what we left whole is appended to all the same."""
    data = os.urandom(SIZE)

    async with connected(StoreInPlace=True) as work:
        left = (await work.send(work.job("a", data[:1000]))).remote
        assert (await work.send(work.appending("a", data[:2000], left))).bytes_sent == 1000
        assert work.read("a") == data[:2000]
        assert (await work.send(work.job("a", data, resume='{"begun": true}'))).bytes_sent == SIZE
        assert work.read("a") == data


@pytest.mark.slow
async def test_whole_lines_go_in_place_where_no_cut_can_part_them(connected: Connected):
    lines = b"one,two,three\n" * 3000

    async with connected() as work:
        left = (await work.send(work.job("a", lines[:1400]))).remote
        for data in (lines[: 1400 + 15], lines[:1400] + b"x" * 1200 + b"\n", lines):
            with pytest.raises(NotAsLeft, match="half a line"):
                await work.send(work.appending("a", data, left, whole_records=True))
        assert work.read("a") == lines[:1400]
        left = (await work.send(work.appending("a", lines[:2590], left, whole_records=True))).remote
        before = work.server.counts["STOR"]
        with watching(Site(FTPTransport, {}, "", str(work.folder)), "a") as seen:
            await work.send(work.appending("a", lines[:9800], left, whole_records=True))
        assert work.read("a") == lines[:9800]
        assert work.server.counts["STOR"] - before == 7
        # A file system shows a write page by page: for a moment a reader may find the end of a page.
        assert all(one is not None and (one.endswith(b"\n") or len(one) % 4096 == 0) for one in seen)
        job = work.appending("a", lines[:16800], left._replace(size=9800), until=16800, whole_records=True)
        work.relay.drop("up", 3000, scope="total")
        with pytest.raises((TransportLost, AttemptFailed)):
            await work.send(job)
        assert 9800 < len(work.read("a")) < 16800 and len(work.read("a")) % 14 == 0
        work.relay.heal()
        await work.transport.close()
        await work.transport.connect()
        await work.send(job)
        assert work.read("a") == lines[:16800]


async def test_a_source_that_lacks_what_the_server_has(connected: Connected):
    data = os.urandom(60_000)

    async with connected() as work:
        left = (await work.send(work.job("a", data[:50_000]))).remote
        job = work.appending("a", data[49_000:], left, size=60_000, base=49_000)
        assert (await work.send(job)).bytes_sent == 10_000
        (work.folder / "a").write_bytes(data[:55_000])
        assert (await work.send(job._replace(append=Append(50_000, 60_000)))).bytes_sent == 5_000
        assert work.read("a") == data
        (work.folder / "a").write_bytes(data[:50_000])
        with pytest.raises(NotAsLeft):  # nothing of what it ends with is here
            await work.send(work.appending("a", data[50_000:], left, 60_000, size=60_000, base=50_000))


async def test_a_disk_that_fills_up_under_an_append(tmp_path: Path):
    data = os.urandom(400_000)
    server_of = ftp_server(tmp_path / "ftp", file_limit=200_000, full_reply="552 Insufficient storage space.")
    with server_of as server, FTPRelay(server.port, server.data_ports) as relay:
        work = Work(tmp_path, server, relay)
        work.folder.mkdir()
        work.transport = FTPTransport(work.settings(), str(tmp_path))

        async with asyncio.timeout(60):
            await work.transport.connect()
            left = (await work.send(work.job("a", data[:100_000]))).remote
            with pytest.raises(FileRefused, match="Insufficient"):
                await work.send(work.appending("a", data, left))
            stat = await work.transport.stat("a")
            assert stat is not None and 100_000 <= stat.size <= 200_000
            await work.transport.close()
        assert data.startswith(work.read("a"))
        assert work.names() == {"a"}


async def test_many_at_once(connected: Connected):
    data = os.urandom(300_000)

    async with connected() as work:
        names = [f"f{n}" for n in range(12)]
        left = await asyncio.gather(*(work.send(work.job(name, data[:1000])) for name in names))
        jobs = [work.appending(name, data, one.remote) for name, one in zip(names, left, strict=True)]
        await asyncio.gather(*map(work.send, jobs))
        assert {work.read(name) for name in names} == {data}
        assert work.names() == set(names)


@needs_vsftpd
async def test_nothing_comes_between_rest_and_stor(tmp_path: Path):
    data = os.urandom(5000)
    with vsftpd_server(tmp_path / "vsftpd") as server:
        transport = FTPTransport(server.settings(), str(tmp_path))

        async with asyncio.timeout(60):
            await transport.connect()
            source = tmp_path / "source"
            source.write_bytes(data)
            job = Job(str(source), 2000, MTIME * 10**9, "a", ".t.tmp")
            left = (await transport.upload(job, lambda done: None)).remote
            job = job._replace(size=5000, replaces=left, append=Append(2000, 2000))
            await transport.upload(job, lambda done: None)
            await transport.close()
        commands = re.findall(r'FTP command: .*"(\w+)', server.log())
    assert (server.files / "a").read_bytes() == data
    places = [at for at, command in enumerate(commands) if command == "REST"]
    assert len(places) == 3
    assert {commands[at + 1] for at in places} == {"STOR"}
    assert "APPE" not in commands
