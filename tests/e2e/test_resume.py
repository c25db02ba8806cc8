"""A big file that is cut and killed on its way goes on where it was.

With PYSUBTASK_FULL_SIZE set, 300 MB, ten cuts and two kills.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

FULL = bool(os.environ.get("PYSUBTASK_FULL_SIZE"))
SIZE, CUTS, KILLS, RATE = (300_000_000, 10, 2, 30_000_000) if FULL else (24_000_000, 3, 1, 12_000_000)


@pytest.fixture(params=["sftp", "ftp"])
def station(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SFTPStation, Any]]:
    entries = [{"file": str(tmp_path / "data" / "big.bin")}]
    if request.param == "sftp":
        if missing() is not None:
            pytest.skip(str(missing()))
        with openssh_server(tmp_path / "sshd") as server, Relay("127.0.0.1", server.port, buffer=64 * 1024) as relay:
            login = {**server.settings(), "HostPort": relay.port, "HostKey": server.host_key, "KnownHostsFile": None}
            yield from running(SFTPStation(tmp_path, server.files, login, entries), relay)
    else:
        with ftp_server(tmp_path / "ftpd") as ftpd, FTPRelay(ftpd.port, ftpd.data_ports, buffer=64 * 1024) as relay:
            login = ftpd.settings(Host=relay.host, HostPort=relay.port)
            yield from running(SFTPStation(tmp_path, ftpd.files, login, entries), relay)


def running(station: SFTPStation, relay: Any) -> Iterator[tuple[SFTPStation, Any]]:
    try:
        yield station, relay
    finally:
        station.close()


@pytest.mark.slow
def test_cuts_and_kills_cost_little(station: tuple[SFTPStation, Any]):
    one, relay = station
    chance = random.Random(seed := random.randrange(10**6))
    print(f"seed {seed}")
    relay.throttle(RATE, "up")
    one.write("big.bin", os.urandom(SIZE))
    one.master.start()
    one.notify("big.bin")
    offsets = sorted(chance.randrange(SIZE // 20, SIZE * 9 // 10) for _ in range(CUTS + KILLS))
    kills = set(chance.sample(range(CUTS + KILLS), KILLS))
    for number, offset in enumerate(offsets):
        wait_until(lambda offset=offset: one.master.check_pending_notifications() or relay.up >= offset, 60, what=f"{offset} bytes")
        if number in kills:
            one.kill()
        else:
            relay.cut_all()
    one.arrived("big.bin", secs=120)
    print(f"{SIZE / 1e6:.0f} MB, {CUTS} cuts, {KILLS} kills: {relay.up / SIZE:.3f} x its size sent")
    assert relay.up < (1.1 if FULL else 1.35) * SIZE
    one.idle()
    assert one.sent() == ["big.bin"], "published once"
    assert [path.name for path in one.server.iterdir()] == ["big.bin"]
