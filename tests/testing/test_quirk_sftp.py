"""Each quirk of the SFTP server, seen by asyncssh as the client: not there, there, and gone again while the server runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.servers.quirk_sftp import QuirkSFTPServer, quirk_sftp_server
from pysubtask.testing.servers.quirks import SWITCHES, Quirks, pairs, switch, switches

pytestmark = pytest.mark.slow

asyncssh = pytest.importorskip("asyncssh")

Case = Callable[[Any, QuirkSFTPServer, str], Awaitable[None]]
CASES: dict[str, Case] = {}


def shows(name: str) -> Callable[[Case], Case]:
    """What follows holds where this switch is on, and nowhere else."""

    def kept(case: Case) -> Case:
        CASES[name] = case
        return case

    return kept


async def put(client: Any, path: str, data: bytes = b"one", mode: str = "wb") -> None:
    async with client.open(path, mode) as file:
        if data:
            await file.write(data)


async def get(client: Any, path: str) -> bytes:
    async with client.open(path, "rb") as file:
        return bytes(await file.read())


async def refuses(*kinds: str, what: Awaitable[Any]) -> None:
    """It is refused, with one of these errors of asyncssh."""
    try:
        await what
    except asyncssh.SFTPError as exc:
        assert type(exc).__name__ in kinds, repr(exc)
        return
    raise AssertionError("it was not refused")


def local(server: QuirkSFTPServer, path: str) -> Path:
    return Path(server.root, path)


@shows("no rename over a file")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await put(client, f"{at}/b")
    await put(client, f"{at}/c")
    await client.rename(f"{at}/c", f"{at}/new")
    await refuses("SFTPOpUnsupported", "SFTPFailure", what=client.posix_rename(f"{at}/a", f"{at}/b"))
    await refuses("SFTPFailure", what=client.rename(f"{at}/a", f"{at}/b"))


@shows("no rename at all")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPPermissionDenied", what=client.rename(f"{at}/a", f"{at}/new"))


@shows("no posix-rename")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPOpUnsupported", what=client.posix_rename(f"{at}/a", f"{at}/new"))
    await client.rename(f"{at}/a", f"{at}/new")


@shows("slow rename")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    begun = time.monotonic()
    await client.rename(f"{at}/a", f"{at}/new")
    assert time.monotonic() - begun >= server.quirks.rename_secs > 0
    assert local(server, f"{at}/new").exists()


@shows("append refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await put(client, f"{at}/a", b"another")  # a new beginning is none
    await refuses("SFTPOpUnsupported", what=put(client, f"{at}/a", b"more", "ab"))
    await refuses("SFTPOpUnsupported", what=put(client, f"{at}/a", b"more", "r+b"))


@shows("append refused at the write")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    async with client.open(f"{at}/a", "r+b") as file:
        await refuses("SFTPFailure", what=file.write(b"more", 3))
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("writes in order only")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    async with client.open(f"{at}/a", "wb") as file:
        await file.write(b"0123", 0)
        await file.write(b"4567", 4)
        await refuses("SFTPFailure", what=file.write(b"behind", 20))
        await refuses("SFTPFailure", what=file.write(b"x", 0))


@shows("no opening for reading and writing")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    assert await get(client, f"{at}/a") == b"one"
    await refuses("SFTPOpUnsupported", what=put(client, f"{at}/a", b"two", "r+b"))


@shows("reading refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPPermissionDenied", what=get(client, f"{at}/a"))


async def open_size(client: Any, at: str) -> tuple[Any, Any]:
    """The reported size of a file of three bytes: as it is written, by its handle, and after the close."""
    async with client.open(f"{at}/a", "wb") as file:
        await file.write(b"one")
        during = (await file.stat()).size
        assert (await client.stat(f"{at}/a")).size == during
    return during, (await client.stat(f"{at}/a")).size


@shows("no such file before the close")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    async with client.open(f"{at}/a", "wb") as file:
        await file.write(b"one")
        await refuses("SFTPNoSuchFile", what=file.stat())
        await refuses("SFTPNoSuchFile", what=client.lstat(f"{at}/a"))
        assert "a" not in await client.listdir(at)
    assert (await client.lstat(f"{at}/a")).size == 3


@shows("no size before the close")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await open_size(client, at) == (None, 3)


@shows("size 0 before the close")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await open_size(client, at) == (0, 3)


@shows("no size ever")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await open_size(client, at) == (None, None)
    assert [one.attrs.size async for one in client.scandir(at) if one.filename == "a"] == [None]


@shows("size grows late")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a", b"x" * 10_000)
    seen = []
    while not seen or (seen[-1] < 10_000 and len(seen) < 1000):
        seen.append((await client.stat(f"{at}/a")).size)
        await asyncio.sleep(0.02)
    assert seen[0] < 10_000 and seen == sorted(seen) and seen[-1] == 10_000


@shows("nothing visible before the close")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    async with client.open(f"{at}/a", "wb") as file:
        await file.write(b"one")
        assert not local(server, f"{at}/a").exists()
        await refuses("SFTPNoSuchFile", what=client.stat(f"{at}/a"))
    assert await get(client, f"{at}/a") == b"one"


@shows("times refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPOpUnsupported", what=client.utime(f"{at}/a", (1_600_000_000, 1_600_000_000)))
    async with client.open(f"{at}/a", "wb") as file:
        await refuses("SFTPOpUnsupported", what=file.utime((1_600_000_000, 1_600_000_000)))


@shows("times ignored")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await client.utime(f"{at}/a", (1_600_000_000, 1_600_000_000))
    assert local(server, f"{at}/a").stat().st_mtime > 1_700_000_000


@shows("no fsync")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    async with client.open(f"{at}/a", "wb") as file:
        await refuses("SFTPOpUnsupported", what=file.fsync())


@shows("delete refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPPermissionDenied", what=client.remove(f"{at}/a"))
    assert local(server, f"{at}/a").exists()


@shows("hidden names refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a")
    await refuses("SFTPPermissionDenied", what=put(client, f"{at}/.b"))
    await refuses("SFTPPermissionDenied", what=client.rename(f"{at}/a", f"{at}/.b"))
    await refuses("SFTPPermissionDenied", what=client.mkdir(f"{at}/.folder"))


@shows("unknown endings refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a.csv")
    await refuses("SFTPPermissionDenied", what=put(client, f"{at}/a.part"))
    await refuses("SFTPPermissionDenied", what=client.rename(f"{at}/a.csv", f"{at}/a.exe"))


@shows("odd names renamed")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/ a*b.csv")
    await client.rename(f"{at}/_a_b.csv", f"{at}/[x].csv")
    assert os.listdir(local(server, at)) == ["_x_.csv"]


@shows("names in any case")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/CAM.csv")
    await put(client, f"{at}/cam.csv", b"two")
    assert [os.listdir(local(server, at)), await get(client, f"{at}/Cam.csv")] == [["CAM.csv"], b"two"]


@shows("names in small letters")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/CAM.csv")
    assert os.listdir(local(server, at)) == ["cam.csv"]
    await client.remove(f"{at}/CAM.csv")


@shows("accents composed")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a\u0308.csv")
    assert os.listdir(local(server, at)) == ["\u00e4.csv"]
    assert await client.getsize(f"{at}/a\u0308.csv") == 3


@shows("ends of names trimmed")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/a.csv. ")
    assert os.listdir(local(server, at)) == ["a.csv"]


async def reported_time(client: Any, at: str, secs: int) -> int:
    """What the server says of a time that a file was given."""
    await put(client, f"{at}/a")
    await client.utime(f"{at}/a", (secs, secs))
    return int((await client.stat(f"{at}/a")).mtime)


@shows("times of two seconds")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await reported_time(client, at, 1_700_000_001) == 1_700_000_000


@shows("times of a minute")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await reported_time(client, at, 1_700_000_059) == 1_700_000_040


@shows("local times")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    assert await reported_time(client, at, 1_700_000_000) == 1_700_007_200


@shows("taken away")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    before = len(server.taken)
    await put(client, f"{at}/.t")
    await client.rename(f"{at}/.t", f"{at}/a")
    await put(client, f"{at}/b", b"two")
    assert server.taken[before:] == [(f"{at}/a", b"one"), (f"{at}/b", b"two")]
    assert os.listdir(local(server, at)) == []


@shows("hidden after the publication")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await put(client, f"{at}/.t")
    await client.rename(f"{at}/.t", f"{at}/a")
    await refuses("SFTPNoSuchFile", what=client.stat(f"{at}/a"))
    await refuses("SFTPNoSuchFile", what=get(client, f"{at}/a"))
    assert "a" not in await client.listdir(at)
    await client.rename(f"{at}/a", f"{at}/b")
    assert local(server, f"{at}/b").read_bytes() == b"one"


@shows("links refused")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    local(server, f"{at}/link").symlink_to("target")
    await refuses("SFTPPermissionDenied", what=put(client, f"{at}/link"))
    assert not local(server, f"{at}/target").exists()


@shows("links replaced")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    local(server, f"{at}/link").symlink_to("target")
    await put(client, f"{at}/link")
    assert not local(server, f"{at}/link").is_symlink() and local(server, f"{at}/link").read_bytes() == b"one"


async def opened(client: Any, at: str, count: int) -> None:
    """So many files can be open at a time, and not one more."""
    files = [await client.open(f"{at}/{number}", "wb") for number in range(count)]
    try:
        await refuses("SFTPFailure", what=put(client, f"{at}/more"))
    finally:
        for file in files:
            await file.close()
    await put(client, f"{at}/more")


@shows("one open file")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await opened(client, at, 1)
    assert server.handles == 0


@shows("three open files")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    await opened(client, at, 3)


async def login(server: QuirkSFTPServer) -> bool:
    try:
        async with connection(server):
            return True
    except (OSError, asyncssh.Error):
        return False


@shows("one connection")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    before = server.turned_away
    assert not await login(server) and server.turned_away == before + 1
    await put(client, f"{at}/a")


@shows("six logins a minute")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    got = [await login(server) for _ in range(8)]
    assert not got[-1] and sum(got) < 6
    await put(client, f"{at}/a")


@shows("object store")
async def _(client: Any, server: QuirkSFTPServer, at: str) -> None:
    for name in ("nothing visible before the close", "writes in order only", "append refused", "times refused"):
        await client.mkdir(f"{at}/{name}")
        await CASES[name](client, server, f"{at}/{name}")


def connection(server: QuirkSFTPServer) -> Any:
    known = asyncssh.import_known_hosts(server.known_hosts)
    return asyncssh.connect(
        server.host, server.port, username=server.user, known_hosts=known, config=[], agent_path=None, client_keys=[server.key_file]
    )


def test_every_quirk_has_a_test():
    assert set(CASES) == {one.name for one in switches("sftp")}


@pytest.mark.parametrize("name", [one.name for one in switches("sftp")])
def test_a_quirk_comes_and_goes_while_the_server_runs(tmp_path: Path, name: str):
    async def phases(server: QuirkSFTPServer) -> None:
        async with connection(server) as link, link.start_sftp_client() as client:
            for phase, there in (("before", False), ("during", True), ("after", False)):
                await client.mkdir(phase)
                if there:
                    switch(name).turn_on(server.quirks)
                else:
                    server.quirks.reset()
                try:
                    await CASES[name](client, server, phase)
                except (AssertionError, asyncssh.SFTPError, FileNotFoundError):
                    if there:
                        raise
                else:
                    assert there, f"{phase}: it is there though it was not switched on"

    with quirk_sftp_server(tmp_path / "root") as server:
        asyncio.run(phases(server))


def test_what_is_not_offered_is_not_announced(tmp_path: Path):
    async def reported(server: QuirkSFTPServer) -> bool:
        async with connection(server) as link, link.start_sftp_client() as client:
            return bool(client._handler._supports_posix_rename)

    with quirk_sftp_server(tmp_path / "root", posix_rename=False) as server:
        assert not asyncio.run(reported(server))
        server.quirks.reset()
        assert asyncio.run(reported(server))


def test_what_is_not_closed_by_the_client_was_never_there(tmp_path: Path):
    """As at an object store: a file whose upload was cut."""

    async def cut(server: QuirkSFTPServer) -> None:
        link = await connection(server)
        client = await link.start_sftp_client()
        file = await client.open("a", "wb")
        await file.write(b"half")
        link.abort()
        await link.wait_closed()

    with quirk_sftp_server(tmp_path / "root", visible="after close") as server:
        asyncio.run(cut(server))
        deadline = time.monotonic() + 20
        while server.handles and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.handles == 0
        assert os.listdir(tmp_path / "root") == []
        assert os.listdir(server.staged) == []


def test_what_there_is_not_is_refused():
    quirks = Quirks()
    with pytest.raises(AttributeError, match="there is no quirk 'renames'"):
        quirks.set(renames="new")
    with pytest.raises(ValueError, match="rename is 'never'"):
        quirks.rename = "never"
    with pytest.raises(KeyError, match="no switch 'none'"):
        switch("none")
    assert quirks == Quirks()


def test_switches_and_pairs():
    assert len({one.name for one in SWITCHES}) == len(SWITCHES)
    for protocol in ("sftp", "ftp", "ftps"):
        drawn = pairs(protocol, 200, 1)
        assert len(drawn) == 200 and drawn == pairs(protocol, 200, 1) and drawn != pairs(protocol, 200, 2)
        for one, other in drawn:
            assert not one.values.keys() & other.values.keys()
    for one in SWITCHES:
        quirks = Quirks()
        one.turn_on(quirks)
        assert quirks != Quirks(), one.name
        quirks.reset()
        assert quirks == Quirks()
