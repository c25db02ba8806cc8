"""A connected FTP transport and files to send."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import TransportError
from pysubtask.transports.base import Job, Sent
from pysubtask.transports.ftp import FTPTransport

MTIME = 1_600_000_001


class Work:
    """A connected transport and files to send."""

    def __init__(self, place: Path, transport: FTPTransport) -> None:
        self.place, self.transport, self.count = place, transport, 0

    def job(self, name: str, data: bytes, **changes: Any) -> Job:
        self.count += 1
        source = self.place / f"source-{self.count}"
        source.write_bytes(data)
        return Job(str(source), len(data), MTIME * 10**9, name, f".t{self.count}.tmp")._replace(**changes)

    async def put(self, name: str, data: bytes, **changes: Any) -> Sent:
        return await self.transport.upload(self.job(name, data, **changes), lambda done: None)


def connect(settings: dict[str, Any], tmp_path: Path) -> TransportError:
    """The error of a connect that fails."""

    async def whole() -> TransportError:
        transport = FTPTransport(settings, str(tmp_path))
        async with asyncio.timeout(60):
            with pytest.raises(TransportError) as failed:
                await transport.connect()
            await transport.close()
        return failed.value

    return asyncio.run(whole())
