"""The test servers as pytest fixtures: ``pytest_plugins = ["pysubtask.testing.pytest_plugin"]`` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .relay import Relay
from .sftp import SFTPServer
from .sftp import sftp_server as start


@pytest.fixture
def sftp_server(tmp_path: Path) -> Iterator[SFTPServer]:
    """A running SFTP server that stores into ``tmp_path / "sftp_server"``."""
    with start(tmp_path / "sftp_server") as server:
        yield server


@pytest.fixture
def relay_to() -> Iterator[Callable[[str, int], Relay]]:
    """``relay_to(host, port)`` gives a relay in front of that server; all are closed after the test."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(Relay(host, port))
