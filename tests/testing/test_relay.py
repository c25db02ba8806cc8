"""The relay against plain sockets: every fault exact, nothing left running."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pysubtask.testing import Relay
from tests.support.helpers import wait_until


class Server:
    """Keeps what each connection sent and how it ended; answers with what ``answer`` makes of a block."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.received: list[bytearray] = []
        self.ends: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                self.received.append(bytearray())
                self.threads.append(threading.Thread(target=self._serve, args=(peer, self.received[-1]), daemon=True))
                self.threads[-1].start()

    def _serve(self, peer: socket.socket, kept: bytearray) -> None:
        with peer:
            try:
                while block := peer.recv(65536):
                    kept += block
                    peer.sendall(self.answer(block))
                self.ends.append("fin")
            except OSError as exc:
                self.ends.append(errno.errorcode[exc.errno or 0])

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture(autouse=True)
def nothing_overlooked(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio reports exceptions and tasks that nobody looked after when they are collected."""
    yield
    gc.collect()
    assert not caplog.records


@pytest.fixture
def sink() -> Iterator[Server]:
    server = Server(lambda block: b"")
    yield server
    server.close()


@pytest.fixture
def echo() -> Iterator[Server]:
    server = Server(lambda block: block)
    yield server
    server.close()


def dial(relay: Relay) -> socket.socket:
    client = socket.create_connection(relay.address, timeout=20)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def end_of(client: socket.socket) -> str:
    """Read to the end of the stream: 'fin' or 'rst'."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return "rst"
    return "fin"


def take(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        block = client.recv(count - len(data))
        assert block, f"the stream ended after {len(data)} of {count} bytes"
        data += block
    return data


def push(client: socket.socket, data: bytes) -> None:
    """Send as much as the other side lets us; a cut in between is what some tests want."""
    with contextlib.suppress(ConnectionError):
        client.sendall(data)


def test_passes_bytes_in_both_directions_and_counts_them(echo: Server):
    data = os.urandom(3_000_001)
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert take(client, len(data)) == data
        sender.join()
        [connection] = relay.connections
        assert (connection.up, connection.down, relay.up, relay.down) == (len(data),) * 4
        client.shutdown(socket.SHUT_WR)
        assert end_of(client) == "fin"
        wait_until(lambda: not relay.connections)
        assert (relay.accepted, relay.drops) == (1, 0)
        assert relay.up == len(data), "totals outlive the connection"


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("after", [1, 1000, 65_536, 777_777])
def test_drop_upstream_after_exactly_n_bytes(sink: Server, how: str, after: int):
    data = os.urandom(1_000_000)
    with Relay("127.0.0.1", sink.port) as relay, dial(relay) as client:
        relay.drop("up", after, how=how)  # type: ignore[arg-type]
        push(client, data)
        assert end_of(client) == how
        client.close()
        wait_until(lambda: sink.ends)
        received = bytes(sink.received[0])
        # A reset may throw away what a busy receiver has not read yet; what was handed over is counted below.
        assert received == data[:after] if how == "fin" else data[:after].startswith(received)
        assert sink.ends == ["fin" if how == "fin" else "ECONNRESET"]
        assert (relay.up, relay.drops, relay.connections) == (after, 1, [])


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("after", [1, 999, 300_000])
def test_drop_downstream_after_exactly_n_bytes(after: int, how: str):
    data = os.urandom(400_000)
    server = Server(lambda block: data)
    try:
        with Relay("127.0.0.1", server.port) as relay, dial(relay) as client:
            relay.drop("down", after, how=how)  # type: ignore[arg-type]
            client.sendall(b"go")
            assert take(client, after) == data[:after]
            assert end_of(client) == how
            assert (relay.down, relay.drops) == (after, 1)
    finally:
        server.close()


def test_drop_after_nothing_cuts_when_the_first_byte_comes(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        client.sendall(b"before")
        assert take(client, 6) == b"before"
        relay.drop("down", 0)
        assert len(relay.connections) == 1
        client.sendall(b"x" * 1000)
        assert end_of(client) == "rst"
        assert bytes(echo.received[0]) == b"before" + b"x" * 1000
        assert relay.down == 6


def test_drop_counts_from_the_order_and_is_spent_after_one_cut(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as first, dial(relay) as second:
        for client in (first, second):
            client.sendall(b"a" * 500)
            take(client, 500)
        relay.drop("up", 100)
        first.sendall(b"b" * 60)
        take(first, 60)
        second.sendall(b"c" * 60)
        take(second, 60)
        push(first, b"d" * 60)
        assert end_of(first) == "rst"
        second.sendall(b"e" * 900)
        take(second, 900)
        assert relay.up == 500 + 500 + 100 + 60 + 900


def test_drop_in_total_counts_all_connections(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as first, dial(relay) as second:
        relay.drop("up", 100, scope="total")
        first.sendall(b"b" * 60)
        take(first, 60)
        push(second, b"c" * 60)
        assert end_of(second) == "rst"
        assert relay.up == 100


def test_drop_can_hit_every_connection(sink: Server):
    with Relay("127.0.0.1", sink.port) as relay:
        relay.drop("up", 10, times=None)
        for _ in range(3):
            with dial(relay) as client:
                push(client, b"z" * 100)
                assert end_of(client) == "rst"
        wait_until(lambda: len(sink.ends) == 3)
        assert [len(kept) for kept in sink.received] == [10, 10, 10]
        relay.heal()
        with dial(relay) as client:
            client.sendall(b"z" * 100)
            wait_until(lambda: len(sink.received) == 4 and len(sink.received[3]) == 100)


@pytest.mark.slow
def test_stall_keeps_the_sockets_open_and_thaw_loses_nothing(echo: Server):
    data = os.urandom(200_000)
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        relay.stall("up", after=100)
        client.sendall(data[:50_000])
        assert take(client, 100) == data[:100]
        wait_until(lambda: relay.stalled)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)
        with dial(relay) as late:  # taken, and stalled too
            late.sendall(b"late")
            wait_until(lambda: len(relay.connections) == 2)
            assert relay.up == 100
            relay.thaw()
            assert take(late, 4) == b"late"
        assert take(client, 49_900) == data[100:50_000]


def test_stall_of_one_direction_and_of_one_connection(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as first:
        first.sendall(b"one")
        take(first, 3)
        [connection] = relay.connections
        connection.stall("down")
        first.sendall(b"two")
        wait_until(lambda: connection.up == 6)
        with dial(relay) as second:
            second.sendall(b"other")
            assert take(second, 5) == b"other"
        assert connection.down == 3
        connection.thaw()
        assert take(first, 3) == b"two"


def test_bytes_of_a_stalled_dead_client_arrive_after_the_thaw(sink: Server):
    with Relay("127.0.0.1", sink.port) as relay:
        with dial(relay) as client:
            wait_until(lambda: sink.received)
            relay.connections[0].stall()
            client.sendall(b"rename, late")
        with dial(relay) as client:
            client.sendall(b"next")
            wait_until(lambda: len(sink.received) == 2 and sink.received[1] == b"next")
        assert sink.received[0] == b""
        relay.heal()
        wait_until(lambda: sink.received[0] == b"rename, late")


def test_refuse_and_accept(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        client.sendall(b"a")
        take(client, 1)
        relay.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial(relay)
        client.sendall(b"still here")
        take(client, 10)
        relay.accept()
        with dial(relay) as other:
            other.sendall(b"b")
            assert take(other, 1) == b"b"


def test_delay_is_added_and_does_not_cost_rate(echo: Server):
    data = os.urandom(2_000_000)
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        relay.delay(0.2, "down")
        start = time.monotonic()
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert take(client, 1) == data[:1]
        assert time.monotonic() - start >= 0.2
        assert take(client, len(data) - 1) == data[1:]
        assert time.monotonic() - start < 5
        sender.join()


@pytest.mark.slow
def test_throttle_holds_the_rate_for_all_connections_together(sink: Server):
    with Relay("127.0.0.1", sink.port) as relay, dial(relay) as first, dial(relay) as second:
        relay.throttle(200_000, "up")
        start = time.monotonic()
        for client in (first, second):
            client.sendall(b"x" * 50_000)
        wait_until(lambda: relay.up == 100_000)
        assert time.monotonic() - start >= 0.4
        assert min(map(len, sink.received)) > 20_000, "both got their share"
        relay.throttle(None)
        first.sendall(b"x" * 5_000_000)
        wait_until(lambda: relay.up == 5_100_000)
        assert time.monotonic() - start < 15


def test_a_small_buffer_keeps_a_client_from_outrunning_the_link(sink: Server):
    with Relay("127.0.0.1", sink.port, buffer=16 * 1024) as relay, dial(relay) as client:
        relay.stall()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        client.setblocking(False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while taken < 10_000_000:
                taken += client.send(b"x" * 4096)
        assert taken < 500_000


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_cut_all(echo: Server, how: str):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as first, dial(relay) as second:
        for client in (first, second):
            client.sendall(b"x")
            take(client, 1)
        relay.cut_all(how)  # type: ignore[arg-type]
        assert relay.connections == []
        assert [end_of(first), end_of(second)] == [how, how]


def test_a_cut_goes_through_a_stall(echo: Server):
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        client.sendall(b"x")
        take(client, 1)
        relay.stall()
        client.sendall(b"never")
        relay.cut_all()
        assert end_of(client) == "rst"
        assert bytes(echo.received[0]) == b"x"


def test_a_dead_server_resets_the_client_and_a_new_target_works(echo: Server):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Relay("127.0.0.1", port) as relay:
        try:
            with dial(relay) as client:
                ended = end_of(client)
        except ConnectionResetError:  # as early as that, where this side is the slower one
            ended = "rst"
        assert ended == "rst"
        relay.target = ("127.0.0.1", echo.port)
        with dial(relay) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"


@pytest.mark.parametrize("fault", ["none", "stall", "throttle", "delay", "refuse"])
def test_close_leaves_no_thread_and_no_socket(echo: Server, fault: str):
    before = set(threading.enumerate())
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with Relay("127.0.0.1", echo.port) as relay, dial(relay) as client:
        client.sendall(b"x")
        take(client, 1)
        {
            "none": lambda: None,
            "stall": relay.stall,
            "throttle": lambda: relay.throttle(10),
            "delay": lambda: relay.delay(60),
            "refuse": relay.refuse,
        }[fault]()
        client.sendall(b"x" * 100_000)
        relay.close()
        relay.close()
        with pytest.raises(RuntimeError, match="closed"):
            relay.stall()
    wait_until(lambda: len(echo.ends) == 1)
    assert not {thread for thread in threading.enumerate() if thread.name.startswith("relay")} - before
    if handles:
        assert len(os.listdir("/proc/self/fd")) <= handles


@pytest.mark.parametrize(
    "wrong",
    [
        lambda relay: relay.drop("both", 1),
        lambda relay: relay.drop("up", -1),
        lambda relay: relay.drop("up", 1, how="bang"),
        lambda relay: relay.stall("sideways"),
        lambda relay: relay.throttle(0),
        lambda relay: relay.cut_all("bang"),
    ],
)
def test_a_wrong_order_says_so(wrong: Callable[[Relay], None]):
    with Relay("127.0.0.1", 1) as relay, pytest.raises(ValueError):
        wrong(relay)
