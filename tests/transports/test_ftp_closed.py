"""A session that was closed from here between two steps of an upload: the link is lost, and nobody crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import TransportLost
from pysubtask.testing import ftp_server
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.data import Source, Tally

STEPS: dict[str, Callable[[Any, int], Any]] = {
    "a question": lambda session, fd: session.ask("SIZE a"),
    "a look": lambda session, fd: session.stat("a"),
    "a transfer": lambda session, fd: session.store("a", Source(fd, 0), 5, Tally.silent()),
    "a rename": lambda session, fd: session.rename("a", "b"),
}


@pytest.mark.parametrize("tls", [None, "explicit"])
@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_after_the_close(tmp_path: Path, tls: str | None, passive: bool, step: str):
    (tmp_path / "work").mkdir()
    source = tmp_path / "source"
    source.write_bytes(b"12345")

    async def case(settings: dict[str, Any], file: Any) -> None:
        transport = FTPTransport(settings, str(tmp_path / "work"))
        await transport.connect()
        try:
            [session] = transport._pool._sessions  # type: ignore[union-attr]
            session.control.cut()
            with pytest.raises((TransportLost, OSError)):  # an OSError becomes one at the edge
                STEPS[step](session, file.fileno())
        finally:
            await transport.close()

    with ftp_server(tmp_path / "ftp", tls=tls) as server, open(source, "rb") as file:
        asyncio.run(case(server.settings(PassiveMode=passive), file))
