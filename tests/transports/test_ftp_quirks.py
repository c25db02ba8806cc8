"""FTP and FTPS against a server with each quirk as a switch: every file whole, nothing blamed that another way could deliver."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from pysubtask.testing.quirk_ftp import QuirkFTPServer, quirk_ftp_server
from pysubtask.testing.quirks import SWITCHES, Switch
from pysubtask.transports.base import Append, Job, Sent
from pysubtask.transports.ftp import FTPTransport

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
            job = Job(str(source), len(data), MTIME * 10**9 + self.count * 10**9, name, temp, self.temps.get(name, ()),
                      replaces=None if sent is None else sent.remote, append=how)
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


ALL = [(switch, tls) for switch in SWITCHES for name, tls in (("ftp", None), ("ftps", "explicit")) if name in switch.protocols]


@pytest.mark.parametrize(("switch", "tls"), ALL, ids=[f"{switch.name}-{tls or 'plain'}" for switch, tls in ALL])
def test_every_file_is_whole_with_each_quirk_alone(tmp_path: Path, switch: Switch, tls: str | None) -> None:
    if switch.name in IMPOSSIBLE:
        with pytest.raises(FileRefused, match="StoreInPlace"):
            served(tmp_path, switch, tls)
        return
    files, found, server = served(tmp_path, switch, tls)
    print(switch.name, files.steps, files.tries, {one.verified for one in files.left.values()})
    assert {name: found.get(name) for name in files.content} == files.content
    assert not [line for line in files.tries if line.startswith("LOST")], files.tries
    assert len(files.tries) <= 2, files.tries
    if server.quirks.delete:
        assert {name for name in found if "pysubtask-" in name} == set()
