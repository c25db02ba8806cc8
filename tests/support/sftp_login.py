"""A login by SFTP that succeeds, and one that is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import LoginRefused
from pysubtask.transports.sftp import SFTPTransport


def connects(settings: dict[str, Any], tmp_path: Path) -> None:
    """Logs in, and the connection is good for something."""

    async def whole() -> None:
        transport = SFTPTransport(settings, str(tmp_path / "work"))
        await transport.connect()
        try:
            assert await transport.stat("not there") is None
        finally:
            await transport.close()

    asyncio.run(whole())


def refused(settings: dict[str, Any], tmp_path: Path, kind: type[Exception] = LoginRefused) -> str:
    with pytest.raises(kind) as caught:
        connects(settings, tmp_path)
    assert type(caught.value) is kind
    return str(caught.value)
