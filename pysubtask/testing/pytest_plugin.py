"""The test servers as pytest fixtures: ``pytest_plugins = ["pysubtask.testing.pytest_plugin"]`` in a conftest.py.

While it is loaded, the tasks of the tests are in no list of the user's: ``pysubtask status`` does not show them, neither while the
tests run nor later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..common.registry import VARIABLE
from .link.relay import Relay
from .servers.sftp import SFTPServer
from .servers.sftp import sftp_server as start


@pytest.fixture(scope="session", autouse=True)
def task_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the list of tasks is kept in for all tests of a run (``PYSUBTASK_REGISTRY``); one that is set already stays.
    Used by every test without being asked for."""
    before = os.environ.get(VARIABLE)
    if before:
        yield Path(before)
        return
    folder = tmp_path_factory.mktemp("pysubtask-registry")
    os.environ[VARIABLE] = str(folder)
    yield folder
    os.environ.pop(VARIABLE, None)


@pytest.fixture
def sftp_server(tmp_path: Path) -> Iterator[SFTPServer]:
    """A running SFTP server that stores into ``tmp_path / "sftp_server"``; ``sftp_server.settings()`` are the values of a section
    ``ftp`` that uploads there."""
    with start(tmp_path / "sftp_server") as server:
        yield server


@pytest.fixture
def relay_to() -> Iterator[Callable[[str, int], Relay]]:
    """``relay_to(host, port)`` gives a relay in front of that server; all are closed after the test."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(Relay(host, port))
