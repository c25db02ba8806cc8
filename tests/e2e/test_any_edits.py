"""Whatever is done to a file at either end and to the link: after the last notify the remote equals the source.

With PYSUBTASK_FULL_SIZE set, a hundred walks instead of a few.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.station import SFTPStation

STALL_SECS = 5
"""A server whose data connection is reset before it has taken it may say nothing at all: pyftpdlib does not."""
_numbers = itertools.count()
SIZES = st.sampled_from([0, 1, 900, 1100, 5_000, 70_000, 400_000])
PLACES = st.floats(0, 1)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["append", "insert", "overwrite", "replace", "rotate"]), PLACES, SIZES),
    st.tuples(st.sampled_from(["truncate", "same size and time"]), PLACES, st.just(0)),
    st.tuples(st.sampled_from(["remote truncated", "remote touched", "remote replaced", "remote gone"]), PLACES, SIZES),
    st.tuples(st.sampled_from(["cut", "wait", "wait", "kill"]), PLACES, st.sampled_from([50, 3_000, 60_000, 300_000])),
)


class World:
    """One running station; each example has a file of its own."""

    def __init__(self, station: SFTPStation, relay: Any) -> None:
        self.station = station
        self.relay = relay

    def run(self, steps: list[tuple[str, float, int]]) -> None:
        name = f"f{next(_numbers)}.csv"
        local, remote = self.station.data / "box" / name, self.station.server / name
        local.write_bytes(os.urandom(2000))
        for step, place, size in [("wait", 0.0, 0), *steps]:
            self.step(step, place, size, local, remote)
        self.relay.heal()
        self.station.notify(f"box/{name}")
        self.station.arrived(f"box/{name}", secs=30)

    def step(self, step: str, place: float, size: int, local: Path, remote: Path) -> None:
        data = local.read_bytes()
        at = int(place * len(data))
        if step == "append":
            local.write_bytes(data + os.urandom(size)) if place < 0.3 else self.add(local, os.urandom(size))
        elif step == "insert":
            local.write_bytes(data[:at] + os.urandom(size) + data[at:])
        elif step == "overwrite":
            local.write_bytes(data[:at] + os.urandom(size) + data[at + size :])
        elif step == "truncate":
            os.truncate(local, at)
        elif step == "replace":
            local.with_suffix(".new").write_bytes(os.urandom(size))
            os.replace(local.with_suffix(".new"), local)
        elif step == "rotate":
            os.unlink(local)
            local.write_bytes(os.urandom(size))
        elif step == "same size and time":
            found = local.stat()
            local.write_bytes(os.urandom(len(data)))
            os.utime(local, ns=(found.st_atime_ns, found.st_mtime_ns))
        elif step == "cut":
            self.relay.drop("up", size)
        elif step == "kill":
            self.station.kill()
            # Started anew by hand: the back-off of a child that keeps dying is not what is tested here.
            self.station.master.stop(forcekill=True)
            self.station.master.start()
        elif step == "wait":
            time.sleep(place * 0.4)
        elif remote.exists():
            if step == "remote gone":
                remote.unlink()
            else:
                found = remote.stat()
                if step == "remote truncated":
                    os.truncate(remote, int(place * found.st_size))
                elif step == "remote replaced":
                    remote.write_bytes(os.urandom(size))
                # Another second than any of ours.
                os.utime(remote, (1, 1_000_000 + next(_numbers)))
        if not step.startswith("remote"):
            self.station.notify(f"box/{local.name}")

    @staticmethod
    def add(local: Path, data: bytes) -> None:
        with open(local, "ab") as file:
            file.write(data)


@pytest.fixture(scope="module", params=["sftp", "ftp"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    entries = [{"file": str(root / "data" / "a.csv")}, {"dir": str(root / "data" / "box"), "settle_secs": 0}]
    waits = {"RetryWaitSecs": 0.1, "RetryLongWaitSecs": 0.2}
    if request.param == "sftp":
        if missing() is not None:
            pytest.skip(str(missing()))
        with openssh_server(root / "sshd") as server, Relay("127.0.0.1", server.port) as relay:
            login = server.settings(HostPort=relay.port, HostKey=server.host_key, KnownHostsFile=None, StallSecs=STALL_SECS)
            station = SFTPStation(root, server.files, login, entries, **waits)
            yield from running(station, relay)
    else:
        with ftp_server(root / "ftpd") as ftpd, FTPRelay(ftpd.port, ftpd.data_ports) as relay:
            login = ftpd.settings(Host=relay.host, HostPort=relay.port, StallSecs=STALL_SECS)
            station = SFTPStation(root, ftpd.files, login, entries, **waits)
            yield from running(station, relay)


def running(station: SFTPStation, relay: Any) -> Iterator[World]:
    station.master.start()
    try:
        yield World(station, relay)
    finally:
        station.close()


# What comes before an example stays in the world, so shrinking one would not find the same again.
@pytest.mark.slow
@settings(
    max_examples=100 if os.environ.get("PYSUBTASK_FULL_SIZE") else 6,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
)
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_the_remote_equals_the_source_after_the_last_notify(world: World, steps: list[tuple[str, float, int]]):
    world.run(steps)
