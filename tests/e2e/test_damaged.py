"""A snapshot that is not what was copied any more when it is sent: damaged by the disk, or by somebody."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pysubtask.common.receipts import read_receipts
from pysubtask.testing.link.relay import Relay
from tests.e2e.conftest import MakeStation
from tests.support.helpers import wait_until


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "killed"),
    [({}, False), ({"append": True}, False), ({"append": True}, True)],
    ids=["any file", "append", "append, by the next child"],
)
def test_a_damaged_snapshot_is_not_published_and_is_taken_anew(
    relay: Relay, station: MakeStation, entry: dict[str, Any], killed: bool
):
    one = station("a.csv", entry)
    first, more = os.urandom(2_000_000), os.urandom(50_000)
    one.write("a.csv", first[:-1000])
    one.master.start()
    # From the second time on the end is enough, and the snapshot is continued.
    for rest in (b"", first[-1000:]):
        one.write("a.csv", rest, "a")
        one.notify("a.csv")
        one.arrived("a.csv")
        one.idle()
    relay.refuse()
    relay.cut_all()
    one.write("a.csv", more, "a")
    one.notify("a.csv")
    bak = one.data / "upload" / "ftp"
    wait_until(lambda: one.page()["queue"]["waiting"] == 1, what="it in the queue")
    found = [path for path in bak.glob("*a.csv") if not path.name.startswith(".")]
    if killed:
        one.kill()
    with open(found[0], "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        assert (size < 1_000_000) == bool(entry), "of the end alone, where that is enough"
        file.seek(size - 1)
        file.write(bytes([more[-1] ^ 1]))
    relay.accept()
    relay.heal()

    def seen() -> bool:
        one.master.check_pending_notifications()
        content = (one.server / "a.csv").read_bytes()
        assert (first + more).startswith(content), "nothing but what the app wrote"
        return content == first + more

    wait_until(seen, 40, what="the file on the server")
    one.idle()
    assert "snapshot_lost" in one.kinds()
    assert len(list(read_receipts(str(one.state)))) == 3
