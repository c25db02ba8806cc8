"""What several files here share: one OpenSSH server for a file, a relay in front of it and stations for a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from tests.support.station import SFTPStation

MakeStation = Callable[..., SFTPStation]


@pytest.fixture(scope="module")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    if missing() is not None:
        pytest.skip(str(missing()))
    with openssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def relay(shared_sshd: OpenSSHServer) -> Iterator[Relay]:
    with Relay("127.0.0.1", shared_sshd.port) as running:
        yield running


@pytest.fixture
def station(tmp_path: Path, shared_sshd: OpenSSHServer, relay: Relay) -> Iterator[MakeStation]:
    """Makes a station whose one entry is a file of this name, with more keys of the entry and settings; it uploads through
    the relay into a folder of its own."""
    stations: list[SFTPStation] = []

    def make(name: str, entry: dict[str, Any] | None = None, **ftp: Any) -> SFTPStation:
        folder = shared_sshd.files / tmp_path.name
        folder.mkdir(exist_ok=True)
        login = {
            **shared_sshd.settings(HostPath=folder.name),
            "HostPort": relay.port,
            "HostKey": shared_sshd.host_key,
            "KnownHostsFile": None,
            **ftp,
        }
        stations.append(SFTPStation(tmp_path, folder, login, [{"file": str(tmp_path / "data" / name), **(entry or {})}]))
        return stations[-1]

    yield make
    for one in stations:
        one.close()
