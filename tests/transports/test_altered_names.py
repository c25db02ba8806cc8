"""Servers whose file system alters names: the change is found and reported with its cause, and no file replaces another one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import FileRefused
from pysubtask.testing.servers.quirk_ftp import QuirkFTPServer, quirk_ftp_server
from pysubtask.testing.servers.quirk_sftp import QuirkSFTPServer, quirk_sftp_server
from pysubtask.transports.base import Job, RemoteStat, Transport
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.session import Session
from pysubtask.transports.sftp import SFTPTransport, name_checks
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.shared.altered_names import Row

TIME = 1_700_000_000
Server = QuirkSFTPServer | QuirkFTPServer


class DeliveryContext:
    """What a child would do: ``known`` is what was delivered. ``harmed``: names that another file was put under."""

    def __init__(self, server: Server, tmp_path: Path) -> None:
        self.server, self.tmp_path, self.count = server, tmp_path, 0
        self.known: dict[str, RemoteStat] = {}
        self.claimed: set[str] = set()
        self.harmed: list[str] = []
        self.transport = self.build()

    def build(self) -> Transport:
        os.makedirs(self.tmp_path / "work", exist_ok=True)
        if isinstance(self.server, QuirkSFTPServer):
            return SFTPTransport(self.server.settings(), str(self.tmp_path / "work"))
        return FTPTransport(self.server.settings(), str(self.tmp_path / "work"))

    async def put(self, name: str, data: bytes) -> str:
        """How it was verified."""
        self.count += 1
        self.claimed.add(name)
        source = self.tmp_path / f"source-{self.count}"
        source.write_bytes(data)
        folder, slash, _ = name.rpartition("/")
        job = Job(
            str(source),
            len(data),
            (TIME + self.count) * 10**9,
            name,
            f"{folder}{slash}.pysubtask-{self.count:04x}.part",
            replaces=self.known.get(name),
            ours=lambda other: other != name and other in self.claimed,
            harmed=self.harmed.append,
        )
        sent = await self.transport.upload(job, lambda done: None)
        self.known[name] = sent.remote
        return sent.verified

    def there(self) -> dict[str, bytes]:
        root = Path(self.server.root) if isinstance(self.server, QuirkSFTPServer) else self.server.files
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(params=["sftp", "ftp"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeliveryContext]:
    with contextlib.ExitStack() as stack:
        server: Server = stack.enter_context(
            quirk_sftp_server(tmp_path / "remote") if request.param == "sftp" else quirk_ftp_server(tmp_path / "remote")
        )
        yield DeliveryContext(server, tmp_path)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were listed."""
    found: list[str] = []
    rows_of, rows = name_checks.rows_of, Session.rows

    async def by_sftp(client: Client, folder: bytes) -> list[Row] | None:
        found.append(os.fsdecode(folder))
        return await rows_of(client, folder)

    def by_ftp(self: Session, folder: str) -> Any:
        found.append(folder)
        return rows(self, folder)

    monkeypatch.setattr(name_checks, "rows_of", by_sftp)
    monkeypatch.setattr(Session, "rows", by_ftp)
    return found


@contextlib.asynccontextmanager
async def connected(context: DeliveryContext) -> AsyncIterator[None]:
    async with asyncio.timeout(60):
        await context.transport.connect()
        try:
            yield
        finally:
            await context.transport.close()


ALTERED: list[tuple[dict[str, Any], str, str]] = [
    ({"file_names": "trimmed"}, "a.csv.", "leaves out a dot at the end"),
    ({"file_names": "trimmed"}, "a.csv ", "leaves out a blank at the end"),
    ({"file_names": "trimmed"}, "day /a.csv", "leaves out a blank at the end"),
    ({"file_names": "small"}, "CAM.csv", "capital letters from small ones"),
    ({"file_names": "small"}, "Cam/a.csv", "capital letters from small ones"),
    ({"odd_names": "renamed"}, " lead.csv", "does not keep a blank"),
    ({"odd_names": "renamed"}, "a*b.csv", r"does not keep the sign '\*'"),
    ({"odd_names": "renamed"}, "day/a:b.csv", "does not keep the sign ':'"),
]


@pytest.mark.parametrize(("quirk", "name", "why"), ALTERED, ids=[f"{name!r} {quirk}" for quirk, name, _ in ALTERED])
async def test_a_name_that_is_altered_is_refused_with_what_is_to_blame(
    context: DeliveryContext, quirk: dict[str, Any], name: str, why: str
):
    context.server.quirks.set(**quirk)

    async with connected(context):
        await context.put("plain.csv", b"plain")
        with pytest.raises(FileRefused, match=f"the server shows .* instead of .*{why}") as outcome:
            await context.put(name, b"odd")
        assert "'as'" in outcome.value.remedy
        before = context.there()
        with pytest.raises(FileRefused, match=why):  # and again costs nothing
            await context.put(name, b"longer than before")
        assert context.there() == before
        assert await context.put("plain2.csv", b"more") == "size"
    left = context.there()
    assert left.pop("plain.csv") == b"plain" and left.pop("plain2.csv") == b"more"
    assert all("/" in one for one in left), "what was altered is removed again, where it surely is ours"


MEETING: list[tuple[str, str, str, str]] = [
    ("any case", "CAM.csv", "cam.csv", "capital letters"),
    ("any case", "cam.csv", "CAM.csv", "capital letters"),
    ("small", "cam.csv", "CAM.csv", "capital letters"),
    ("trimmed", "a.csv", "a.csv.", "a dot at the end"),
    ("trimmed", "a.csv", "a.csv ", "a blank at the end"),
    ("composed", "\u00e4.csv", "a\u0308.csv", "accents"),
    ("any case", "day/CAM.csv", "day/cam.csv", "capital letters"),
    ("any case", "Day/a.csv", "day/a.csv", "capital letters"),
]


@pytest.mark.parametrize(("kept", "first", "second", "why"), MEETING)
@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "together"])
async def test_of_names_that_meet_on_the_server_the_first_stays_whole(
    context: DeliveryContext, kept: str, first: str, second: str, why: str, together: bool
):
    context.server.quirks.file_names = kept

    async with connected(context):
        if together:
            context.claimed.update((first, second))
            outcome = await asyncio.gather(context.put(first, b"first"), context.put(second, b"second"), return_exceptions=True)
        else:
            outcome = [
                await context.put(first, b"first"),
                (await asyncio.gather(context.put(second, b"second"), return_exceptions=True))[0],
            ]
        refused = [one for one in outcome if not isinstance(one, str)]
        assert len(refused) == 1 and isinstance(refused[0], FileRefused) and why in str(refused[0])
        with pytest.raises(FileRefused):
            await context.put(second if isinstance(outcome[0], str) else first, b"again")
    [content] = context.there().values()
    assert content in (b"first", b"second") and (together or content == b"first")


async def test_a_file_of_ours_that_was_hit_is_reported(context: DeliveryContext):
    context.server.quirks.odd_names = "renamed"

    async with connected(context):
        await context.put("_a_.csv", b"right")
        with pytest.raises(FileRefused, match="which another file here is sent to"):
            await context.put("*a*.csv", b"wrong")
    assert context.harmed == ["_a_.csv"] and list(context.there()) == ["_a_.csv"]


async def test_another_form_of_unicode_is_the_same_name(context: DeliveryContext):
    context.server.quirks.file_names = "composed"
    steps: list[str] = []

    async with connected(context):
        assert context.transport.profile is not None
        context.transport.profile.on_step = lambda step: steps.append(step.text)
        for content in (b"1", b"12", b"123"):
            assert await context.put("a\u0308.csv", content) == "size"
        context.known.clear()  # as after one that was not as left
        assert await context.put("a\u0308.csv", b"1234") == "size"
        assert await context.put("o\u0308.csv", b"1") == "size"
    assert context.there() == {"\u00e4.csv": b"1234", "\u00f6.csv": b"1"}
    assert len(steps) == 1 and "accents in another form" in steps[0]


async def test_where_names_are_kept_each_kind_is_listed_once(context: DeliveryContext, listings: list[str]):
    async with connected(context):
        for number in range(5):
            await context.put(f"IMG_{number}.JPG", b"x")
            await context.put(f"plain_{number}.jpg", b"x")
            await context.put(f"a[{number}] b.csv", b"x")
        counted = len(listings)
        assert 1 <= counted <= 2
        for number in range(5, 9):
            await context.put(f"IMG_{number}.JPG", b"x")
            await context.put(f"b[{number}] c.csv", b"x")
        assert len(listings) == counted
    assert len(context.there()) == 23


async def test_files_that_were_there_before_cost_one_listing(context: DeliveryContext, listings: list[str]):
    async with connected(context):
        for number in range(6):
            await context.put(f"a{number}.csv", b"x")
            await context.put(f"B{number}.csv", b"x")
        listings.clear()
        context.known.clear()
        for number in range(6):
            await context.put(f"a{number}.csv", b"new")
            await context.put(f"B{number}.csv", b"new")
        assert len(listings) <= 1
    assert set(context.there().values()) == {b"new"}
