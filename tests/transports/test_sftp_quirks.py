"""SFTP over servers that refuse, limit or leave out one thing each, or two: every file arrives whole, and nothing of ours stays
that the server lets us remove."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from pysubtask.testing.servers._quirk_sftp_session import QuirkFiles
from pysubtask.testing.servers.quirk_sftp import QuirkSFTPServer, quirk_sftp_server
from pysubtask.testing.servers.quirks import Switch, pairs, switch, switches
from pysubtask.transports.base import Append, Job, RemoteStat, Sent
from pysubtask.transports.sftp import SFTPTransport, packets
from pysubtask.transports.sftp.resume import ResumePoint
from pysubtask.transports.shared.means import APPEND, PUBLISH, SIZE, TEMP
from pysubtask.transports.shared.profile import SOON
from pysubtask.transports.shared.resume_note import to_note

TIME = 1_700_000_000


class DeliveryContext:
    """A transport to one server, and what the courier would do with each file."""

    def __init__(self, server: QuirkSFTPServer, tmp_path: Path, **more: Any) -> None:
        self.server, self.tmp_path = server, tmp_path
        self.settings = {**server.settings(), "ConnectTimeoutSecs": 20, "StallSecs": 20, "RetryCount": 5, **more}
        self.transport = SFTPTransport(self.settings, str(tmp_path / "work"))
        self.steps: list[str] = []
        self.transport.profile.on_step = lambda step: self.steps.append(f"{step.means}: {step.rung}")
        self.known: dict[str, RemoteStat] = {}
        self.contents: dict[str, bytes] = {}
        self.count = self.refused = self.bytes_sent = 0

    async def put(self, name: str, data: bytes, *, append: bool = False) -> Sent:
        """As ``deliveries`` would: what cannot be built upon is sent whole at once, what failed alone is tried again."""
        self.count += 1
        source = self.tmp_path / f"source-{self.count}"
        source.write_bytes(data)
        folder, slash, _ = name.rpartition("/")
        before = self.known.get(name)
        how = None
        if append and before is not None and self.transport.traits.appends and before.mtime is not None:
            how = Append(before.size, before.size)
        job = Job(
            str(source),
            len(data),
            (TIME + self.count) * 10**9,
            name,
            f"{folder}{slash}.pysubtask-{self.count:04x}.part",
            replaces=before,
            append=how,
        )
        for attempt in range(3):
            try:
                sent = await self.transport.upload(job, lambda done: None)
                break
            except NotAsLeft:
                job = job._replace(append=None, replaces=before)
            except AttemptFailed:
                if attempt == 2:
                    raise
        self.known[name], self.contents[name] = sent.remote, data
        self.bytes_sent += sent.bytes_sent
        return sent

    async def day(self) -> None:
        """What a station does: some files at once, one that grows, one that is rewritten, some in folders."""
        await self.put("first.csv", b"1\n" * 50)
        await asyncio.gather(*(self.put(f"many/{number}.bin", os.urandom(3000 + number)) for number in range(12)))
        await self.put("empty.csv", b"")
        grown = b"a line\n" * 40
        await self.put("grow.csv", grown)
        for _ in range(3):
            grown += b"more\n" * 20
            await self.put("grow.csv", grown, append=True)
        for number in range(3):
            await self.put("rewritten.json", os.urandom(100 + number))
        await self.put("a/b/c/deep.txt", b"deep")
        await self.put("big.bin", os.urandom(400_000))

    def check(self) -> None:
        """Everything arrived whole, and nothing else is there."""
        taken: dict[str, bytes] = {}
        for one in self.server.taken:
            taken[one.name] = one.data
        found = {
            str(path.relative_to(self.server.root)): path.read_bytes()
            for path in Path(self.server.root).rglob("*")
            if path.is_file()
        }
        for name, data in self.contents.items():
            assert taken.get(name, found.get(name)) == data, name
        litter = set(found) - set(self.contents)
        if self.server.quirks.delete and self.server.quirks.after_publish != "hidden":  # then there is no such file, it says
            assert litter == set()
            assert not list(Path(self.server.root).rglob("pysubtask-temp"))
        if not self.server.quirks.delete:
            assert litter <= {name.lstrip("/") for name in self.transport.profile.left}, "what stays is on record"
        assert len(litter) <= 16


@contextlib.asynccontextmanager
async def connected(context: DeliveryContext) -> AsyncIterator[None]:
    async with asyncio.timeout(100):
        await context.transport.connect()
        try:
            yield
        finally:
            await context.transport.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QuirkSFTPServer]:
    with quirk_sftp_server(tmp_path / "remote") as running:
        yield running


REFUSED = ({"no rename at all"}, {"hidden names refused", "hidden after the publication"}, {"hidden names refused", "taken away"})
"""Where nothing arrives unless the settings allow it under its own name at once."""


def needs_in_place(*quirks: Switch) -> bool:
    return any(each <= {quirk.name for quirk in quirks} for each in REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "quirk",
    [
        pytest.param(quirk, id=quirk.name, marks=[pytest.mark.slow] if quirk.name == "slow rename" else [])
        for quirk in switches("sftp")
    ],
)
async def test_with_each_quirk_everything_arrives(quirk: Switch, server: QuirkSFTPServer, tmp_path: Path):
    quirk.turn_on(server.quirks)
    context = DeliveryContext(server, tmp_path, StoreInPlace=needs_in_place(quirk))
    async with connected(context):
        await context.day()
    context.check()
    assert len(context.steps) == len(set(context.steps)), "each step is told once"


@pytest.mark.slow
@pytest.mark.parametrize("both", pairs("sftp", 60, seed=14), ids=lambda both: f"{both[0].name} + {both[1].name}")
async def test_with_two_quirks_at_once_everything_arrives(both: tuple[Switch, Switch], server: QuirkSFTPServer, tmp_path: Path):
    for one in both:
        one.turn_on(server.quirks)
    context = DeliveryContext(server, tmp_path, StoreInPlace=needs_in_place(*both))
    async with connected(context):
        await context.day()
    context.check()


async def test_where_nothing_can_be_renamed_a_setting_is_advised(server: QuirkSFTPServer, tmp_path: Path):
    switch("no rename at all").turn_on(server.quirks)
    context = DeliveryContext(server, tmp_path)

    async with connected(context):
        with pytest.raises(FileRefused, match=r"renaming it into place.*StoreInPlace"):
            await context.put("a.csv", b"1")
    assert os.listdir(server.root) == [] and context.steps == []


ADAPTS = [
    (PUBLISH, {"rename": "new", "posix_rename": False}, "aside", "posix_rename"),
    (APPEND, {"append": "refused"}, "none", "in_place"),
    (TEMP, {"hidden_names": False}, "visible", "hidden"),
    (SIZE, {"size": "missing"}, "after_close", "before_close"),
]


@pytest.mark.parametrize(("means", "quirks", "worse", "better"), ADAPTS, ids=lambda value: getattr(value, "name", ""))
async def test_a_server_that_changes_is_followed_within_three_files(
    means: Any, quirks: dict[str, Any], worse: str, better: str, server: QuirkSFTPServer, tmp_path: Path
):
    context = DeliveryContext(server, tmp_path)
    grown = [b"a line\n" * 10]

    async def one() -> None:
        grown[0] += b"more\n"
        await context.put("grow.csv", grown[0], append=means is APPEND)

    async with connected(context):
        profile = context.transport.profile
        for _ in range(4):
            await one()
        assert profile.rung(means) == better
        for _ in range(3):
            server.quirks.set(**quirks)
            await one()
            assert profile.rung(means) == worse, "with the first file"
            for _ in range(4):
                await one()
            assert profile.rung(means) == worse
            server.quirks.reset()
            for _ in range(SOON):
                await one()
            assert profile.rung(means) == better
    context.check()
    assert len(context.steps) == 6 or means is PUBLISH, context.steps


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [1, 3, 20])
async def test_three_hundred_files_where_few_may_be_open(allowed: int, server: QuirkSFTPServer, tmp_path: Path):
    server.quirks.open_files = allowed
    context = DeliveryContext(server, tmp_path, Concurrency=32)
    asked = [0, 0]

    async with connected(context):
        client = context.transport._client
        assert client is not None
        request = client.request

        def counted(kind: int, body: bytes, patience: float = 0.0) -> Any:
            asked[0] += 1
            answer = request(kind, body, patience)
            if kind == packets.OPEN:
                answer.add_done_callback(lambda done: asked.__setitem__(1, asked[1] + isinstance(done.result(), packets.Status)))
            return answer

        client.request = counted  # type: ignore[method-assign]
        room = asyncio.Semaphore(32)

        async def one(number: int) -> None:
            async with room:
                await context.put(f"{number}.bin", os.urandom(500))

        await asyncio.gather(*(one(number) for number in range(300)))
    context.check()
    assert asked[1] <= asked[0] * 0.05, asked
    assert context.transport.profile.opened["open files"].limit <= allowed + 1
    assert [step for step in context.steps if step.startswith("open files")]
    # A mere "Failure" may be taken for a refused name at first; not for long.
    assert context.transport.profile.rung(TEMP) == "hidden", context.steps


async def test_one_bad_name_does_not_make_the_others_wait(server: QuirkSFTPServer, tmp_path: Path):
    """A server that says "Failure" to a name says the same to one open file too many: another file shows which it was."""
    context = DeliveryContext(server, tmp_path)

    async with connected(context):
        bad = asyncio.create_task(context.put("x" * 300 + "/bad.csv", b"1"))
        await asyncio.gather(*(context.put(f"{number}.bin", b"good") for number in range(40)))
        with pytest.raises(FileRefused):
            await bad
    context.check()
    assert not context.transport.profile.opened["open files"].learned and context.steps == []


async def test_where_temporary_files_vanish_no_trial_is_sent(server: QuirkSFTPServer, tmp_path: Path):
    """That one may stay by now is tried with a few bytes."""
    server.quirks.set(hidden_names=False, after_publish="taken")
    context = DeliveryContext(server, tmp_path, StoreInPlace=True)

    async with connected(context):
        await context.put("first.bin", os.urandom(20_000))
        before = server.bytes_written
        for number in range(12):
            await context.put(f"{number}.bin", os.urandom(20_000))
        assert server.bytes_written - before < 1.05 * 12 * 20_000
        assert context.transport.profile.rung(TEMP) == "in_place"
        server.quirks.reset()
        for number in range(SOON):
            await context.put(f"then{number}.bin", os.urandom(20_000))
        assert context.transport.profile.rung(TEMP) == "hidden"
    context.check()


async def test_unremovable_temporaries_are_reused_and_never_grow(server: QuirkSFTPServer, tmp_path: Path):
    """A server that renames over nothing and lets nothing be removed: each replaced version would stay."""
    server.quirks.set(delete=False, rename="new", posix_rename=False)
    context = DeliveryContext(server, tmp_path)

    async with connected(context):
        for number in range(20):
            await context.put("a.csv", b"version %d" % number)
        assert len(os.listdir(server.root)) == 2
        assert len(context.transport.profile.left) == 1
        server.quirks.delete = True
        for number in range(SOON + 1):
            await context.put("a.csv", b"later %d" % number)
    context.check()
    assert os.listdir(server.root) == ["a.csv"] and context.transport.profile.left == {}


@pytest.mark.slow
async def test_what_is_known_is_used_by_the_next_connection(server: QuirkSFTPServer, tmp_path: Path):
    switch("object store").turn_on(server.quirks)
    context = DeliveryContext(server, tmp_path)
    async with connected(context):
        await context.day()
    kept = context.transport.profile.to_json()
    later = DeliveryContext(server, tmp_path)
    later.transport.profile.load(kept)
    async with connected(later):
        await later.day()
    later.check()
    assert later.steps == []


async def test_a_wait_to_open_a_file_ends_with_the_lost_connection(server: QuirkSFTPServer, tmp_path: Path):
    server.quirks.open_files = 1
    context = DeliveryContext(server, tmp_path)

    async with connected(context):
        for number in range(3):
            await context.put(f"{number}.bin", b"good")
        assert context.transport.pace is not None
        context.transport.pace.rate = 50_000.0  # none of them is through before the cut
        waiting = [asyncio.create_task(context.put(f"more-{number}.bin", os.urandom(3_000_000))) for number in range(10)]
        await asyncio.sleep(0.05)
        client = context.transport._client
        assert client is not None
        client.fail(TransportLost("cut"))
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {TransportLost}


@pytest.mark.parametrize("more", [0, 300_000])
async def test_bytes_put_behind_the_end_are_no_resumed_upload(
    server: QuirkSFTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
):
    """Whatever place they are for. The temporary file of an upload that was cut may have ``more`` than is known: then all of it is
    sent at once, and the next upload that was cut begins anew."""
    write = QuirkFiles.write
    monkeypatch.setattr(QuirkFiles, "write", lambda self, file, offset, data: write(self, file, file.seek(0, os.SEEK_END), data))
    context = DeliveryContext(server, tmp_path)

    async with connected(context):
        costs = []
        for number in range(2):
            data, temp = os.urandom(2_000_000), f".pysubtask-cut{number}.part"
            (Path(server.root) / temp).write_bytes(data[: 1_200_000 + more])
            source = tmp_path / f"cut-{number}"
            source.write_bytes(data)
            job = Job(
                str(source), len(data), TIME * 10**9, f"cut{number}.bin", temp, resume=to_note(ResumePoint(1_200_000, len(data)))
            )
            costs.append((await context.transport.upload(job, lambda done: None)).bytes_sent)
            context.contents[f"cut{number}.bin"] = data
        assert costs == ([2_800_000, 2_000_000] if more else [800_000, 800_000])
        assert context.steps == (["random_writes: in_order"] if more else [])

    context.check()


@pytest.mark.parametrize("path", ["C:/data", "/C:/data"])
async def test_a_path_with_a_drive_is_one_as_any_other(server: QuirkSFTPServer, tmp_path: Path, path: str):
    context = DeliveryContext(server, tmp_path, HostPath=path)
    async with connected(context):
        await context.put("day/a.csv", b"1\n")
    assert (Path(server.root) / "C:" / "data" / "day" / "a.csv").read_bytes() == b"1\n"


@pytest.mark.slow
async def test_a_size_that_grows_late_is_no_reason_to_send_whole_files(server: QuirkSFTPServer, tmp_path: Path):
    switch("size grows late").turn_on(server.quirks)
    context = DeliveryContext(server, tmp_path)
    grown = b"a line\n" * 1_000

    async with connected(context):
        await context.put("grow.csv", grown)
        for _ in range(2):
            grown += b"more\n" * 20
            assert (await context.put("grow.csv", grown, append=True)).bytes_sent == 100
        assert context.steps == []
    context.check()


@pytest.mark.parametrize("times", [1, 10**6])
async def test_a_bare_failure_is_blamed_on_a_name_the_second_time(
    server: QuirkSFTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
):
    """A server that is at a limit for a moment says the same as one that takes no such name."""
    left, opened = times, QuirkFiles.open

    def refusing(self: QuirkFiles, path: bytes, pflags: int, attrs: Any) -> object:
        nonlocal left
        if left and pflags & 2 and path.endswith(b".part"):
            left -= 1
            raise asyncssh.SFTPFailure("Failure")
        return opened(self, path, pflags, attrs)

    monkeypatch.setattr(QuirkFiles, "open", refusing)
    context = DeliveryContext(server, tmp_path)
    async with connected(context):
        await context.put("a.csv", b"1\n")
    assert context.steps == ([] if times == 1 else ["temp_name: hidden_ending"])
    context.check()
