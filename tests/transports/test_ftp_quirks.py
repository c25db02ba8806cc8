"""FTP and FTPS against a server with each quirk as a switch: every file whole, nothing blamed that another way could deliver."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from pysubtask.testing.servers.quirk_ftp import QuirkFTPServer, quirk_ftp_server
from pysubtask.testing.servers.quirks import SWITCHES, Switch, pairs
from pysubtask.transports.base import Append, Job, Sent
from pysubtask.transports.ftp import FTPTransport
from tests.support.stubborn_ftp import stubborn_server

MTIME = 1_600_000_001
IMPOSSIBLE = {"no rename at all"}
"""What cannot be delivered without StoreInPlace."""


class Files:
    """A folder of local files, sent by a transport as a child would: again after an attempt that failed, whole where nothing can be
    built upon what is there, over a new connection after a lost one."""

    def __init__(self, place: Path, transport: FTPTransport) -> None:
        self.place, self.transport = place, transport
        self.count = 0
        self.left: dict[str, Sent] = {}
        self.temps: dict[str, tuple[str, ...]] = {}
        self.content: dict[str, bytes] = {}
        self.tries: list[str] = []
        self.steps: list[str] = []
        assert transport.profile is not None
        transport.profile.on_step = lambda step: self.steps.append(f"{step.means}: {step.rung}")

    async def put(self, name: str, data: bytes, *, append: bool = False, tries: int = 4) -> Sent:
        self.content[name] = data
        sent = self.left.get(name)
        how = Append(sent.remote.size, sent.remote.size) if append and sent is not None and self.transport.traits.appends else None
        for _ in range(tries):
            self.count += 1
            source = self.place / f"source-{self.count}"
            source.write_bytes(data)
            folder, slash, _ = name.rpartition("/")
            temp = f"{folder}{slash}.pysubtask-{self.count:016x}.part"
            job = Job(
                str(source),
                len(data),
                MTIME * 10**9 + self.count * 10**9,
                name,
                temp,
                self.temps.get(name, ()),
                replaces=None if sent is None else sent.remote,
                append=how,
            )
            try:
                self.left[name] = await self.transport.upload(job, lambda done: None)
            except NotAsLeft:
                how, sent = None, None
            except AttemptFailed as exc:
                self.tries.append(f"{name}: {exc}")
                await asyncio.sleep(0.2)
            except TransportLost as exc:
                self.tries.append(f"LOST {name}: {exc}")
                await self.transport.close()
                await self.transport.connect()
            else:
                self.temps.pop(name, None)
                return self.left[name]
            self.temps[name] = (*self.temps.get(name, ()), temp)
        raise AssertionError(f"{name} was not taken in {tries} tries: {self.tries[-tries:]}")


def seen(server: QuirkFTPServer) -> dict[str, bytes]:
    found = {}
    for base, _, names in os.walk(server.files):
        for name in names:
            path = Path(base) / name
            found[str(path.relative_to(server.files))] = path.read_bytes()
    return found


async def a_day(files: Files) -> None:
    """New files side by side, rewritten ones, one that grows, a folder."""
    await asyncio.gather(*(files.put(f"f{number}.csv", os.urandom(1000 + 40_000 * (number % 3))) for number in range(8)))
    await files.put("day/x.csv", b"in a folder\n")
    for number in range(4):
        await files.put(f"f{number}.csv", os.urandom(2000))
    grown = b""
    for number in range(4):
        grown += b"%d,line\n" % number * 50
        await files.put("grow.csv", grown, append=True)


Served = tuple[Files, dict[str, bytes], QuirkFTPServer]


def served(tmp_path: Path, switch: Switch | None, tls: str | None, **settings: Any) -> Served:
    with quirk_ftp_server(tmp_path / "remote", tls=tls) as server:
        if switch is not None:
            switch.turn_on(server.quirks)
        (tmp_path / "work").mkdir()
        transport = FTPTransport(server.settings(StallSecs=5, **settings), str(tmp_path / "work"))
        files = Files(tmp_path, transport)

        async def whole() -> None:
            async with asyncio.timeout(40):
                await transport.connect()
                try:
                    await a_day(files)
                finally:
                    await transport.close()

        asyncio.run(whole())
        return files, {**seen(server), **{taken.name: taken.data for taken in server.taken}}, server


PLAIN_AND_TLS = (("ftp", None), ("ftps", "explicit"))
LONG = {"size grows late"}
"""Those that take 10 s."""
ALL = [(switch, tls) for switch in SWITCHES for name, tls in PLAIN_AND_TLS if name in switch.protocols]
LEARNED = {
    "no rename over a file": "publish: aside",
    "append refused": "append: none",
    "append refused at the write": "append: none",
    "no size ever": "size: never",
    "times refused": "time: refused",
    "times ignored": "time: ignored",
    "delete refused": "delete: refused",
    "hidden names refused": "temp_name: visible",
    "unknown endings refused": "temp_name: hidden_ending",
    "taken away": "look_after: taken",
    "EPSV refused": "data_connection: pasv",
    "wrong address in PASV": "data_connection: pasv_control_address",
}
"""What a transport has to find out, and tells once."""


def checked(files: Files, found: dict[str, bytes], server: QuirkFTPServer) -> None:
    assert {name: found.get(name) for name in files.content} == files.content
    assert not [line for line in files.tries if line.startswith("LOST")], files.tries
    assert len(files.tries) <= 2, files.tries
    ours = {name for name in found if "pysubtask-" in name}
    if server.quirks.delete:
        assert ours == set()
    else:
        assert files.transport.profile is not None
        # Those that stay are written to again, so that there are no more of them than were under way at once.
        assert len(ours) <= 6 and {f"{name}" for name in ours} <= set(files.transport.profile.left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switch", "tls"),
    [
        pytest.param(switch, tls, id=f"{switch.name}-{tls or 'plain'}", marks=[pytest.mark.slow] if switch.name in LONG else [])
        for switch, tls in ALL
    ],
)
def test_every_file_is_whole_with_each_quirk_alone(tmp_path: Path, switch: Switch, tls: str | None):
    if switch.name in IMPOSSIBLE:
        with pytest.raises(FileRefused, match="StoreInPlace"):
            served(tmp_path, switch, tls)
        return
    files, found, server = served(tmp_path, switch, tls)
    checked(files, found, server)
    assert len(files.steps) == len(set(files.steps)), "each is told once"
    if (step := LEARNED.get(switch.name)) is not None:
        assert step in files.steps, files.steps


@pytest.mark.parametrize("tls", [None, "explicit"])
def test_nothing_is_learned_of_a_server_without_quirks(tmp_path: Path, tls: str | None):
    files, found, server = served(tmp_path, None, tls)
    checked(files, found, server)
    assert (files.steps, files.tries) == ([], [])


HIDES_ALL = {"hidden names refused", "hidden after the publication"}
"""Both: whatever has a name that is taken is not to be found any more, so it cannot be renamed."""
PAIRS = [
    (one, other)
    for one, other in pairs("ftp", 60, seed=14)
    if not IMPOSSIBLE & {one.name, other.name} and {one.name, other.name} != HIDES_ALL
]


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[f"{one.name} and {other.name}" for one, other in PAIRS])
def test_every_file_is_whole_with_two_quirks(tmp_path: Path, one: Switch, other: Switch):
    files, found, server = served(tmp_path, one._replace(values={**one.values, **other.values}), None)
    checked(files, found, server)


def test_what_is_learned_outlives_the_process(tmp_path: Path):
    with quirk_ftp_server(tmp_path / "remote", hidden_names=False, rename="new") as server:
        (tmp_path / "work").mkdir()

        async def day(kept: str) -> FTPTransport:
            transport = FTPTransport(server.settings(), str(tmp_path / "work"))
            files = Files(tmp_path, transport)
            files.count = len(kept)
            assert transport.profile is not None
            transport.profile.load(kept)
            await transport.connect()
            await files.put("a", b"one")
            await files.put("a", b"another")
            await transport.close()
            assert files.steps == ([] if kept else ["temp_name: visible", "publish: aside"])
            return transport

        first = asyncio.run(day(""))
        assert first.profile is not None
        before = server.counts["STOR"]
        asyncio.run(day(first.profile.to_json()))
        assert server.counts["STOR"] - before <= 4, "at most one trial of the two kinds of names that were refused before"


@pytest.mark.slow
async def test_a_server_that_changes_back_and_forth_is_followed(tmp_path: Path):
    with quirk_ftp_server(tmp_path / "remote") as server:
        (tmp_path / "work").mkdir()
        transport = FTPTransport(server.settings(), str(tmp_path / "work"))
        files = Files(tmp_path, transport)

        async def rounds(count: int) -> None:
            grown = files.content.get("grow", b"")
            for _ in range(count):
                await files.put("a", os.urandom(100))
                grown += b"more\n" * 10
                await files.put("grow", grown, append=True)

        await transport.connect()
        await rounds(2)
        server.quirks.set(rename="new", append="refused", hidden_names=False)
        await rounds(3)
        assert files.steps == ["append: none", "temp_name: visible", "publish: aside"] or len(files.steps) == 3
        server.quirks.reset()
        await rounds(4)
        await transport.close()
        assert set(files.steps[3:]) == {"temp_name: hidden", "publish: posix_rename", "append: in_place"}
        assert {name: seen(server)[name] for name in files.content} == files.content and files.tries == []


def test_a_server_that_takes_no_resumed_session_for_data(tmp_path: Path):
    """And one that takes none over TLS 1.3, whatever is done: the next connection speaks an older one."""
    for refused in (("1.2", "1.3"), ("1.3",)):
        place = tmp_path / "-".join(refused)
        with stubborn_server(place / "remote", refused) as server:
            (place / "work").mkdir(parents=True)
            transport = FTPTransport(server.settings(), str(place / "work"))
            files = Files(place, transport)

            async def whole(transport: FTPTransport = transport, files: Files = files) -> None:
                await transport.connect()
                for number in range(4):
                    await files.put(f"f{number}", os.urandom(1000))
                await transport.close()

            asyncio.run(whole())
            assert {name: seen(server)[name] for name in files.content} == files.content
            if refused == ("1.3",):
                assert len(files.tries) == 1 and "TLS 1.2" in files.tries[0]
            else:
                assert (files.steps, files.tries) == (["tls_reuse: fresh"], [])


@pytest.mark.slow
async def test_a_size_that_grows_late_is_no_reason_to_send_whole_files(tmp_path: Path):
    with quirk_ftp_server(tmp_path / "remote", late_secs=1.0) as server:
        (tmp_path / "work").mkdir()
        files = Files(tmp_path, FTPTransport(server.settings(StallSecs=5), str(tmp_path / "work")))

        await files.transport.connect()
        try:
            grown = b"a line\n" * 1_000
            await files.put("grow.csv", grown)
            for _ in range(2):
                grown += b"more\n" * 20
                assert (await files.put("grow.csv", grown, append=True)).bytes_sent == 100
        finally:
            await files.transport.close()
        assert files.steps == [] and files.tries == []
