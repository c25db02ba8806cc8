"""A big file that was changed costs what changed: a real child, the system's ssh, a real OpenSSH server, a relay that counts."""

from __future__ import annotations

import os
import random
import threading

import pytest

from pysubtask.common.receipts import read_receipts
from pysubtask.testing.link.relay import Relay
from tests.e2e.conftest import MakeStation
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation


@pytest.fixture
def one(station: MakeStation) -> SFTPStation:
    return station("big.dat")


def sent(station: SFTPStation) -> None:
    before = len(station.sent())
    station.notify("big.dat")
    wait_until(lambda: len(station.sent()) > before, 60, what="a receipt")
    station.idle()
    assert (station.server / "big.dat").read_bytes() == (station.data / "big.dat").read_bytes()


@pytest.mark.slow
def test_only_changes_are_sent_and_a_reader_sees_whole_versions(one: SFTPStation, relay: Relay):
    noise = random.Random(11).randbytes
    content = noise(20_000_000)
    path = one.write("big.dat", content)
    one.master.start()
    sent(one)
    remote, seen, enough = one.server / "big.dat", set(), threading.Event()

    def read_remote() -> None:
        while not enough.is_set():
            seen.add(hash(remote.read_bytes()))
            enough.wait(0.05)

    versions = [content, noise(1_000_000) + content]
    versions.append(versions[1][:12_345_678] + noise(100_000) + versions[1][12_445_678:])
    versions.append(versions[2][9_000_000:] + versions[2][:9_000_000])
    versions.append(versions[3] + b"grown")
    versions.append(versions[4][700_000:])
    reader = threading.Thread(target=read_remote)
    reader.start()
    try:
        for version, most in zip(versions[1:], (1_100_000, 200_000, 120_000, 12_000, 120_000), strict=True):
            before = relay.up
            path.write_bytes(version)
            sent(one)
            print(f"{len(version):,} bytes cost {relay.up - before:,} of at most {most:,}")
            assert relay.up - before < most
    finally:
        enough.set()
        reader.join()
    assert seen <= {hash(version) for version in versions}
    receipts = list(read_receipts(str(one.state)))
    assert [receipt.bytes_sent for receipt in receipts] == [receipt.bytes_new for receipt in receipts]
    one.master.stop(forcekill=False)
    assert one.leftovers() == []


@pytest.mark.slow
def test_what_others_did_to_it_and_cuts_make_no_mixture(one: SFTPStation, relay: Relay):
    content = random.randbytes(3_000_000)
    path = one.write("big.dat", content)
    one.master.start()
    sent(one)
    remote = one.server / "big.dat"
    remote.write_bytes(os.urandom(len(content)))
    os.utime(remote, (1, 1))  # in the same second and of the same size nobody could tell it from ours
    path.write_bytes(os.urandom(300_000) + content)
    sent(one)
    assert one.kinds().count("not_as_left") == 1
    relay.drop("up", 250_000)
    content = path.read_bytes()
    path.write_bytes(content[:1_500_000] + os.urandom(500_000) + content[1_500_000:])
    one.notify("big.dat")
    wait_until(lambda: relay.drops, what="a cut")
    relay.heal()
    before = relay.up
    one.arrived("big.dat", secs=60)
    one.idle()
    assert relay.up - before < 700_000, "it was known of what the server's file is made, after a whole upload and a cut, too"
