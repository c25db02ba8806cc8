"""What only the Dropbox transport does: resume, revisions, pauses, one call for many, against the stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, ConfigError, FileRefused, LoginRefused, ServerBusy, SourceChanged, TransportLost
from pysubtask.testing.servers.dropbox import DropboxServer, dropbox_server
from pysubtask.transports.base import Job, RemoteStat, Sent
from pysubtask.transports.dropbox import DropboxTransport

MIB = 2**20
MTIME = 1_600_000_001_000_000_000
UPLOAD, START, APPEND = "files/upload", "files/upload_session/start", "files/upload_session/append_v2"
FINISH = "files/upload_session/finish_batch_v2"
_folders = itertools.count()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path_factory.mktemp("dropbox")) as server:
        yield server


@dataclasses.dataclass
class Site:
    """A folder of its own in the account."""

    server: DropboxServer
    name: str
    place: Path
    notes: list[str] = dataclasses.field(default_factory=list)
    progress: list[int] = dataclasses.field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.server.folder / self.name

    def make(self, **settings: Any) -> DropboxTransport:
        whole = self.server.settings(HostPath=f"/{self.name}", **{"ChunkBytes": 256 * 1024, "StallSecs": 5, **settings})
        return DropboxTransport(whole, str(self.place))

    def job(self, name: str, data: bytes, **changes: Any) -> Job:
        source = self.place / f"source {name.replace('/', '_')} {len(data)} {os.urandom(4).hex()}"
        source.write_bytes(data)
        return Job(str(source), len(data), MTIME, name, f".{name}.temp", note=self.notes.append)._replace(**changes)

    async def put(self, transport: DropboxTransport, job: Job) -> Sent:
        return await transport.upload(job, self.progress.append)

    def calls(self, *routes: str) -> int:
        return self.server.count(*routes)

    @contextlib.asynccontextmanager
    async def connected(self, **settings: Any) -> AsyncIterator[DropboxTransport]:
        transport = self.make(**settings)
        try:
            async with asyncio.timeout(60):
                await transport.connect()
                yield transport
        finally:
            await transport.close()


@pytest.fixture
def site(running: DropboxServer, tmp_path: Path) -> Iterator[Site]:
    running.calls.clear()
    yield Site(running, f"site {next(_folders)}", tmp_path)
    running.heal()
    running.restore()
    running.space(None)
    running.lock_contention = False
    running.commit_secs = 0


# --- how it travels


async def test_a_small_file_alone_is_one_call(site: Site):
    async with site.connected() as transport:
        before = len(site.server.calls)
        sent = await site.put(transport, site.job("a", b"x" * 1000))
        assert [call.route for call in site.server.calls[before:]] == [UPLOAD]
        assert sent.verified == "hash" and sent.remote.rev and sent.remote.hash
        assert sent.remote.mtime == MTIME // 10**9


async def test_the_next_version_of_a_known_file_is_one_call_too(site: Site):
    async with site.connected() as transport:
        first = await site.put(transport, site.job("a", b"one"))
        before = len(site.server.calls)
        second = await site.put(transport, site.job("a", b"two", replaces=first.remote))
        assert [call.route for call in site.server.calls[before:]] == [UPLOAD]
        assert second.remote.rev != first.remote.rev
    assert (site.folder / "a").read_bytes() == b"two"


async def test_a_heartbeat_is_one_call_each_time(site: Site):
    """What is not in the queue has no known revision; the transport remembers it."""

    async with site.connected() as transport:
        for beat in range(3):
            before = len(site.server.calls)
            await site.put(transport, site.job("host.heartbeat", b"70\n%d" % beat, mtime_ns=None))
            assert [call.route for call in site.server.calls[before:]] == [UPLOAD]


@pytest.mark.slow
async def test_many_small_files_are_published_by_few_calls(site: Site):
    site.server.lock_contention = True  # commits that overlap would be refused
    site.server.commit_secs = 0.05
    files = {f"d{n % 3}/f{n}": os.urandom(2000) for n in range(100)}

    async with site.connected() as transport:
        jobs = [site.job(name, data) for name, data in files.items()]
        sent = await asyncio.gather(*(site.put(transport, job) for job in jobs))
        assert all(one.verified == "hash" and one.bytes_sent == 2000 for one in sent)
    assert {str(path.relative_to(site.folder)): path.read_bytes() for path in site.folder.rglob("f*")} == files
    assert site.calls(START) == 100 and site.calls(FINISH) <= 2 and site.calls("write") <= 102


async def test_a_refused_file_among_many_is_the_only_one(site: Site):
    async with site.connected() as transport:
        names = ["a", "b/desktop.ini", "c", "d\\e", "f"]
        ends = await asyncio.gather(*(site.put(transport, site.job(name, b"x")) for name in names), return_exceptions=True)
        assert [type(end) for end in ends] == [Sent, FileRefused, Sent, FileRefused, Sent]
        assert "does not take this name" in str(ends[1])
    assert sorted(path.name for path in site.folder.rglob("*") if path.is_file()) == ["a", "c", "f"]


# --- going on from where it was cut


@pytest.mark.slow
async def test_an_upload_goes_on_where_it_was_cut(site: Site):
    data = os.urandom(3 * MIB + 17)

    async with site.connected() as transport:
        job, done = site.job("big", data), 0
        for cut in range(1, 4):
            site.server.cut(APPEND, 100_000 * cut)
            site.progress.clear()
            with pytest.raises(TransportLost):
                await site.put(transport, job)
            await transport.close()
            await transport.connect()
            job = job._replace(resume=site.notes[-1])
            done = max([done, *site.progress])
        site.progress.clear()
        sent = await site.put(transport, job)
        assert site.progress[0] == done, "it says at once how far it is"
        assert sent.bytes_sent <= len(data) - done
        assert sent.remote.size == len(data)
    assert (site.folder / "big").read_bytes() == data
    assert site.server.content_bytes < 1.35 * len(data)
    assert site.calls(START) == 1


async def test_a_lost_answer_to_an_append_costs_no_bytes(site: Site):
    data = os.urandom(2 * MIB)

    async with site.connected() as transport:
        job = site.job("big", data)
        site.server.lose_answer(APPEND)
        with pytest.raises(TransportLost):
            await site.put(transport, job)
        sent = await site.put(transport, job._replace(resume=site.notes[-1]))
        assert sent.remote.size == len(data)
    assert (site.folder / "big").read_bytes() == data
    assert site.server.content_bytes == len(data), "the session told its true offset before anything was sent again"


async def test_a_lost_reply_to_the_last_append_goes_on_to_the_end(site: Site):
    data = os.urandom(600_000)

    async with site.connected() as transport:
        job = site.job("big", data)
        site.server.lose_answer(APPEND, times=1)
        with pytest.raises(TransportLost):
            await site.put(transport, job)
        job = job._replace(resume=site.notes[-1])
        site.server.lose_answer(APPEND, times=2)
        with pytest.raises(TransportLost):  # the probe
            await site.put(transport, job)
        with pytest.raises(TransportLost):  # the rest
            await site.put(transport, job._replace(resume=site.notes[-1]))
        sent = await site.put(transport, job._replace(resume=site.notes[-1]))
        assert sent.remote.size == len(data)
    assert (site.folder / "big").read_bytes() == data
    assert site.server.content_bytes <= len(data) + 256 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("forget", ["session", "note", "used"])
async def test_a_session_that_is_gone_begins_anew(site: Site, forget: str):
    data = os.urandom(MIB)

    async with site.connected() as transport:
        job = site.job("big", data)
        if forget == "used":
            other = site.job("other", os.urandom(MIB))
            await site.put(transport, other)
        else:
            site.server.cut(APPEND, 10_000)
            with pytest.raises(TransportLost):
                await site.put(transport, job)
        note = "not a note" if forget == "note" else site.notes[-1]
        if forget == "session":
            site.server.forget_sessions()
        assert (await site.put(transport, job._replace(resume=note))).bytes_sent == len(data)
    assert (site.folder / "big").read_bytes() == data


async def test_a_lost_answer_to_the_end_is_found_done(site: Site):
    data = os.urandom(MIB)

    async with site.connected() as transport:
        job = site.job("big", data)
        site.server.lose_answer(FINISH)
        with pytest.raises(TransportLost):
            await site.put(transport, job)
        sent = await site.put(transport, job._replace(resume=site.notes[-1]))
        assert (sent.bytes_sent, sent.remote.size) == (0, len(data))
        stat = await transport.stat("big")
        assert stat is not None and stat.hash == transport.hash_of(job.source, job.size)
    assert site.server.content_bytes == len(data)


async def test_a_source_that_shrinks_in_transit(site: Site):
    async with site.connected() as transport:
        job = site.job("big", os.urandom(MIB))
        site.server.hold(APPEND)
        task = asyncio.ensure_future(site.put(transport, job))
        while not site.server.held:  # noqa: ASYNC110 - a server in another thread
            await asyncio.sleep(0.01)
        os.truncate(job.source, 300_000)
        site.server.release()
        with pytest.raises(SourceChanged):
            await task
    assert not (site.folder / "big").exists()


# --- revisions


@pytest.mark.slow
@pytest.mark.parametrize("newer_first", [True, False])
@pytest.mark.parametrize(("route", "size"), [(UPLOAD, 5), (FINISH, MIB)])
async def test_a_late_upload_of_a_dead_child_changes_nothing(site: Site, route: str, size: int, newer_first: bool):
    async with site.connected() as transport:
        first = await site.put(transport, site.job("a", b"first"))
        site.server.hold(route)
        old = site.make()
        await old.connect()
        task = asyncio.ensure_future(site.put(old, site.job("a", b"o" * size, replaces=first.remote)))
        while not site.server.held:  # noqa: ASYNC110 - a server in another thread
            await asyncio.sleep(0.01)
        await old.close()
        with pytest.raises(TransportLost):
            await task
        if not newer_first:
            site.server.release()
            await asyncio.sleep(0.3)
        # By the other route, which is not held.
        newer = b"newer" if route == FINISH else os.urandom(MIB)
        sent = await site.put(transport, site.job("a", newer, replaces=first.remote))
        site.server.release()
        await asyncio.sleep(0.3)
        assert (site.folder / "a").read_bytes() == newer
        stat = await transport.stat("a")
        assert stat == sent.remote


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, MIB])
async def test_what_somebody_else_wrote_is_replaced(site: Site, size: int):
    async with site.connected() as transport:
        first = await site.put(transport, site.job("a", b"ours"))
        (site.folder / "a").write_bytes(b"somebody else's")
        data = os.urandom(size)
        sent = await site.put(transport, site.job("a", data, replaces=first.remote))
        assert sent.remote.size == size
        (site.folder / "a").unlink()
        data = os.urandom(size)
        await site.put(transport, site.job("a", data, replaces=sent.remote))
        assert (site.folder / "a").read_bytes() == data
        (site.folder / "new").write_bytes(b"was there before us")
        await site.put(transport, site.job("new", data))
        assert (site.folder / "new").read_bytes() == data


async def test_the_same_content_found_there_is_not_sent_again(site: Site):
    data = os.urandom(MIB)

    async with site.connected() as transport:
        await site.put(transport, site.job("a", data))
        sent = await site.put(transport, site.job("a", data, replaces=RemoteStat(1, 1, "0123456789", "")))
        assert sent.remote.size == MIB


async def test_two_names_that_differ_in_case_alone_keep_their_files(site: Site):
    async with site.connected() as transport:
        await site.put(transport, site.job("Data.csv", b"upper"))
        for size in (5, MIB):
            with pytest.raises(FileRefused, match="for the same name"):
                await site.put(transport, site.job("data.csv", b"l" * size))
        assert not transport.case_sensitive
    assert (site.folder / "Data.csv").read_bytes() == b"upper"


# --- pauses and refusals


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        ({"status": 429, "retry_after": 2}, 2.0),
        ({"status": 503, "retry_after": 3}, 3.0),
        ({"error": "path/too_many_write_operations"}, 0.0),
    ],
)
async def test_a_busy_server_is_not_asked_again_before_its_time(site: Site, fault: dict[str, Any], pause: float):
    async with site.connected() as transport:
        site.server.fail(UPLOAD, **fault)
        with pytest.raises(ServerBusy) as raised:
            await site.put(transport, site.job("a", b"x"))
        assert raised.value.retry_after == pause
        busy = time.monotonic()
        before = len(site.server.calls)
        await site.put(transport, site.job("a", b"x"))
        assert time.monotonic() - busy >= pause - 0.1
        assert len(site.server.calls) == before + 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("path/insufficient_space", "no room"),
        ("path/disallowed_name", "does not take this name"),
        ("path/conflict/folder", "is a folder"),
        ("path/conflict/file_ancestor", "is a file in Dropbox"),
        ("path/no_write_permission", "may not write"),
    ],
)
async def test_refusals_in_plain_words(site: Site, fault: str, words: str):
    async with site.connected() as transport:
        site.server.fail(UPLOAD, error=fault)
        with pytest.raises(FileRefused, match=words):
            await site.put(transport, site.job("a", b"x"))
        await site.put(transport, site.job("b", b"fine"))
    assert not (site.folder / "a").exists()


async def test_a_full_account_takes_a_big_file_once_there_is_room(site: Site):
    data = os.urandom(MIB)

    async with site.connected() as transport:
        site.server.space(1000)
        job = site.job("big", data)
        with pytest.raises(FileRefused, match="no room"):
            await site.put(transport, job)
        site.server.space(None)
        assert (await site.put(transport, job._replace(resume=site.notes[-1]))).bytes_sent == 0
    assert (site.folder / "big").read_bytes() == data


async def test_damaged_bytes_are_not_taken(site: Site):
    async with site.connected() as transport:
        site.server.fail(UPLOAD, error="content_hash_mismatch")
        with pytest.raises(AttemptFailed, match="damaged"):
            await site.put(transport, site.job("a", b"x"))


# --- the login


async def test_an_expired_access_token_is_renewed_during_the_upload(site: Site):
    async with site.connected() as transport:
        await site.put(transport, site.job("a", b"x"))
        site.server.expire_tokens()
        await site.put(transport, site.job("b", b"y"))


async def test_a_revoked_login_is_refused(site: Site):
    async with site.connected() as transport:
        site.server.revoke()
        with pytest.raises(LoginRefused, match="--login"):
            await site.put(transport, site.job("a", b"x"))
        await transport.close()
        with pytest.raises(LoginRefused, match="revoked or wrong"):
            await transport.connect()
        site.server.restore()
        await transport.connect()
        await site.put(transport, site.job("a", b"x"))


async def test_an_access_token_alone(site: Site):
    token = site.server.access_token()

    async with site.connected(AccessToken=token, RefreshToken=None, AppKey="") as transport:
        await site.put(transport, site.job("a", b"x"))
        site.server.expire_tokens()
        with pytest.raises(LoginRefused, match="no RefreshToken"):
            await site.put(transport, site.job("b", b"y"))


async def test_a_certificate_nobody_vouches_for(site: Site):
    with pytest.raises(LoginRefused, match="certificate is not trusted"):
        async with site.connected(CAFile=None):
            pass


async def test_the_environment_does_not_decide_whom_to_trust(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/bundle.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent/bundle.pem")

    async with site.connected() as transport:
        await site.put(transport, site.job("a", b"x"))


async def test_the_proxy_of_the_environment_is_used_where_none_is_set(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", site.server.proxy)

    async with site.connected(Proxy=None) as transport:
        await site.put(transport, site.job("a", b"x"))


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (0o644, "token", "chmod 600"),
        (0o600, "", "holds no token"),
        (0o600, "two words", "holds no token"),
        (None, "", "No such file"),
    ],
)
async def test_a_token_file_that_is_not_right(site: Site, mode: int | None, content: str, words: str):
    path = site.place / "token"
    if mode is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        async with site.connected(RefreshToken=None, RefreshTokenFile=str(path)):
            pass


async def test_a_token_file(site: Site):
    path = site.place / "token"
    path.write_text(site.server.refresh_token + "\n")
    path.chmod(0o600)

    async with site.connected(RefreshToken=None, RefreshTokenFile=str(path)) as transport:
        await site.put(transport, site.job("a", b"x"))


async def test_nobody_there_is_a_lost_connection(site: Site):
    with pytest.raises(TransportLost):
        async with site.connected(Proxy="http://127.0.0.1:9"):
            pass


@pytest.mark.slow
async def test_a_limit_of_the_rate_holds_for_all_uploads_together(site: Site):
    async with site.connected(RateLimit=400_000) as transport:
        jobs = [site.job(f"f{number}", os.urandom(100_000)) for number in range(6)]
        begun = time.monotonic()
        await asyncio.gather(*(site.put(transport, job) for job in jobs))
        took = time.monotonic() - begun
        assert took >= (600_000 - 100_000) / 400_000 * 0.9
        assert transport.pace is not None
        transport.pace.rate = 0
        begun = time.monotonic()
        await site.put(transport, site.job("g", os.urandom(2_000_000)))
        assert time.monotonic() - begun < 4, "and no longer than it is set"


# --- what it costs

FLAT = """
import asyncio, json, os, resource, sys
from pysubtask.transports.base import Job
from pysubtask.transports.dropbox import DropboxTransport
settings, path, size = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
async def main():
    transport = DropboxTransport(settings, os.getcwd())
    await transport.connect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await transport.upload(Job(path, size, None, "big", ".t"), lambda done: None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await transport.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["slow", "head", "endless", "packed", "elsewhere"])
@pytest.mark.slow
async def test_no_answer_holds_us_or_fills_the_memory(site: Site, how: str):
    async with site.connected(StallSecs=1) as transport:
        site.server.drip("files/get_metadata", how)
        tracemalloc.start()
        begun = time.monotonic()
        with pytest.raises(TransportLost) as caught:
            await transport.stat("a" * 200)
        took, (_, peak) = time.monotonic() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert took < 1 + 5, f"{how}: {took} s, {caught.value}"
        assert peak < 40 * MIB
        site.server.heal()


@pytest.mark.slow
def test_memory_stays_flat(site: Site):
    size = 100 * MIB
    path = site.place / "big"
    with open(path, "wb") as file:
        file.truncate(size)
    settings = site.server.settings(HostPath=f"/{site.name}")
    done = subprocess.run(
        [sys.executable, "-c", FLAT, json.dumps(settings), str(path), str(size)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 40 * MIB, "ten pieces, whatever the size"
    assert (site.folder / "big").stat().st_size == size
