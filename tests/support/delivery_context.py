"""Sources, jobs and uploads by SFTP."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pysubtask.testing.servers.sshd import OpenSSHServer
from pysubtask.transports.base import Job, Sent
from pysubtask.transports.sftp import SFTPTransport

LIMIT = 60


class DeliveryContext:
    """Sources, jobs and uploads of one test, into a folder of its own."""

    def __init__(self, server: OpenSSHServer, place: Path) -> None:
        self.server, self.place = server, place
        self.folder = place / "remote"
        self.folder.mkdir()
        self.count = 0

    def transport(self, **settings: Any) -> SFTPTransport:
        return SFTPTransport(self.server.settings(HostPath=str(self.folder), **settings), str(self.place / "work"))

    def job(self, name: str, data: bytes, **changes: Any) -> Job:
        self.count += 1
        source = self.place / f"source{self.count}"
        source.write_bytes(data)
        return Job(str(source), len(data), 1_600_000_000 * 10**9, name, f".{name}.{self.count}.tmp")._replace(**changes)

    async def put(self, transport: SFTPTransport, job: Job) -> Sent:
        async with asyncio.timeout(LIMIT):
            return await transport.upload(job, lambda done: None)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))
