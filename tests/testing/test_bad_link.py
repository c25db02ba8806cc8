"""The link that cannot be trusted: its rules without a clock, its loop over socket pairs, and real TCP through it.

The last needs network namespaces and says so where they may not be made; the others run everywhere.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.link import bad_link as module
from pysubtask.testing.link._bad_link_lane import Lane, Outages
from pysubtask.testing.link._bad_link_loop import PacketLoop
from pysubtask.testing.link.bad_link import BadLink, bad_link, missing
from pysubtask.testing.servers.sshd import missing as sshd_missing
from pysubtask.testing.servers.sshd import openssh_server
from tests.support.helpers import wait_until

# ---- the rules


def delivered(lane: Lane, now: float) -> list[bytes]:
    got: list[bytes] = []
    lane.deliver(now, got.append)
    return got


def test_a_packet_takes_its_time_on_the_wire_and_then_the_delay():
    lane = Lane(0)
    lane.set(delay=0.5, rate=8000)  # 1,000 bytes/s
    for packet in (b"a" * 100, b"b" * 300):
        lane.take(packet, 10.0)
    assert delivered(lane, 10.59) == []
    assert delivered(lane, 10.61) == [b"a" * 100]
    assert delivered(lane, 10.89) == []
    assert delivered(lane, 10.91) == [b"b" * 300]
    # The wire was free again.
    lane.take(b"c" * 100, 20.0)
    assert delivered(lane, 20.61) == [b"c" * 100]
    assert lane.counts == (3, 500, 0, 0, 0)


def test_the_queue_ends_and_a_free_wire_takes_anything():
    lane = Lane(0)
    lane.set(rate=8000, queue=250)
    for _ in range(5):
        lane.take(b"x" * 100, 1.0)
    # One on the wire, which is still whole in the queue's eyes, and what fits beside it.
    assert len(lane.in_flight) == 2 and lane.counts.overflowed == 3
    lane.take(b"y" * 1000, 50.0)
    assert lane.counts.overflowed == 3 and lane.counts.bytes == 1200


def test_the_same_seed_loses_the_same_packets():
    def lost(seed: int) -> list[bytes]:
        lane = Lane(seed)
        lane.set(loss=0.1)
        packets = [b"%d" % number for number in range(2000)]
        for packet in packets:
            lane.take(packet, 0.0)
        got = delivered(lane, 0.0)
        assert lane.counts.lost == 2000 - len(got) and lane.counts.packets == 2000
        there = set(got)
        assert got == [packet for packet in packets if packet in there], "in their order"
        return sorted(set(packets) - there)

    assert 120 < len(lost(1)) < 280
    assert lost(1) == lost(1) != lost(2)


def test_a_shorter_delay_lets_nobody_overtake():
    lane = Lane(0)
    lane.set(delay=1)
    lane.take(b"first", 0.0)
    lane.set(delay=0)
    lane.take(b"second", 0.1)
    assert delivered(lane, 0.9) == []
    assert delivered(lane, 1.0) == [b"first", b"second"]


def test_packets_in_flight_when_the_link_goes_down_are_lost():
    lane = Lane(0)
    lane.set(delay=1)
    lane.take(b"one", 0.0)
    lane.cut(2)
    assert delivered(lane, 9.0) == [] and lane.counts.cut == 3


@pytest.mark.parametrize("wrong", [{"delay": -1}, {"loss": 1.5}, {"rate": 0}, {"queue": None}, {"speed": 1}])
def test_values_that_cannot_be(wrong: dict[str, Any]):
    lane = Lane(0)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        lane.set(**{"delay": 5, **wrong})
    assert lane.delay == 0


def test_packets_above_a_size_vanish():
    lane = Lane(0)
    lane.set(largest=100)
    for size in (100, 101, 1500, 40):
        lane.take(b"x" * size, 0.0)
    assert [len(packet) for packet in delivered(lane, 1.0)] == [100, 40] and lane.counts.lost == 2
    lane.set(largest=None)
    lane.take(b"x" * 1500, 2.0)
    assert len(delivered(lane, 3.0)) == 1


def test_a_plan_of_outages():
    outages = Outages()
    outages.plan([(5, 6), (1, 2)], 100.0)
    assert [outages.is_down(100.0 + at) for at in (0, 1, 1.9, 2, 5.5, 6)] == [False, True, True, False, True, False]
    assert [outages.next_edge(100.0 + at) for at in (0, 1, 5.5, 6)] == [101, 102, 106, None]
    outages.ordered = True
    assert outages.is_down(100.0)
    with pytest.raises(ValueError, match="begin"):
        outages.plan([(2, 2)], 0.0)


# ---- the loop, with socket pairs in the place of devices


class Ends:
    """The two ends of a running loop, and who orders."""

    def __init__(self) -> None:
        self.near, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.far, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders, orders = socket.socketpair()
        self.kept = [near, far, orders]
        loop = PacketLoop(near.fileno(), far.fileno(), orders, 7)
        self.thread = threading.Thread(target=loop.run, daemon=True)
        self.thread.start()
        for end in (self.near, self.far, self.orders):
            end.settimeout(20)

    def order(self, **order: Any) -> dict[str, Any]:
        self.orders.sendall(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self.orders.makefile("rb").readline())
        return answer

    def close(self) -> None:
        self.orders.close()
        self.thread.join(20)
        assert not self.thread.is_alive()
        for end in (self.near, self.far, *self.kept):
            end.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    link = Ends()
    yield link
    link.close()


def test_the_loop_carries_both_directions_and_counts(ends: Ends):
    ends.near.send(b"there")
    assert ends.far.recv(100) == b"there"
    ends.far.send(b"and back")
    assert ends.near.recv(100) == b"and back"
    assert ends.order()["answer"] == {"down": False, "there": [1, 5, 0, 0, 0], "back": [1, 8, 0, 0, 0]}


def test_the_loop_obeys_while_packets_are_in_flight(ends: Ends):
    ends.order(set={"delay": 3600}, lanes=["there"])
    ends.near.send(b"never to arrive")
    wait_until(lambda: ends.order()["answer"]["there"][0] == 1)
    assert ends.order(down=True)["answer"]["there"] == [1, 15, 0, 0, 1]
    ends.far.send(b"into nothing")
    wait_until(lambda: ends.order()["answer"]["back"][4] == 1)
    assert ends.order(set={"delay": 0}, lanes=["there"], down=False)["answer"]["down"] is False
    ends.near.send(b"through")
    assert ends.far.recv(100) == b"through"
    assert not select.select([ends.near], [], [], 0)[0]


def test_the_loop_refuses_an_unknown_command_and_goes_on(ends: Ends):
    assert "loss" in ends.order(set={"loss": 7}, lanes=["there"])["error"]
    assert "begin" in ends.order(outages=[[3, 2]])["error"]
    ends.near.send(b"still there")
    assert ends.far.recv(100) == b"still there"


# ---- real TCP

needs_namespaces = pytest.mark.skipif(missing() is not None, reason=f"no bad link: {missing()}")

_SINK = """
import socket, sys, zlib
listener = socket.create_server((sys.argv[1], 5000))
print("up", flush=True)
while True:
    peer, _ = listener.accept()
    count = check = 0
    while block := peer.recv(65536):
        count, check = count + len(block), zlib.crc32(block, check)
    peer.sendall(f"{count} {check}".encode())
    peer.close()
"""
_SOURCE = """
import socket, sys, time, zlib
data = bytes(range(256)) * (int(sys.argv[2]) // 256)
begun = time.monotonic()
with socket.create_connection((sys.argv[1], 5000), timeout=60) as peer:
    connected = time.monotonic()
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    answer = peer.recv(100).decode()
assert answer == f"{len(data)} {zlib.crc32(data)}", answer
print(connected - begun, time.monotonic() - begun)
"""


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, words)]


@pytest.fixture(scope="module")
def link() -> Iterator[BadLink]:
    with bad_link() as link:
        sink = link.start_far(python(_SINK, link.far_address), stdout=subprocess.PIPE)
        with sink, sink.stdout:
            assert sink.stdout.readline() == b"up\n"
            yield link
            sink.kill()


def send(link: BadLink, size: int) -> tuple[float, float]:
    """Seconds until connected, and until all is there and answered."""
    run = link.run_near(python(_SOURCE, link.far_address, size), capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    connected, whole = map(float, run.stdout.split())
    return connected, whole


@pytest.mark.slow
@needs_namespaces
def test_round_trip_and_rate(link: BadLink):
    before = link.counts()
    link.set(delay=0.1, rate=4_000_000, loss=0, queue=64 * 1024)
    connected, whole = send(link, 512_000)
    assert 0.2 <= connected < 2
    # 1.02 s on the wire, and two round trips.
    assert 1.4 < whole < 10
    carried = link.counts()
    there = carried.there.bytes - before.there.bytes
    assert 512_000 * 1500 / 1448 < there < 512_000 * 1.3
    assert 0 < carried.back.bytes - before.back.bytes < there / 10


@needs_namespaces
def test_loss_costs_packets_and_no_byte(link: BadLink):
    before = link.counts()
    link.set(delay=0, rate=None, loss=0.03)
    send(link, 1_024_000)
    after = link.counts()
    link.set(loss=0)
    assert after.there.lost - before.there.lost > 3
    assert after.there.bytes - before.there.bytes > 1_024_000 + 1500 * (after.there.lost - before.there.lost)


@pytest.mark.slow
@needs_namespaces
def test_down_and_up_with_a_connection_open(link: BadLink):
    link.set(delay=0, rate=None, loss=0)
    link.down()
    before = link.counts()
    assert before.down
    source = link.start_near(python(_SOURCE, link.far_address, 256_000), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: link.counts().there.cut > before.there.cut, what="a packet into the nothing")
    assert source.poll() is None and link.counts().there.packets == before.there.packets
    link.up()
    output, _ = source.communicate(timeout=60)
    # TCP asks again after a second.
    assert source.returncode == 0 and float(output.split()[0]) > 0.5


@needs_namespaces
def test_a_plan_is_kept(link: BadLink):
    link.outages([(0, 3600)])
    assert link.counts().down
    link.outages([(0, 0.3)])
    wait_until(lambda: not link.counts().down, what="the end of the outage")
    send(link, 256)
    with pytest.raises(ValueError, match="begin"):
        link.outages([(1, 1)])
    assert not link.counts().down


@needs_namespaces
@pytest.mark.skipif(sshd_missing() is not None, reason=str(sshd_missing()))
def test_a_real_sshd_on_the_far_side(link: BadLink, tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    with openssh_server(tmp_path / "sshd", host=link.far_address, within=link.far) as server:
        words = [
            "sftp",
            "-q",
            "-F",
            "none",
            "-b",
            "-",
            "-i",
            str(server.key_file),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            f"UserKnownHostsFile={server.known_hosts}",
            "-P",
            str(server.port),
            f"{server.user}@{link.far_address}",
        ]
        run = link.run_near(words, input=f"put {source} copy\n", capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        assert (server.files / "copy").read_bytes() == source.read_bytes()
        places = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in ("self", server.pid, link.pid)}
        assert len(places) == 2, "the server is on the far side, as is the loop, and not here"


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


_HOLDER = """
import subprocess, sys, time
from pysubtask.testing.link.bad_link import bad_link
with bad_link() as link:
    far = link.start_far(["sleep", "600"], start_new_session=True)
    near = link.start_near(["sh", "-c", "sleep 600 & wait"])
    print(link.pid, far.pid, near.pid, flush=True)
    time.sleep(600)
"""


@needs_namespaces
def test_everything_ends_with_a_caller_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", _HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pids = [int(word) for word in holder.stdout.readline().split()]
        assert len(pids) == 3 and not any(map(_gone, pids))
        holder.send_signal(signal.SIGKILL)
    wait_until(lambda: all(map(_gone, pids)), what="the end of all three")


@needs_namespaces
def test_a_link_whose_process_is_killed_says_so_and_leaves_none():
    with bad_link() as link:
        far = link.start_far(["sleep", "600"])
        os.kill(link.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the link"):
            link.counts()
    assert far.wait(20) == -signal.SIGKILL


def test_where_there_can_be_none_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        missing.cache_clear()
        assert missing() == "nsenter is not installed (apt-get install util-linux)"

    class Refused(BadLink):
        def __init__(self, seed: int) -> None:
            raise RuntimeError("a network namespace cannot be made here: Operation not permitted\nmore")

    if sys.platform == "linux" and os.access("/dev/net/tun", os.R_OK | os.W_OK):
        with monkeypatch.context() as patch:
            patch.setattr(module, "BadLink", Refused)
            missing.cache_clear()
            assert missing() == "a network namespace cannot be made here: Operation not permitted"
    missing.cache_clear()
