"""What every transport must do, whatever it speaks. To adopt it::

    class TestMine(TransportContract):            # or NetworkContract, for one that has a network
        @pytest.fixture
        def site(self, tmp_path):
            with my_server(tmp_path / "remote") as server, Relay(server.host, server.port) as relay:
                settings = {"Host": relay.host, "HostPort": relay.port, "Password": "hunter2", ...}
                yield Site(MyTransport, settings, str(tmp_path / "work"), str(tmp_path / "remote"), relay)

``settings`` are whole (every key the transport reads), ``workdir`` exists, ``folder`` is where the remote
files can be seen on this machine, empty at first and not at the top of a file system.

``ResumeContract``, ``AppendContract`` and ``CopyContract`` are for transports that can do more; each goes in front of the others
(``class TestMine(AppendContract, NetworkContract)``) and needs ``site.relay`` where its cases ask for ``relay``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, SourceError, TransportLost
from pysubtask.testing import Relay
from pysubtask.transports.base import Append, Copy, Job, RemoteStat, Sent, Transport
from tests.support.helpers import wait_until

MTIME = 1_600_000_001_000_000_000
LIMIT = 60  # seconds; no test here comes near it unless something hangs


class Site(NamedTuple):
    """A server and the way to it. ``relay`` stands in front of the server; ``impossible`` holds keys of
    ``NAMES`` that this kind of server cannot hold and must refuse; ``temps``: uploads are to be seen under their temp
    names."""

    kind: type[Transport]
    settings: dict[str, Any]
    workdir: str
    folder: str
    relay: Relay | None = None
    impossible: frozenset[str] = frozenset()
    temps: bool = True

    def make(self, **overrides: Any) -> Transport:
        """A transport that is not connected, some settings replaced."""
        return self.kind({**self.settings, **overrides}, self.workdir)

    def read(self, name: str) -> bytes | None:
        """The bytes now under a remote name, or None."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def files(self) -> set[str]:
        """Every file that the server holds, as remote names."""
        return {os.path.relpath(os.path.join(top, name), self.folder) for top, _, names in os.walk(self.folder) for name in names}


NAMES = {
    "spaces": " a b  c ",
    "commas": "a,b,,c.csv",
    "quotes": 'it\'s "so" `x`',
    "unicode": "Grüße-数据-🚀.csv",
    "newline": "a\nb\r.csv",
    "leading dash": "-rf",
    "leading dots": "...x",
    "hidden": ".hidden",
    "tilde": "~",
    "backslash": "a\\b",
    "glob": "*?[x]{y}",
    "format": "%d%s%%{0}",
    "shell": "$(id);&|>x",
    "colon": "c:con",
    "not UTF-8": os.fsdecode(b"\xff\xfe-data-\x80.csv"),
    "255 bytes": "n" * 251 + ".csv",
    "255 bytes of unicode": "é" * 127 + "x",
    "folders of all kinds": os.fsdecode(b"-a b/c,d/\xff\xfe/\xc3\xa9/'q'.csv"),
}

OUTSIDE = ("../out", "a/../../out", "/out", "..", "", ".", "a/..", "nul\0byte")


ABOUT_FILES = (
    "test_a_folder_that_may_not_be_written",
    "test_a_name_that_is_a_folder",
    "test_a_name_that_leaves_the_folder_is_refused",
    "test_a_parent_that_is_a_file",
    "test_a_source_shorter_than_promised",
    "test_a_source_that_cannot_be_read",
    "test_any_name_the_file_system_allows",
    "test_confirm_is_asked_once_between_last_byte_and_publication",
    "test_confirm_stops_the_publication",
    "test_identity_is_a_url_without_secrets",
    "test_mtime_is_kept_where_the_trait_says_so",
    "test_nested_names_make_their_folders",
    "test_only_the_first_size_bytes_are_sent",
    "test_remove_names_those_that_were_there",
    "test_stale_temps_are_gone_before_the_name_changes",
    "test_stat",
    "test_the_later_of_two_uploads_wins",
    "test_without_an_mtime_the_file_carries_the_servers_time",
)
"""Cases in which the way to the server makes no difference."""

ABOUT_LINK = (
    "test_close_ends_what_is_in_progress",
    "test_a_limit_of_the_rate_holds_for_all_together",
    "test_a_link_that_freezes",
    "test_a_slow_link_is_not_a_dead_one",
    "test_a_link_cut_while_idle",
    "test_close_ends_a_stalled_upload_at_once",
    "test_refused_then_taken",
    "test_a_connect_that_breaks_off",
)
"""Cases in which what the server can do makes no difference."""


def without(*names: str) -> Callable[[type], type]:
    """A class of cases less these, which another class asks of the same code."""

    def less(cases: type) -> type:
        for name in names:
            assert callable(getattr(cases, name)), f"there is no {name}"
            setattr(cases, name, None)
        return cases

    return less


class _Run:
    """One test at work: makes sources and jobs, each with a temp name of its own."""

    def __init__(self, site: Site, place: str) -> None:
        self.site = site
        self.place = place
        self.count = 0
        self.progress: list[int] = []

    def source(self, data: bytes) -> str:
        self.count += 1
        path = os.path.join(self.place, f"source-{self.count}")
        with open(path, "wb") as file:
            file.write(data)
        return path

    def job(self, name: str, data: bytes, **changes: Any) -> Job:
        source = self.source(data)
        folder, slash, _ = name.rpartition("/")
        job = Job(source, len(data), MTIME, name, f"{folder}{slash}.upload-{self.count}.tmp")
        return job._replace(**changes)

    async def put(self, transport: Transport, name: str, data: bytes, **changes: Any) -> Sent:
        return await self.send(transport, self.job(name, data, **changes))

    async def send(self, transport: Transport, job: Job) -> Sent:
        self.progress = []
        async with asyncio.timeout(LIMIT):
            return await transport.upload(job, self.progress.append)

    async def together(self, transport: Transport, jobs: list[Job]) -> list[Sent]:
        """All of them, as many at once as the transport says."""
        places = asyncio.Semaphore(transport.traits.concurrency)

        async def one(job: Job) -> Sent:
            async with places:
                return await transport.upload(job, lambda done: None)

        async with asyncio.timeout(LIMIT):
            return await asyncio.gather(*map(one, jobs))


class _Stop(Exception):
    """What a confirm raises here."""


def _damage(path: str, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _refuse() -> None:
    raise _Stop("not this one")


@contextlib.contextmanager
def watching(site: Site, name: str) -> Iterator[set[bytes | None]]:
    """Everything a reader who hardly rests finds under a remote name."""
    seen: set[bytes | None] = {(last := site.read(name))}
    enough = threading.Event()

    def poll() -> None:
        before = last
        while not enough.wait(0.0005):
            if (now := site.read(name)) != before:
                seen.add(before := now)

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        yield seen
    finally:
        enough.set()
        reader.join()


class TransportContract:
    """The cases that need no network between the transport and the server."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        raise NotImplementedError("a subclass gives the site")

    @pytest.fixture
    def run(self, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[..., Awaitable[None]]], _Run]:
        """Runs ``case(transport, at_work)`` on a connected transport, and closes it whatever happens."""
        place = str(tmp_path_factory.mktemp("sources"))

        def runner(case: Callable[..., Awaitable[None]], **overrides: Any) -> _Run:
            at_work = _Run(site, place)

            async def whole() -> None:
                transport = site.make(**overrides)
                async with asyncio.timeout(LIMIT):
                    await transport.connect()
                try:
                    await case(transport, at_work)
                finally:
                    async with asyncio.timeout(LIMIT):
                        await transport.close()

            asyncio.run(whole())
            return at_work

        return runner

    # --- before and around a connection

    def test_constructing_opens_nothing(self, site: Site):
        handles = "/proc/self/fd"
        before = os.listdir(handles) if os.path.isdir(handles) else []
        threads = threading.active_count()
        transport = site.make()
        assert threading.active_count() == threads
        assert (os.listdir(handles) if before else []) == before
        assert site.files() == set()
        assert site.relay is None or site.relay.accepted == 0
        asyncio.run(transport.close())

    def test_without_a_connection_every_call_is_lost(self, site: Site, tmp_path: Any):
        at_work = _Run(site, str(tmp_path))

        async def case() -> None:
            transport = site.make()
            for _ in range(2):
                for call in (at_work.put(transport, "a", b"x"), transport.stat("a"), transport.remove(["a"])):
                    with pytest.raises(TransportLost):
                        await call
                await transport.connect()
                await transport.close()

        asyncio.run(case())
        assert site.files() == set()

    def test_close_twice_and_connect_again(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"one")
            await transport.close()
            await transport.close()
            await transport.connect()
            await at_work.put(transport, "b", b"two")

        run(case)
        assert (site.read("a"), site.read("b")) == (b"one", b"two")

    def test_identity_is_a_url_without_secrets(self, site: Site):
        transport = site.make(Password="a secret, %41 word")
        identity = site.kind.identity({**site.settings, "Password": "a secret, %41 word"})
        assert "://" in identity
        assert identity == site.kind.identity(site.settings), "another password is not another destination"
        for text in (identity, repr(transport), str(transport), repr(transport.traits)):
            assert "secret" not in text

    def test_close_ends_what_is_in_progress(self, site: Site, run: Any):
        data = os.urandom(4_000_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            moving = asyncio.Event()
            jobs = [at_work.job(f"f{i}", data) for i in range(min(4, transport.traits.concurrency))]
            tasks = [asyncio.ensure_future(transport.upload(job, lambda done: moving.set())) for job in jobs]
            async with asyncio.timeout(LIMIT):
                await moving.wait()
                await transport.close()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(end, TransportLost) for end in ends), ends
            for job, end in zip(jobs, ends, strict=True):
                assert isinstance(end, (Sent, TransportLost)), repr(end)
                assert site.read(job.name) in ((data,) if isinstance(end, Sent) else (None, data))
            await transport.connect()
            for job in jobs:
                again = at_work.job(job.name, b"again", stale=(job.temp,))
                await at_work.send(transport, again)
            assert {site.read(job.name) for job in jobs} == {b"again"}
            # A server that is still busy with what was cut may write a file once more after its removal: the caller asks again.
            async with asyncio.timeout(LIMIT):
                while site.files() != {job.name for job in jobs}:
                    await asyncio.sleep(0.1)
                    await transport.remove([job.temp for job in jobs])

        run(case)

    # --- what arrives

    @pytest.mark.slow
    def test_every_byte_arrives(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            for size in (0, 1, 1000, 32_767, 32_768, 32_769, 261_120, 261_121, 1_048_576, 5_000_003):
                data = os.urandom(size)
                sent = await at_work.put(transport, "data.bin", data)
                assert (sent.remote.size, sent.bytes_sent) == (size, size)
                assert sent.remote == await transport.stat("data.bin")
                assert sent.verified in ("size", "hash")
                assert at_work.progress == sorted(at_work.progress)
                assert at_work.progress[-1:] == [size] or (size == 0 and not at_work.progress)
                assert site.read("data.bin") == data, f"{size} bytes"
                assert site.files() == {"data.bin"}

        run(case)

    def test_only_the_first_size_bytes_are_sent(self, site: Site, run: Any):
        data = os.urandom(300_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            sent = await at_work.put(transport, "grown", data, size=123_456)
            assert sent.remote.size == sent.bytes_sent == 123_456

        run(case)
        assert site.read("grown") == data[:123_456]

    def test_mtime_is_kept_where_the_trait_says_so(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            sent = await at_work.put(transport, "a", b"x")
            visible = int(os.stat(os.path.join(site.folder, "a")).st_mtime)
            if transport.traits.keeps_mtime:
                assert visible == MTIME // 10**9
            assert sent.remote.mtime in (None, visible)

        run(case)

    def test_without_an_mtime_the_file_carries_the_servers_time(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            os.utime(source := at_work.source(b"x"), (1, 1))
            await at_work.put(transport, "a", b"x", source=source, mtime_ns=None)

        run(case)
        assert abs(os.stat(os.path.join(site.folder, "a")).st_mtime - time.time()) < 3600

    def test_any_name_the_file_system_allows(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            expected = set()
            for kind, name in NAMES.items():
                data = kind.encode()
                if kind in site.impossible:
                    with pytest.raises(FileRefused):
                        await at_work.put(transport, name, data)
                    continue
                for content in (b"old", data):
                    await at_work.put(transport, name, content)
                    stat = await transport.stat(name)
                    assert stat is not None and stat.size == len(content), kind
                assert site.read(name) == data, kind
                expected.add(name)
            assert site.files() == expected

        run(case)

    def test_a_name_that_leaves_the_folder_is_refused(self, site: Site, run: Any):
        outside = os.path.join(os.path.dirname(os.path.abspath(site.folder)), "out")
        with open(outside, "wb") as file:
            file.write(b"not yours")

        async def case(transport: Transport, at_work: _Run) -> None:
            for name in OUTSIDE:
                calls = (
                    at_work.put(transport, name, b"x", temp=".t.tmp"),
                    at_work.put(transport, "inside", b"x", temp=name),
                    at_work.put(transport, "inside", b"x", stale=(name,)),
                    transport.stat(name),
                    transport.remove([name]),
                )
                for place, call in enumerate(calls):
                    with pytest.raises(FileRefused):
                        await call
                        pytest.fail(f"call {place} took {name!r}")
            await at_work.put(transport, "fine", b"x")

        run(case)
        assert site.files() == {"fine"}
        assert not os.path.exists("/out")
        with open(outside, "rb") as file:
            assert file.read() == b"not yours"

    def test_nested_names_make_their_folders(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.together(transport, [at_work.job(name, name.encode()) for name in names])

        names = {"a/b/c/1", "a/b/c/2", "a/b/3", "a/d/e/4", "5"}
        run(case)
        assert {name: site.read(name) for name in site.files()} == {name: name.encode() for name in names}

    @pytest.mark.slow
    def test_many_at_once_arrive_intact(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            files = {f"folder {i % 3}/file {i}": os.urandom(i * 9_973 % 200_000) for i in range(40)}
            sent = await at_work.together(transport, [at_work.job(name, data) for name, data in files.items()])
            assert [one.remote.size for one in sent] == [len(data) for data in files.values()]
            assert {name: site.read(name) for name in site.files()} == files

        run(case)

    @pytest.mark.slow
    def test_a_limit_of_the_rate_holds_for_all_together(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            if transport.pace is None:
                return
            begun = time.monotonic()
            await at_work.together(transport, [at_work.job(f"f{number}", os.urandom(100_000)) for number in range(4)])
            assert time.monotonic() - begun >= 0.5, "400,000 bytes, a quarter of a second's at once"
            transport.pace.rate = 0
            begun = time.monotonic()
            await at_work.put(transport, "free", os.urandom(1_500_000))
            assert time.monotonic() - begun < 4

        run(case, RateLimit=300_000)

    # --- whole or not at all

    @pytest.mark.slow
    def test_a_reader_sees_only_whole_versions(self, site: Site, run: Any):
        versions: list[bytes] = [os.urandom(1_500_000 + 1000 * i) for i in range(6)]

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "live", versions[0])
            with watching(site, "live") as seen:
                for version in versions[1:]:
                    await at_work.put(transport, "live", version)
                    assert site.read("live") == version
            allowed: set[bytes | None] = {*versions, *([] if transport.traits.atomic_replace else [None])}
            assert seen and not seen - allowed, {len(one) if one is not None else None for one in seen - allowed}

        run(case)
        assert site.files() == {"live"}

    def test_confirm_is_asked_once_between_last_byte_and_publication(self, site: Site, run: Any):
        data = os.urandom(700_000)
        found: list[tuple[bytes | None, int]] = []

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            job = at_work.job("a", data)
            temp = os.path.join(site.folder, job.temp)

            def confirm() -> None:
                found.append((site.read("a"), os.path.getsize(temp) if site.temps else len(data)))

            await at_work.send(transport, job._replace(confirm=confirm))

        run(case)
        assert found == [(b"old", len(data))]
        assert site.read("a") == data

    def test_confirm_stops_the_publication(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            for name in ("a", "new", "folder/new"):
                with pytest.raises(_Stop):
                    await at_work.put(transport, name, os.urandom(100_000), confirm=_refuse)
            assert site.read("a") == b"old"
            assert site.files() == {"a"}
            await at_work.put(transport, "folder/new", b"now")

        run(case)
        assert site.files() == {"a", "folder/new"}

    def test_a_source_shorter_than_promised(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            for there in (0, 1, 99_999):
                with pytest.raises(SourceError):
                    await at_work.put(transport, "a", b"x" * there, size=100_000)
                assert site.read("a") == b"old"
                await at_work.put(transport, "b", b"x")
                assert site.files() == {"a", "b"}

        run(case)

    def test_bytes_that_are_not_those_that_were_copied(self, site: Site, run: Any):
        """A snapshot that the disk damaged, or that somebody replaced, between the copy and the sending."""

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            for size in (1, 100_000, 3_000_000):
                data = os.urandom(size)
                damaged = data[:-1] + bytes([data[-1] ^ 1])
                with pytest.raises(SourceError):
                    await at_work.put(transport, "a", damaged, sha256=hashlib.sha256(data).hexdigest(), confirm=_refuse)
                assert site.read("a") == b"old"
                assert site.files() == {"a"}
            await at_work.put(transport, "b", data, sha256=hashlib.sha256(data).hexdigest())
            assert site.read("b") == data
            await at_work.put(transport, "c", b"", sha256=hashlib.sha256(b"").hexdigest())

        run(case)

    def test_a_source_that_cannot_be_read(self, site: Site, run: Any, tmp_path: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            for source in (str(tmp_path / "nothing here"), str(tmp_path)):
                with pytest.raises(SourceError):
                    await at_work.put(transport, "a", b"xyz", source=source)
                assert site.read("a") == b"old"
                await at_work.put(transport, "b", b"x")
                assert site.files() == {"a", "b"}

        run(case)

    def test_the_later_of_two_uploads_wins(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            for content in (b"a much longer first version", b"short", b"short", b""):
                await at_work.put(transport, "a", content)
                assert site.read("a") == content

        run(case)
        assert site.files() == {"a"}

    def test_stale_temps_are_gone_before_the_name_changes(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "f/a", b"old")
            stale = ("f/.stale 1.tmp", "f/.stale 2.tmp", "f/.never there.tmp")
            for name in stale[:2]:
                _plant(site, name, b"half")
            await at_work.put(transport, "f/a", b"new", stale=stale)

        run(case)
        assert site.files() == {"f/a"}
        assert site.read("f/a") == b"new"

    # --- what the server will not take

    def test_a_parent_that_is_a_file(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "file", b"I am a file")
            for name in ("file/below", "file/far/below"):
                with pytest.raises(FileRefused):
                    await at_work.put(transport, name, b"x")
                assert await transport.stat(name) is None
            await at_work.put(transport, "fine", b"x")

        run(case)
        assert site.files() == {"file", "fine"}
        assert site.read("file") == b"I am a file"

    def test_a_name_that_is_a_folder(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "folder/a", b"x")
            with pytest.raises(FileRefused):
                await at_work.put(transport, "folder", os.urandom(50_000))
            await at_work.put(transport, "fine", b"x")

        run(case)
        assert site.files() == {"folder/a", "fine"}

    def test_a_folder_that_may_not_be_written(self, site: Site, run: Any):
        locked = os.path.join(site.folder, "locked")
        if os.path.isdir("/sys/kernel"):
            os.symlink("/sys/kernel", locked)  # not even root makes files there
        else:
            os.mkdir(locked, 0o555)

        async def case(transport: Transport, at_work: _Run) -> None:
            for name in ("locked/a", "locked/sub/a"):
                with pytest.raises(FileRefused):
                    await at_work.put(transport, name, b"x")
            await at_work.put(transport, "fine", b"x")

        run(case)
        assert site.read("fine") == b"x"

    # --- looking and clearing up

    def test_stat(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            assert await transport.stat("a") is None
            assert await transport.stat("no/such/folder/a") is None
            await at_work.put(transport, "a", b"12345")
            stat = await transport.stat("a")
            assert stat is not None and stat.size == 5
            os.unlink(os.path.join(site.folder, "a"))
            assert await transport.stat("a") is None

        run(case)

    def test_remove_names_those_that_were_there(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            assert await transport.remove([]) == set()
            odd = os.fsdecode(b"f/.\xff '\n.tmp")
            for name in (".one.tmp", "f/.two.tmp", odd, "keep"):
                _plant(site, name, b"x")
            gone = await transport.remove([".one.tmp", "f/.two.tmp", odd, "absent", "no/folder/absent"])
            assert gone == {".one.tmp", "f/.two.tmp", odd}
            assert await transport.remove([".one.tmp"]) == set()

        run(case)
        assert site.files() == {"keep"}


class NetworkContract(TransportContract):
    """The cases with a broken link between the transport and the server; ``site.relay`` is set."""

    size = 1_000_003

    @pytest.fixture
    def relay(self, site: Site) -> Relay:
        assert site.relay is not None
        return site.relay

    @pytest.fixture
    def broken(self, site: Site, run: Any, relay: Relay) -> Callable[..., None]:
        """Breaks one upload by ``arrange(job) -> job``, then sends the same file on a new connection."""
        old, new = os.urandom(70_001), os.urandom(self.size)

        def runner(arrange: Callable[[Job], Job], may_succeed: bool = False, **overrides: Any) -> None:
            async def case(transport: Transport, at_work: _Run) -> None:
                await at_work.put(transport, "f/a", old)
                first = arrange(at_work.job("f/a", new))
                try:
                    await at_work.send(transport, first)
                    assert may_succeed, "the upload went through a broken link"
                    assert site.read("f/a") == new
                except (TransportLost, AttemptFailed):
                    pass
                await transport.close()
                allowed: set[bytes | None] = {old, new, *([] if transport.traits.atomic_replace else [None])}
                assert site.read("f/a") in allowed
                relay.heal()
                await transport.connect()
                assert site.read("f/a") in (old, new), "a connect mends what a broken swap left"
                sent = await at_work.put(transport, "f/a", new, stale=(first.temp,))
                assert sent.remote.size == len(new)
                assert site.read("f/a") == new
                wait_until(lambda: site.files() == {"f/a"}, what="only the file itself")

            run(case, **overrides)

        return runner

    @pytest.mark.parametrize(("percent", "how"), [(1, "fin"), (50, "rst"), (50, "fin"), (99, "rst")])
    def test_a_link_cut_while_the_bytes_go_up(self, broken: Any, relay: Relay, percent: int, how: Any):
        def arrange(job: Job) -> Job:
            relay.drop("up", job.size * percent // 100, how=how)
            return job

        broken(arrange)
        assert relay.drops == 1

    @pytest.mark.parametrize("how", ["rst", "fin"])
    def test_a_link_cut_before_the_last_answers(self, broken: Any, relay: Relay, how: Any):
        def arrange(job: Job) -> Job:
            # From here on the server may do what it is asked, but its answer never comes.
            return job._replace(confirm=lambda: relay.drop("down", 0, how=how))

        broken(arrange)
        assert relay.drops == 1

    @pytest.mark.parametrize("after", [40, 150, 400])
    def test_a_link_cut_among_the_last_answers(self, broken: Any, relay: Relay, after: int):
        """Where publishing takes several steps, each of them may be the last one that was heard of."""

        def arrange(job: Job) -> Job:
            return job._replace(confirm=lambda: relay.drop("down", after))

        broken(arrange, may_succeed=True)

    @pytest.mark.slow
    def test_a_link_cut_when_the_server_has_done_it_and_nobody_heard(self, site: Site, broken: Any, relay: Relay):
        watchers: list[threading.Thread] = []

        def arrange(job: Job) -> Job:
            before = site.read(job.name)

            def cut_when_done() -> None:
                # A server without a replacing rename may need an answer in between: then it never is done.
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: site.read(job.name) != before, 3)
                relay.cut_all()

            def confirm() -> None:
                relay.stall("down")
                watchers.append(threading.Thread(target=cut_when_done))
                watchers[0].start()

            return job._replace(confirm=confirm)

        broken(arrange)
        watchers[0].join()

    @pytest.mark.parametrize("direction", ["up", "down", "both"])
    @pytest.mark.slow
    def test_a_link_that_freezes(self, broken: Any, relay: Relay, direction: Any):
        started = []

        def arrange(job: Job) -> Job:
            relay.stall(direction, after=job.size // 2 if direction == "up" else 0)
            started.append(time.monotonic())
            return job

        broken(arrange, StallSecs=1.5)
        assert time.monotonic() - started[0] < 1.5 + 20

    @pytest.mark.slow
    def test_a_slow_link_is_not_a_dead_one(self, site: Site, run: Any, relay: Relay):
        data = os.urandom(150_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            relay.throttle(60_000, "up")
            await at_work.put(transport, "a", data)

        started = time.monotonic()
        run(case, StallSecs=2)
        assert site.read("a") == data
        assert time.monotonic() - started > 2, "it took longer than the limit of a standstill"

    @pytest.mark.slow
    def test_a_late_rename_does_not_bring_back_an_old_version(self, site: Site, run: Any, relay: Relay):
        old, newer = os.urandom(100_000), os.urandom(50_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"first")
            frozen = relay.connections
            job = at_work.job("a", old, confirm=lambda: [one.stall() for one in frozen] and None)
            with pytest.raises(TransportLost):
                await at_work.send(transport, job)
            await transport.close()
            await transport.connect()
            await at_work.put(transport, "a", newer, stale=(job.temp,))
            for one in frozen:
                one.thaw()
            wait_until(lambda: not set(frozen) & set(relay.connections), what="the end of the first connection")
            assert await transport.stat("a")
            await self.settled(site, newer)
            assert site.files() == {"a"}

        run(case, StallSecs=1.5)

    @pytest.mark.slow
    def test_a_late_upload_does_not_touch_a_newer_version(self, site: Site, run: Any, relay: Relay):
        newer = os.urandom(50_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"first")
            frozen = relay.connections
            for one in frozen:
                one.stall()
            job = at_work.job("a", os.urandom(20_000))
            with pytest.raises(TransportLost):
                await at_work.send(transport, job)
            await transport.close()
            await transport.connect()
            await at_work.put(transport, "a", newer, stale=(job.temp,))
            for one in frozen:
                one.thaw()
            wait_until(lambda: not set(frozen) & set(relay.connections), what="the end of the first connection")
            await self.settled(site, newer)
            assert site.files() - {job.temp} == {"a"}

        run(case, StallSecs=1.5)

    @staticmethod
    async def settled(site: Site, expected: bytes) -> None:
        """The name keeps showing this while a server may still be at work on what came late."""
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            assert site.read("a") == expected
            await asyncio.sleep(0.02)

    def test_a_link_cut_while_idle(self, site: Site, run: Any, relay: Relay):
        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            relay.cut_all()
            with pytest.raises(TransportLost):
                await at_work.put(transport, "a", b"new")
            with pytest.raises(TransportLost):
                await transport.stat("a")
            await transport.close()
            await transport.connect()
            await at_work.put(transport, "a", b"new")

        run(case)
        assert site.read("a") == b"new"

    def test_close_ends_a_stalled_upload_at_once(self, site: Site, run: Any, relay: Relay):
        async def case(transport: Transport, at_work: _Run) -> None:
            relay.stall()
            calls = [
                asyncio.ensure_future(at_work.put(transport, "a", os.urandom(100_000))),
                asyncio.ensure_future(transport.stat("a")),
            ]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20):
                await transport.close()
                ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(end) for end in ends] == [TransportLost, TransportLost]

        run(case, StallSecs=600)

    def test_refused_then_taken(self, site: Site, relay: Relay, tmp_path: Any):
        async def case() -> None:
            at_work, transport = _Run(site, str(tmp_path)), site.make()
            relay.refuse()
            for _ in range(2):
                with pytest.raises(TransportLost):
                    await transport.connect()
            relay.accept()
            await transport.connect()
            await at_work.put(transport, "a", b"x")
            await transport.close()

        asyncio.run(case())
        assert site.read("a") == b"x"

    @pytest.mark.parametrize("fault", ["stall", "drop the greeting", "drop the handshake", "end the handshake"])
    @pytest.mark.slow
    def test_a_connect_that_breaks_off(self, site: Site, relay: Relay, tmp_path: Any, fault: str):
        async def case() -> None:
            at_work, transport = _Run(site, str(tmp_path)), site.make(ConnectTimeoutSecs=2)
            if fault == "stall":
                relay.stall()
            else:
                relay.drop("down", 0 if "greeting" in fault else 100, how="fin" if "end" in fault else "rst")
            async with asyncio.timeout(30):
                with pytest.raises(TransportLost):
                    await transport.connect()
            relay.heal()
            wait_until(lambda: not relay.connections, what="a failed connect leaves nothing open")
            transport = site.make()
            await transport.connect()
            await at_work.put(transport, "a", b"x")
            await transport.close()

        asyncio.run(case())
        assert site.read("a") == b"x"


def _plant(site: Site, name: str, data: bytes) -> None:
    path = os.path.join(site.folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


class ResumeContract:
    """What a transport must do that goes on with an upload that was cut."""

    resume_size = 12_000_000

    async def cut(self, transport: Transport, at_work: _Run, relay: Relay, job: Job, after: int) -> Job:
        """Send it over a link that ends after so many bytes, when the server has dealt with them; the job to go on with."""
        noted: list[str] = []
        relay.stall("up", after=after)
        sending = asyncio.ensure_future(at_work.send(transport, job._replace(note=noted.append)))
        async with asyncio.timeout(LIMIT):
            seen = -1
            while not relay.stalled or seen != len(at_work.progress):
                seen = len(at_work.progress)
                await asyncio.sleep(0.1)
        relay.cut_all()
        with pytest.raises(TransportLost):
            await sending
        await transport.close()
        relay.heal()
        await transport.connect()
        assert noted and noted[-1], f"nothing noted of {after:,} bytes"
        return job._replace(resume=noted[-1])

    @pytest.mark.slow
    def test_an_upload_cut_repeatedly_costs_little_over_its_size(self, site: Site, run: Any, relay: Relay):
        data = os.urandom(self.resume_size)
        size, cuts = len(data), [random.randrange(len(data) // 8, len(data) // 6) for _ in range(5)]

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "a", b"old")
            before = relay.up
            job = at_work.job("a", data)
            for cut in cuts:
                job = await self.cut(transport, at_work, relay, job, cut)
                assert site.read("a") == b"old"
            sent = await at_work.send(transport, job)
            assert relay.up - before < 1.2 * size, (relay.up - before, cuts)
            assert (sent.remote.size, sent.remote) == (size, await transport.stat("a"))
            assert sent.bytes_sent < 0.5 * size
            assert at_work.progress[0] > 0.5 * size
            assert at_work.progress == sorted(at_work.progress) and at_work.progress[-1] == size

        run(case)
        assert site.read("a") == data, cuts
        assert site.files() == {"a"}

    @pytest.mark.slow
    @pytest.mark.parametrize("fate", ["gone", "shorter", "longer"])
    def test_a_temp_that_was_meddled_with(self, site: Site, run: Any, relay: Relay, fate: str):
        data = os.urandom(4_000_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            job = await self.cut(transport, at_work, relay, at_work.job("f/a", data), len(data) // 2)
            temp = os.path.join(site.folder, job.temp)
            if fate == "gone":
                os.unlink(temp)
            else:
                os.truncate(temp, 100_000 if fate == "shorter" else len(data) + 5)
            sent = await at_work.send(transport, job)
            assert sent.remote.size == len(data)

        run(case)
        assert site.read("f/a") == data
        assert site.files() == {"f/a"}

    def test_the_end_is_that_of_any_upload(self, site: Site, run: Any, relay: Relay):
        """Confirmed once, stopped by it; the temp that is gone on with is no stale one, and goes where nothing comes of it."""
        data = os.urandom(4_000_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "f/a", b"old")
            job = await self.cut(transport, at_work, relay, at_work.job("f/a", data), len(data) // 2)
            _plant(site, "f/.stale.tmp", b"half")
            with pytest.raises(_Stop):
                await at_work.send(transport, job._replace(confirm=_refuse, stale=("f/.stale.tmp", job.temp)))
            assert at_work.progress[0] > 1_000_000
            assert site.files() == {"f/a"} and site.read("f/a") == b"old"
            sent = await at_work.send(transport, job)
            if transport.traits.keeps_mtime:
                assert sent.remote.mtime == MTIME // 10**9

        run(case)
        assert site.read("f/a") == data
        assert site.files() == {"f/a"}

    @pytest.mark.parametrize("where", ["in what was sent", "in the rest"])
    def test_bytes_that_are_not_those_that_were_copied_after_a_cut(self, site: Site, run: Any, relay: Relay, where: str):
        data = os.urandom(4_000_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            await at_work.put(transport, "f/a", b"old")
            job = at_work.job("f/a", data, sha256=hashlib.sha256(data).hexdigest())
            job = await self.cut(transport, at_work, relay, job, len(data) // 2)
            good = job._replace(source=at_work.source(data))
            _damage(job.source, 1_000 if where == "in what was sent" else len(data) - 1)
            with pytest.raises(SourceError):
                await at_work.send(transport, job._replace(confirm=_refuse))
            assert site.files() == {"f/a"} and site.read("f/a") == b"old"
            await at_work.send(transport, good)

        run(case)
        assert site.read("f/a") == data

    def test_notes_that_mean_nothing(self, site: Site, run: Any):
        async def case(transport: Transport, at_work: _Run) -> None:
            for text in ("{", "[1]", "null", '"x"', "{}", '{"offset": -5}', '{"offset": 1e99}', '{"offset": 10, "size": 10}'):
                data = os.urandom(30_000)
                job = at_work.job("a", data, resume=text)
                _plant(site, job.temp, b"of somebody else")
                await at_work.send(transport, job)
                assert site.read("a") == data, text
                assert site.files() == {"a"}

        run(case)


class AppendContract:
    """What a transport must do whose traits say ``appends``."""

    async def put_first(self, transport: Transport, at_work: _Run, data: bytes, name: str = "a") -> RemoteStat:
        sent = await at_work.put(transport, name, data)
        assert transport.traits.appends
        return sent.remote

    @staticmethod
    def appending(at_work: _Run, data: bytes, left: RemoteStat, until: int | None = None, **changes: Any) -> Job:
        job = at_work.job("a", data, replaces=left, append=Append(left.size, left.size if until is None else until))
        return job._replace(mtime_ns=MTIME + 10**10, **changes)

    def test_only_what_is_new_is_sent(self, site: Site, run: Any):
        data = os.urandom(900_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:500_000])
            for size in (500_001, 500_001, 565_000, 900_000):
                inode = os.stat(os.path.join(site.folder, "a")).st_ino
                before, had = site.relay.up if site.relay else 0, left.size
                sent = await at_work.send(transport, self.appending(at_work, data[:size], left))
                assert site.read("a") == data[:size]
                assert sent.bytes_sent == size - had
                assert site.relay is None or site.relay.up - before < 1.05 * sent.bytes_sent + 8_000
                assert sent.remote == await transport.stat("a")
                assert sent.remote.size == size
                assert at_work.progress == sorted(at_work.progress) and at_work.progress[-1:] in ([size], [])
                assert os.stat(os.path.join(site.folder, "a")).st_ino == inode, "in place"
                if transport.traits.keeps_mtime:
                    assert sent.remote.mtime == MTIME // 10**9 + 10
                left = sent.remote

        run(case)
        assert site.files() == {"a"}

    @pytest.mark.parametrize("begins", ["whole", "whole, and the state before it", "at the end"])
    def test_bytes_that_differ_from_the_copied_ones_are_not_appended(self, site: Site, run: Any, begins: str):
        """A reader sees each byte as it comes, so that not one may go."""
        old = os.urandom(500_000)
        data = old + os.urandom(100_000)
        base = len(old) - 1_000 if begins == "at the end" else 0
        prefix = None if begins == "whole" else (len(old), hashlib.sha256(old))

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, old)
            job = self.appending(at_work, data, left, sha256=hashlib.sha256(data).hexdigest(), base=base, prefix=prefix)
            job = job._replace(source=at_work.source(data[base:]))
            _damage(job.source, len(data) - base - 1)
            with pytest.raises(SourceError):
                await at_work.send(transport, job)
            assert site.read("a") == old
            await at_work.send(transport, job._replace(source=at_work.source(data[base:])))

        run(case)
        assert site.read("a") == data

    @pytest.mark.parametrize("fate", ["touched", "rewritten", "shorter", "longer", "gone", "a folder"])
    def test_a_file_that_is_not_as_left_stays_as_it_is(self, site: Site, run: Any, fate: str):
        data = os.urandom(200_000)
        path = os.path.join(site.folder, "a")

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:100_000])
            had = os.stat(path)
            if fate in ("gone", "a folder"):
                os.unlink(path)
            if fate == "a folder":
                os.mkdir(path)
            elif fate == "rewritten":
                _plant(site, "a", os.urandom(100_000))
            elif fate in ("shorter", "longer"):
                os.truncate(path, 100_000 + (1 if fate == "longer" else -1))
                os.utime(path, ns=(had.st_mtime_ns, had.st_mtime_ns))
            elif fate == "touched":
                os.utime(path)
            found, content = None if fate == "gone" else os.stat(path), None if fate == "a folder" else site.read("a")
            asked: list[bool] = []
            with pytest.raises(NotAsLeft):
                await at_work.send(transport, self.appending(at_work, data, left, confirm=lambda: asked.append(True)))
            assert not asked
            assert found is None or (os.stat(path).st_mtime_ns, os.stat(path).st_ino) == (found.st_mtime_ns, found.st_ino)
            assert fate == "a folder" or site.read("a") == content
            assert site.files() <= {"a"}
            if fate != "a folder":
                await at_work.put(transport, "a", data)
                assert site.read("a") == data

        run(case)

    def test_an_append_that_was_cut_is_finished(self, site: Site, run: Any):
        data = os.urandom(300_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            for has in (0, 1, 99_999, 100_000, 150_000, 200_000):
                left = await self.put_first(transport, at_work, data[: min(has, 100_000)])
                _plant(site, "a", data[:has])
                sent = await at_work.send(transport, self.appending(at_work, data, left, until=200_000))
                assert site.read("a") == data
                assert sent.bytes_sent == 300_000 - has
                assert sent.remote == await transport.stat("a")

        run(case)
        assert site.files() == {"a"}

    def test_an_append_that_was_cut_upon_another_file(self, site: Site, run: Any):
        data = os.urandom(300_000)
        other = bytes(150_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:100_000])
            last = bytes([data[149_999] ^ 1])
            for found in (data[:99_999], data[:200_001], other, data[:120_000] + other[:30_000], data[:149_999] + last, b"", None):
                os.unlink(os.path.join(site.folder, "a"))
                if found is not None:
                    _plant(site, "a", found)
                with pytest.raises(NotAsLeft):
                    await at_work.send(transport, self.appending(at_work, data, left, until=200_000))
                assert site.read("a") == found
                _plant(site, "a", b"")

        run(case)

    def test_confirm_is_asked_before_the_first_byte(self, site: Site, run: Any):
        data = os.urandom(200_000)
        found: list[bytes | None] = []

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:100_000])
            with pytest.raises(_Stop):
                await at_work.send(transport, self.appending(at_work, data, left, confirm=_refuse))
            assert site.read("a") == data[:100_000]
            job = self.appending(at_work, data, left, confirm=lambda: found.append(site.read("a")))
            await at_work.send(transport, job)

        run(case)
        assert found == [data[:100_000]]
        assert site.read("a") == data

    def test_stale_temps_are_gone_when_it_is_done(self, site: Site, run: Any):
        data = os.urandom(2_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:1_000])
            _plant(site, ".stale.tmp", b"half")
            await at_work.send(transport, self.appending(at_work, data, left, stale=(".stale.tmp", ".never there.tmp")))

        run(case)
        assert site.files() == {"a"}
        assert site.read("a") == data

    @pytest.mark.slow
    @pytest.mark.parametrize("whole_records", [True])
    def test_a_reader_sees_a_prefix_however_often_it_is_cut(self, site: Site, run: Any, relay: Relay, whole_records: bool):
        data = b"".join(b"%d," % i * random.randrange(20) + b"\n" for i in range(20_000))
        start = data.index(b"\n", 300_000) + 1
        parts = len(data) - start
        wrong: list[int] = []
        enough = threading.Event()

        def poll() -> None:
            while not enough.wait(0.0005):
                seen = site.read("a") or b""
                if not data.startswith(seen) or len(seen) < start:
                    wrong.append(len(seen))

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:start])
            reader = threading.Thread(target=poll)
            reader.start()
            try:
                cuts, has = list[int](), 0
                # How much of each attempt arrives is the kernel's affair: a reset takes what the server has not read yet.
                while len(cuts) < 3 or has < start + 20_000:
                    cuts.append(cut := random.randrange(20_000, parts // 4))
                    job = self.appending(at_work, data, left, until=len(data), whole_records=whole_records)
                    relay.drop("up", cut)
                    with pytest.raises((TransportLost, AttemptFailed)):
                        await at_work.send(transport, job)
                    await transport.close()
                    relay.heal()
                    await transport.connect()
                    # What was on its way arrives yet.
                    has = len(await self.at_rest(site))
                    assert not whole_records or data[has - 1 : has] == b"\n", (cuts, has)
                before = relay.up
                sent = await at_work.send(transport, self.appending(at_work, data, left, until=len(data)))
                assert relay.up - before < 1.1 * sent.bytes_sent + 8_000
                assert sent.bytes_sent < len(data) - has + 10_000
                assert sent.bytes_sent < parts - 10_000
            finally:
                enough.set()
                reader.join()

        run(case)
        assert not wrong
        assert site.read("a") == data

    @staticmethod
    async def at_rest(site: Site) -> bytes:
        """What the name shows when it has not changed for a while."""
        seen, since = site.read("a") or b"", time.monotonic()
        while time.monotonic() - since < 0.2:
            await asyncio.sleep(0.02)
            now = site.read("a") or b""
            if now != seen:
                seen, since = now, time.monotonic()
        return seen

    @pytest.mark.slow
    def test_a_late_append_does_not_touch_a_newer_version(self, site: Site, run: Any, relay: Relay):
        data, newer = os.urandom(200_000), os.urandom(50_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:100_000])
            frozen = relay.connections
            job = self.appending(at_work, data, left, confirm=lambda: [one.stall() for one in frozen] and None)
            with pytest.raises(TransportLost):
                await at_work.send(transport, job)
            await transport.close()
            await transport.connect()
            await at_work.put(transport, "a", newer, stale=(job.temp,))
            for one in frozen:
                one.thaw()
            wait_until(lambda: not set(frozen) & set(relay.connections), what="the end of the first connection")
            await NetworkContract.settled(site, newer)
            assert site.files() == {"a"}

        run(case, StallSecs=1)

    @pytest.mark.slow
    def test_a_late_append_changes_nothing_of_its_successor(self, site: Site, run: Any, relay: Relay):
        data = os.urandom(200_000)

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_first(transport, at_work, data[:100_000])
            frozen = relay.connections
            job = self.appending(at_work, data[:150_000], left, confirm=lambda: [one.stall() for one in frozen] and None)
            with pytest.raises(TransportLost):
                await at_work.send(transport, job)
            await transport.close()
            await transport.connect()
            await at_work.send(transport, self.appending(at_work, data, left, until=150_000))
            for one in frozen:
                one.thaw()
            wait_until(lambda: not set(frozen) & set(relay.connections), what="the end of the first connection")
            await NetworkContract.settled(site, data)

        run(case, StallSecs=1)


class CopyContract:
    """What a transport must do whose traits say ``copies``."""

    async def put_old(self, transport: Transport, at_work: _Run, data: bytes) -> RemoteStat:
        sent = await at_work.put(transport, "a", data)
        assert transport.traits.copies
        return sent.remote

    @pytest.mark.slow
    def test_what_the_server_has_is_not_sent(self, site: Site, run: Any):
        old = os.urandom(3_000_000)
        piece = os.urandom(100_000)
        cases = {
            "inserted at the front": (piece + old, (Copy(100_000, 3_000_000, 0),)),
            "inserted in the middle": (old[:7] + piece + old[7:], (Copy(0, 7, 0), Copy(100_007, 2_999_993, 7))),
            "grown at the end": (old + piece, (Copy(0, 3_000_000, 0),)),
            "cut at the front": (old[1_000:], (Copy(0, 2_999_000, 1_000),)),
            "turned round": (old[1_500_000:] + old[:1_500_000], (Copy(0, 1_500_000, 1_500_000), Copy(1_500_000, 1_500_000, 0))),
            "every tenth": (
                b"".join(piece[i * 100 : i * 100 + 100] + old[i * 1000 : i * 1000 + 900] for i in range(500)),
                tuple(Copy(i * 1000 + 100, 900, i * 1000) for i in range(500)),
            ),
            "nothing kept but one byte": (piece + old[5:6], (Copy(100_000, 1, 5),)),
        }

        async def case(transport: Transport, at_work: _Run) -> None:
            for kind, (new, copies) in cases.items():
                left = await self.put_old(transport, at_work, old)
                before = site.relay.up if site.relay else 0
                asked: list[bytes | None] = []
                sent = await at_work.put(
                    transport,
                    "a",
                    new,
                    replaces=left,
                    copies=copies,
                    mtime_ns=MTIME + 10**10,
                    confirm=lambda seen=asked: seen.append(site.read("a")),
                )
                assert site.read("a") == new, kind
                assert asked == [old]
                assert sent.bytes_sent == len(new) - sum(one.size for one in copies), kind
                assert site.relay is None or site.relay.up - before < 1.05 * sent.bytes_sent + 8_000 + 400 * len(copies), kind
                assert sent.remote == await transport.stat("a")
                assert sent.remote[:2] == (len(new), MTIME // 10**9 + 10)
                assert at_work.progress == sorted(at_work.progress) and at_work.progress[-1] == len(new)
                assert site.files() == {"a"}

        run(case)

    @pytest.mark.parametrize("at", [50, 100_050])
    def test_bytes_that_differ_from_the_copied_ones_fail_a_patch(self, site: Site, run: Any, at: int):
        """In what is sent, and in what the server copies: what it has then is not what the snapshot says."""
        old, piece = os.urandom(200_000), os.urandom(100_000)
        new = piece + old

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_old(transport, at_work, old)
            damaged = new[:at] + bytes([new[at] ^ 1]) + new[at + 1 :]
            with pytest.raises(SourceError):
                await at_work.put(
                    transport,
                    "a",
                    damaged,
                    replaces=left,
                    copies=(Copy(100_000, 200_000, 0),),
                    confirm=_refuse,
                    sha256=hashlib.sha256(new).hexdigest(),
                )
            assert site.read("a") == old and site.files() == {"a"}

        run(case)

    @pytest.mark.parametrize("fate", ["touched", "shorter", "gone", "a folder"])
    def test_a_file_that_is_not_as_left_is_not_copied_from(self, site: Site, run: Any, fate: str):
        old, path = os.urandom(100_000), os.path.join(site.folder, "a")

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_old(transport, at_work, old)
            if fate in ("gone", "a folder"):
                os.unlink(path)
            if fate == "a folder":
                os.mkdir(path)
            elif fate == "shorter":
                os.truncate(path, 99_999)
                os.utime(path, (MTIME // 10**9, MTIME // 10**9))
            elif fate == "touched":
                os.utime(path)
            content = None if fate == "a folder" else site.read("a")
            with pytest.raises(NotAsLeft):
                await at_work.put(transport, "a", old + b"new", replaces=left, copies=(Copy(0, 100_000, 0),), confirm=_refuse)
            assert fate == "a folder" or site.read("a") == content
            assert site.files() == (set() if fate in ("gone", "a folder") else {"a"})

        run(case)

    @pytest.mark.slow
    def test_a_reader_sees_only_whole_versions_of_what_is_copied(self, site: Site, run: Any, relay: Relay):
        old, piece = os.urandom(2_000_000), os.urandom(200_000)
        new = b"".join(piece[i * 20_000 : (i + 1) * 20_000] + old[i * 200_000 : (i + 1) * 200_000] for i in range(10))
        copies = tuple(Copy(i * 220_000 + 20_000, 200_000, i * 200_000) for i in range(10))

        async def case(transport: Transport, at_work: _Run) -> None:
            left = await self.put_old(transport, at_work, old)
            stale: tuple[str, ...] = ()
            with watching(site, "a") as seen:
                for cut in [random.randrange(500, 200_000) for _ in range(3)]:
                    relay.drop("up", cut)
                    job = at_work.job("a", new, replaces=left, copies=copies, stale=stale)
                    with pytest.raises(TransportLost):
                        await at_work.send(transport, job)
                    stale = (*stale, job.temp)
                    await transport.close()
                    relay.heal()
                    await transport.connect()
                with pytest.raises(_Stop):
                    await at_work.put(transport, "a", new, replaces=left, copies=copies, confirm=_refuse)
                await at_work.put(transport, "a", new, replaces=left, copies=copies, stale=stale)
            assert seen == {old, new} or seen == {old}

        run(case)
        assert site.read("a") == new
        assert site.files() == {"a"}
