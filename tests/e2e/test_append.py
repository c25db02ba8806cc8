"""Only new bytes travel: a real child, the system's ssh, a real OpenSSH server, and a relay that counts."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.link.relay import Relay
from pysubtask.transports.ssh.tcp_latency import possible
from tests.e2e.conftest import MakeStation
from tests.support.helpers import wait_until


def lines(size: int) -> bytes:
    return b"".join(b"%06d,%d\n" % (number % 10**6, number) for number in range(size // 14))


def tells_what_it_cost(one: Any, relay: Relay) -> None:
    """By the receipts, the events and the last page, against what the relay has seen."""
    receipts = list(read_receipts(str(one.state)))
    events = [event.fields["bytes_on_wire"] for event in read_events(str(one.state)) if event.kind == "delivered"]
    assert events == [receipt.bytes_on_wire for receipt in receipts]
    costs = [(receipt.bytes_sent, receipt.bytes_on_wire or 0) for receipt in receipts[1:]]
    # On a busy machine some bytes are transmitted again even here.
    assert all(sent < on_wire for sent, on_wire in costs) and min(on_wire / sent for sent, on_wire in costs) < 1.25, costs
    one.master.stop(forcekill=False)
    wait_until(lambda: one.page().get("state") == "stopped", what="its last page")
    total = one.page()["bytes_on_wire"]
    # The headers of IP and TCP are in it, and nothing else that the relay has not seen.
    assert relay.up + relay.down < total < 1.1 * (relay.up + relay.down)
    assert sum(events) <= total < sum(events) + 2_000, "but for the goodbye, all of it is on a receipt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "ftp"),
    [({}, {}), ({"append": True}, {"AtomicAppend": True})],
    ids=["any file, in place", "append, complete versions"],
)
def test_a_growing_file_costs_what_it_gained(relay: Relay, station: MakeStation, entry: dict[str, Any], ftp: dict[str, Any]):
    one = station("a.csv", entry, **ftp)
    one.write("a.csv", lines(4_000_000))
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv")
    one.idle()
    before = relay.up
    gained = 0
    for _ in range(3):
        more = lines(60_000)
        one.write("a.csv", more, "a")
        gained += len(more)
        one.notify("a.csv")
        one.arrived("a.csv")
        one.idle()
    assert relay.up - before < 1.25 * gained
    receipts = list(read_receipts(str(one.state)))
    assert [receipt.bytes_sent for receipt in receipts[1:]] == [receipt.bytes_new for receipt in receipts[1:]]
    assert sum(receipt.bytes_new for receipt in receipts[1:]) == gained
    if possible():
        tells_what_it_cost(one, relay)
    if entry:
        snapshots = [line for line in one.log().splitlines() if "Copying [" in line]
        assert len(snapshots) == 4
    one.master.stop(forcekill=False)
    assert one.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", [{}, {"append": True}], ids=["any file", "append"])
def test_what_is_done_to_the_file_at_either_end_is_put_right(station: MakeStation, entry: dict[str, Any]):
    one = station("a.csv", entry)
    path = one.write("a.csv", lines(400_000))
    one.master.start()
    remote = one.server / "a.csv"

    def sent() -> None:
        one.notify("a.csv")
        one.arrived("a.csv")
        one.idle()

    sent()
    for number, change in enumerate(
        (
            "remote truncated",
            "remote touched",
            "remote replaced",
            "remote gone",
            "local truncated",
            "local replaced",
            "local rotated",
            "nothing",
        )
    ):
        if change == "remote truncated":
            os.truncate(remote, 1000)
        elif change == "remote touched":
            os.utime(remote, (1, 1))
        elif change == "remote replaced":
            stamp = remote.stat()
            remote.write_bytes(os.urandom(stamp.st_size))
            os.utime(remote, (stamp.st_atime + 5, stamp.st_mtime + 5))
        elif change == "remote gone":
            remote.unlink()
        elif change == "local truncated":
            os.truncate(path, 100_000)
        elif change == "local replaced":
            path.write_bytes(lines(100_000)[::-1])
        elif change == "local rotated":
            os.rename(path, path.with_suffix(".old"))
            path.write_bytes(lines(500_000)[7:])
        one.write("a.csv", f"after {change}, {number}\n", "a")
        sent()
    assert one.kinds().count("not_as_left") >= 3


@pytest.mark.slow
def test_cuts_and_kills_amid_appends_show_true_prefixes_only(relay: Relay, station: MakeStation):
    chance = random.Random(seed := random.randrange(10**6))
    print(f"seed {seed}")
    one = station("a.csv", {"append": True}, ConnectTimeoutSecs=5)
    path = one.write("a.csv", lines(500_000))
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv")
    remote, seen, enough = one.server / "a.csv", set(), threading.Event()

    def read_remote() -> None:
        last = b""
        while not enough.is_set():
            if (data := remote.read_bytes()) != last:
                seen.add((len(data), hash(data)))
                last = data
            enough.wait(0.005)

    reader = threading.Thread(target=read_remote)
    reader.start()
    new, before = 0, relay.up
    try:
        for number in range(8):
            more = lines(400_000)
            new += len(more)
            if number % 4 == 3:
                one.write("a.csv", more, "a")
                one.notify("a.csv")
                time.sleep(chance.random() * 0.1)
                one.kill()
            else:
                relay.drop("up", chance.randrange(20_000, 330_000), how=chance.choice(["rst", "fin"]))
                one.write("a.csv", more, "a")
                one.notify("a.csv")
                wait_until(lambda: relay.drops or remote.stat().st_size == path.stat().st_size, 20, what="a cut")
            relay.heal()
            if number % 2:
                one.arrived("a.csv", secs=30)
        one.arrived("a.csv", secs=30)
    finally:
        enough.set()
        reader.join()
    data = path.read_bytes()
    assert all(hash(data[:size]) == digest for size, digest in seen), "a true prefix at any moment"
    # Where a snapshot was taken in the middle of our own writing, it ends there.
    ends = {event.fields["size"] for event in read_events(str(one.state)) if event.kind == "queued"}
    # A file system shows a write page by page, and the reader may read in between.
    halves = [size for size, _ in seen if data[size - 1 : size] != b"\n" and size not in ends and size % 4096]
    assert halves == [], "and never half a line"
    print(f"{len(seen)} sizes seen, {(relay.up - before) / new:.2f} x what was new")
    assert relay.up - before < 2.0 * new, "what was there was not sent again"
