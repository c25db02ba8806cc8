"""Temporary files that a server does not let anybody remove: each is on record through any end, and is written to again only when
nothing old can be done to it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.servers.quirk_ftp import quirk_ftp_server
from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server
from pysubtask.transports.base import Job
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.shared.means import DELETE
from pysubtask.transports.shared.profile import Profile

TIME = 1_700_000_000
RECORDED = Path(__file__).parents[1] / "recorded" / "08fa67b" / "profile.json"
TRANSPORTS = {"sftp": SFTPTransport, "ftp": FTPTransport}
Transport = SFTPTransport | FTPTransport
Act = Callable[[Transport], Awaitable[None]]


class Server:
    """One that removes nothing, and a folder of local files."""

    def __init__(self, kind: str, running: Any, place: Path) -> None:
        self.kind, self.running, self.place = kind, running, place
        self.files = Path(running.root) if kind == "sftp" else running.files
        self.count = 0

    def job(self, name: str, data: bytes = b"new\n", *stale: str, temp: str = "") -> Job:
        self.count += 1
        source = self.place / f"source-{self.count}"
        source.write_bytes(data)
        return Job(str(source), len(data), (TIME + self.count) * 10**9, name, temp or f".pysubtask-{self.count:016x}.part", stale)

    def life(self, act: Act, kept: str = "") -> Profile:
        """One of a transport that begins with what another has kept."""
        settings = self.running.settings(StallSecs=20, ConnectTimeoutSecs=20, HostPath="")
        transport: Transport = TRANSPORTS[self.kind](settings, str(self.place / "work"))
        profile = transport.profile
        assert profile is not None
        if kept:
            profile.load(kept)

        async def whole() -> None:
            async with asyncio.timeout(60):
                await transport.connect()
                try:
                    await act(transport)
                finally:
                    await transport.close()

        asyncio.run(whole())
        return profile

    def left(self) -> list[str]:
        return sorted(path.name for path in self.files.iterdir() if path.name.startswith(".pysubtask-"))


@pytest.fixture(params=["sftp", "ftp"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    quirk_server = quirk_sftp_server if request.param == "sftp" else quirk_ftp_server
    (tmp_path / "work").mkdir()
    with quirk_server(tmp_path / "remote", delete=False) as running:
        yield Server(request.param, running, tmp_path)


def known(**left: Any) -> str:
    """What a transport has kept that has learned that nothing can be removed here."""
    profile = Profile(lambda: TIME)
    profile.learn(DELETE, "refused", "no file is deleted here")
    return json.dumps({**json.loads(profile.to_json()), **left})


def names(profile: Profile) -> list[str]:
    return sorted(path.lstrip("/") for path in profile.left)


def test_what_was_put_aside_before_an_end_is_found_again(server: Server):
    """The file had its new name, and the record of that was lost."""
    (server.files / ".pysubtask-1.part.left").write_bytes(b"half")

    async def act(transport: Transport) -> None:
        await transport.remove([".pysubtask-1.part"])

    assert names(server.life(act, known())) == [".pysubtask-1.part.left"]


def test_what_was_put_aside_before_an_end_is_found_unlearned(server: Server):
    """That nothing is removed here was lost with it."""
    (server.files / ".pysubtask-1.part.left").write_bytes(b"half")
    (server.files / ".pysubtask-2.part.left").write_bytes(b"half")

    async def act(transport: Transport) -> None:
        await transport.remove([".pysubtask-1.part"])
        await transport.upload(server.job("a.csv", b"all\n", ".pysubtask-2.part"), lambda done: None)

    profile = server.life(act)
    assert names(profile) == server.left() == [".pysubtask-1.part.left", ".pysubtask-2.part.left"]
    assert profile.rests.keys() == profile.left.keys()


def test_what_was_put_aside_before_an_end_is_found_by_an_upload(server: Server):
    (server.files / ".pysubtask-1.part.left").write_bytes(b"half")

    async def act(transport: Transport) -> None:
        await transport.upload(server.job("a.csv", b"all\n", ".pysubtask-1.part"), lambda done: None)

    assert names(server.life(act, known())) == [".pysubtask-1.part.left"]


def test_what_nobody_sends_any_more_is_put_aside_and_reported(server: Server):
    """A file of an upload that was killed, and whose file here has gone or is another one."""
    (server.files / ".pysubtask-1.part").write_bytes(b"half")

    async def act(transport: Transport) -> None:
        await transport.remove([".pysubtask-1.part"])

    profile = server.life(act)
    assert names(profile) == server.left() == [".pysubtask-1.part.left"]
    assert list(profile.left.values()) == [True], "it is used again"
    assert "1 temporary file could not be removed" in "\n".join(profile.lines())


def test_what_an_upload_had_at_its_end_is_no_upload_s_any_more(server: Server):
    """One became a file, whose record was lost; one is half written, and gets another name; of one the next name is there."""
    for name in (".pysubtask-2.part.left", ".pysubtask-3.part.left2"):
        (server.files / name).write_bytes(b"half")
    left = {f"/.pysubtask-{number}.part.left"[server.kind == "sftp" :]: False for number in (1, 2, 3)}

    async def act(transport: Transport) -> None:
        pass

    profile = server.life(act, known(left=left))
    assert names(profile) == server.left() == [".pysubtask-2.part.left2", ".pysubtask-3.part.left2"]
    assert all(profile.left.values()) and profile.rests.keys() == profile.left.keys()


def test_what_the_version_before_has_kept_is_taken_up(server: Server):
    """It had no record of what rests; one of its files no upload has any more."""
    for name in (".pysubtask-0000000000000001.part", ".pysubtask-0000000000000002.part.left"):
        (server.files / name).write_bytes(b"half")
    kept = RECORDED.read_text() if server.kind == "sftp" else RECORDED.read_text().replace(".pysubtask-", "/.pysubtask-")

    async def act(transport: Transport) -> None:
        pass

    profile = server.life(act, kept)
    assert names(profile) == server.left() == [".pysubtask-0000000000000001.part.left", ".pysubtask-0000000000000002.part.left"]
    assert all(profile.left.values())


def test_many_cuts_leave_no_more_files_than_there_were_at_once(server: Server):
    """Where they have rested, those of before are used."""
    kept, most = known(), 0
    for number in range(6):
        (server.files / f".pysubtask-{number:x}.part").write_bytes(b"half")

        async def act(transport: Transport, number: int = number) -> None:
            await transport.remove([f".pysubtask-{number:x}.part"])
            await transport.upload(server.job(f"{number}.csv", b"%d\n" % number), lambda done: None)

        profile = server.life(act, kept)
        rested = {path: since - 3600 for path, since in profile.rests.items()}
        kept = json.dumps({**json.loads(profile.to_json()), "rests": rested})
        assert names(profile) == server.left()
        most = max(most, len(server.left()))
    assert most <= 2
    assert [(server.files / f"{number}.csv").read_bytes() for number in range(6)] == [b"%d\n" % number for number in range(6)]


def test_a_file_that_an_upload_has_is_not_removed_under_it(tmp_path: Path):
    """The server lets files be removed again, which is noticed while others are under way."""
    with quirk_sftp_server(tmp_path / "remote") as running:
        server = Server("sftp", running, tmp_path)
        (server.files / ".pysubtask-1.part.left").write_bytes(b"half")
        (server.files / ".pysubtask-2.part.left").write_bytes(b"half")

        async def act(transport: Transport) -> None:
            profile = transport.profile
            assert profile is not None
            profile.load(known(left={".pysubtask-1.part.left": False, ".pysubtask-2.part.left": True}))
            profile.try_again()
            await transport.upload(server.job("a.csv"), lambda done: None)
            await transport.upload(server.job("b.csv"), lambda done: None)

        server.life(act)
        assert server.left() == [".pysubtask-1.part.left"]


def test_what_a_frozen_server_still_writes_is_in_no_other_file(server: Server):
    """Its session has the file of an upload that was cut open, and requests that it has not carried out yet."""
    name = ".pysubtask-1.part"
    (server.files / name).write_bytes(b"old\n")
    session = os.open(server.files / name, os.O_WRONLY)

    async def act(transport: Transport) -> None:
        await transport.upload(server.job("a.csv", b"new\n", name), lambda done: None)
        await transport.upload(server.job("b.csv", b"other\n"), lambda done: None)

    profile = server.life(act)
    os.pwrite(session, b"OLD AND MORE\n", 0)
    os.close(session)
    assert (server.files / "a.csv").read_bytes() == b"new\n"
    assert (server.files / "b.csv").read_bytes() == b"other\n"
    assert names(profile) == server.left()


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "work").mkdir()
    with quirk_ftp_server(tmp_path / "remote", delete=False) as running:
        yield Server("ftp", running, tmp_path)


def test_a_file_that_another_upload_writes_to_keeps_its_name(ftp: Server):
    """An earlier attempt at this name had written to it, too."""
    name = ".pysubtask-9.part.left"

    async def act(transport: Transport) -> None:
        assert isinstance(transport, FTPTransport) and transport.profile is not None and transport._publisher is not None
        (ftp.files / name).write_bytes(b"being written")
        transport.profile.left[name] = False
        transport._publisher.temps.temp_record.add(".pysubtask-8.part", name)
        await transport.upload(ftp.job("a.csv", b"all\n", ".pysubtask-8.part"), lambda done: None)
        await transport.remove([".pysubtask-8.part"])

    ftp.life(act, known())
    assert ftp.left() == [name]


def test_a_leftover_is_reported_where_no_size_proves_it(ftp: Server):
    ftp.running.quirks.size = "never"
    (ftp.files / ".pysubtask-1.part").write_bytes(b"half")

    async def act(transport: Transport) -> None:
        await transport.upload(ftp.job("a.csv"), lambda done: None)
        await transport.remove([".pysubtask-1.part"])

    assert names(ftp.life(act)) == ftp.left() == [".pysubtask-1.part.left"]
