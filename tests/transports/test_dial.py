"""A server with several addresses, of which some are dead: RFC 8305, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import ServerNotTrusted, TransportLost
from pysubtask.testing.servers.dropbox import dropbox_server
from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.dropbox import DropboxTransport
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.sftp import transport
from pysubtask.transports.shared import dial, reach
from pysubtask.transports.shared.dial import LAST_ADDRESSES, Failure, LastAddresses, NoAddressAnswers, dial_name, ordered
from pysubtask.transports.ssh import route, socket_handover
from tests.support.dead_addresses import free_port, silent
from tests.support.ftp_work import connect as connect_ftp
from tests.support.sftp_login import connects, refused

needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))
DEAD, DEAD_TOO, ALIVE = "127.0.0.9", "127.0.0.10", "127.0.0.1"
PATIENCE = 8.0
"""A limit of a connect that one dead address would use up. What comes of it at once takes a part of this, whatever the load."""


def v4(*addresses: str, port: int = 22) -> list[dial.Place]:
    return [(socket.AF_INET, (address, port)) for address in addresses]


def v6(*addresses: str, port: int = 22) -> list[dial.Place]:
    return [(socket.AF_INET6, (address, port, 0, 0)) for address in addresses]


# --- pure


def test_families_take_turns():
    found = ordered([*v6("a", "b", "c"), *v4("d", "e")])
    assert [address[0] for _, address in found] == ["a", "d", "b", "e", "c"]
    assert ordered([]) == []


def test_what_answered_last_comes_first():
    found = ordered([*v6("a", "b"), *v4("d")], v4("d")[0][1])
    assert [address[0] for _, address in found] == ["d", "a", "b"]
    assert ordered(v4("a", "b"), ("gone", 22)) == v4("a", "b")


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (
            [TimeoutError(), ConnectionRefusedError(111, "Connection refused")],
            ["none of the 2 addresses", "a0: no answer within 8 s", "a1: Connection refused"],
        ),
        ([OSError(101, "Network is unreachable"), OSError(101, "Network is unreachable")], ["no way to the network"]),
        ([OSError(101, "Network is unreachable"), TimeoutError()], ["a0: Network is unreachable", "a1: no answer"]),
    ],
)
def test_each_address_is_reported(errors: list[OSError], words: list[str]):
    exc = NoAddressAnswers([Failure(f"a{number}", error) for number, error in enumerate(errors)])
    text = str(reach.of_socket(exc, "h", 22, 8.0))
    assert all(word in text for word in words) and "h:22" in text


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        ("hostname h\nport 2222\n", route.Route("h", 2222)),
        ("hostname h\nport 22\naddressfamily inet6\ntcpkeepalive no\n", route.Route("h", 22, socket.AF_INET6, False)),
        ("hostname h\nport 22\nproxyjump gate\n", None),
        ("hostname h\nport 22\nproxycommand nc %h %p\n", None),
        ("hostname h\nport 22\nproxycommand none\nproxyjump none\n", route.Route("h", 22)),
        ("", None),
        ("hostname h\n", None),
        ("hostname h\nport 22\nbindaddress 10.0.0.1\n", None),
        ("hostname h\nport 22\nbindinterface wwan0\n", None),
    ],
)
def test_the_route_that_ssh_takes(listing: str, found: route.Route | None):
    assert route.route_in(listing) == found


# --- sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((ALIVE, 0)) as listener:
        yield listener


@pytest.mark.slow
def test_a_silent_address_costs_part_of_the_limit_and_goes_last(listener: socket.socket):
    port, memory = listener.getsockname()[1], LastAddresses()
    with silent(DEAD, port), silent(DEAD_TOO, port):
        places = v4(DEAD, DEAD_TOO, ALIVE, port=port)
        begun = time.monotonic()
        with dial_name("h", port, PATIENCE, places=places, memory=memory) as sock:
            assert sock.getpeername() == (ALIVE, port) and sock.getblocking()
        assert time.monotonic() - begun < PATIENCE / 2
        assert memory.good("h", port) == (ALIVE, port)
        used: list[tuple[str, int]] = []
        with dial_name("h", port, PATIENCE, places=places, memory=memory, adopt=lambda sock: used.append((ALIVE, 0))):
            assert len(used) == 1, "the one that answered is tried alone"


@pytest.mark.slow
def test_all_addresses_together_have_one_limit():
    port = free_port()
    with silent(DEAD, port), silent(DEAD_TOO, port), silent("127.0.0.11", port):
        begun = time.monotonic()
        with pytest.raises(NoAddressAnswers) as failed:
            dial_name("h", port, 1.0, places=v4(DEAD, DEAD_TOO, "127.0.0.11", port=port))
        assert 0.9 < time.monotonic() - begun < 1.0 + PATIENCE
    assert [type(one.error) for one in failed.value.failures] == [TimeoutError] * 3
    assert {one.address for one in failed.value.failures} == {DEAD, DEAD_TOO, "127.0.0.11"}


@pytest.mark.slow
def test_one_that_refuses_is_left_at_once(listener: socket.socket, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dial, "DELAY_SECS", 600.0)
    port = listener.getsockname()[1]
    with dial_name(
        "h", port, 60.0, places=[*v6("2001:db8::1", port=port), *v4(DEAD, ALIVE, port=port)], memory=LastAddresses()
    ) as sock:
        assert sock.getpeername() == (ALIVE, port)


@pytest.mark.slow
def test_of_one_address_the_error_is_its_own():
    with pytest.raises(ConnectionRefusedError):
        dial_name("h", 1, 5.0, places=v4(ALIVE, port=free_port()))
    port = free_port()
    with silent(DEAD, port), pytest.raises(TimeoutError):
        dial_name("h", port, 0.3, places=v4(DEAD, port=port))


@pytest.mark.slow
def test_every_socket_is_closed_but_the_one(listener: socket.socket):
    port = listener.getsockname()[1]
    held: set[socket.socket] = set()

    def drop(sock: socket.socket) -> None:
        held.discard(sock)
        sock.close()

    with silent(DEAD, port):
        sock = dial_name("h", port, PATIENCE, places=v4(DEAD, ALIVE, port=port), memory=LastAddresses(), adopt=held.add, drop=drop)
        assert held == {sock}
        drop(sock)
        over = threading.Event()
        threading.Timer(0.3, over.set).start()
        with pytest.raises(ConnectionAbortedError):
            dial_name("h", port, 60.0, places=v4(DEAD, port=port), adopt=held.add, drop=drop, over=over.is_set)
    assert held == set()


# --- the transports


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LAST_ADDRESSES, "_good", {})


def named(monkeypatch: pytest.MonkeyPatch, port: int, *addresses: str) -> None:
    """The name localhost has these addresses, for whoever asks from this process."""
    real = socket.getaddrinfo

    def found(host: Any, asked: Any, *rest: Any, **more: Any) -> Any:
        if host != "localhost":
            return real(host, asked, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.slow
@pytest.mark.parametrize("addresses", [(DEAD, ALIVE), (DEAD, DEAD_TOO, ALIVE)])
async def test_ftp_with_dead_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: None, addresses: tuple[str, ...]):
    with ftp_server(tmp_path / "ftp") as server, contextlib.ExitStack() as stack:
        for address in addresses[:-1]:
            stack.enter_context(silent(address, server.port))
        named(monkeypatch, server.port, *addresses)
        begun = time.monotonic()
        transport = FTPTransport(server.settings(Host="localhost", ConnectTimeoutSecs=PATIENCE), str(tmp_path / "work"))

        await transport.connect()
        await transport.close()
        assert time.monotonic() - begun < PATIENCE / 2


@pytest.mark.slow
def test_ftp_where_none_answers_tells_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: None):
    port = free_port()
    with silent(DEAD, port):
        named(monkeypatch, port, DEAD, DEAD_TOO)
        failed = connect_ftp({"Host": "localhost", "HostPort": port, "ConnectTimeoutSecs": 1}, tmp_path)
    assert isinstance(failed, TransportLost)
    assert f"{DEAD}: no answer within 1 s" in str(failed) and f"{DEAD_TOO}: Connection refused" in str(failed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    if missing() is not None:
        pytest.skip(str(missing()))
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def by_name(server: OpenSSHServer, tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Settings that call the server by its name: its key is known under that name alone."""
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text().replace(f"[127.0.0.1]:{server.port}", f"[localhost]:{server.port}"))
    return server.settings(Host="localhost", KnownHostsFile=str(known), ConnectTimeoutSecs=PATIENCE, **more)


@pytest.mark.slow
@needs_sshd
@pytest.mark.parametrize("program", ["ssh", "no-such-ssh-program"])
def test_ssh_with_a_dead_address_checks_the_key_under_the_name(
    server: OpenSSHServer, program: str, tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch
):
    if program != "ssh":
        pytest.importorskip("asyncssh")
        monkeypatch.setenv("HOME", str(tmp_path))
    used = []
    real = transport.start_ssh

    async def start(*words: Any, **more: Any) -> Any:
        used.append(more.get("sock"))
        return await real(*words, **more)

    monkeypatch.setattr(transport, "start_ssh", start)
    # A service's user has no shell, often, and ssh would run what it needs by it.
    monkeypatch.setenv("SHELL", "/usr/sbin/nologin")
    with silent(DEAD, server.port):
        named(monkeypatch, server.port, DEAD, ALIVE)
        for times in (1, 2):
            begun = time.monotonic()
            connects(by_name(server, tmp_path, SSHProgram=program), tmp_path)
            assert time.monotonic() - begun < PATIENCE / 2
            assert len(used) == (times if program == "ssh" else 0) and None not in used
        if program != "ssh":
            return  # asyncssh looks for the address, too
        # The key is that of the name, not of the address: one known by its address is not taken.
        settings = by_name(server, tmp_path, SSHProgram=program) | {"KnownHostsFile": str(server.known_hosts)}
        assert "not known here" in refused(settings, tmp_path, kind=ServerNotTrusted)
    assert not list(Path("/tmp").glob("pysubtask-askpass-*/c")), "a folder was left"


@pytest.mark.slow
@needs_sshd
def test_a_password_and_a_pinned_key_take_the_same_route(
    server: OpenSSHServer, tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch
):
    from pysubtask.testing.servers.sshd import fingerprint

    pinned = fingerprint(server.root / "host_ed25519.pub")
    with silent(DEAD, server.port):
        named(monkeypatch, server.port, DEAD, ALIVE)
        connects(by_name(server, tmp_path, HostKey=pinned, Password="not asked for"), tmp_path)


@pytest.mark.slow
@needs_sshd
def test_no_address_of_an_ssh_server_answers(server: OpenSSHServer, tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch):
    port = free_port()
    with silent(DEAD, port):
        named(monkeypatch, port, DEAD, DEAD_TOO)
        begun = time.monotonic()
        reason = refused({**by_name(server, tmp_path), "HostPort": port, "ConnectTimeoutSecs": 1}, tmp_path, kind=TransportLost)
        assert time.monotonic() - begun < 1 + PATIENCE
    assert f"{DEAD}: no answer" in reason and f"{DEAD_TOO}: Connection refused" in reason


@needs_sshd
@pytest.mark.parametrize("option", ["ProxyCommand {nc}", "BindAddress 127.0.0.1"])
def test_what_the_configuration_of_ssh_wants_is_left_to_it(
    server: OpenSSHServer, option: str, tmp_path: Path, memory: None, monkeypatch: pytest.MonkeyPatch
):
    nc = f"{shutil.which('python3')} {tmp_path}/nc.py {server.port}"
    (tmp_path / "nc.py").write_text(
        "import os, socket, sys, threading\n"
        "sock = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "def up():\n    while data := os.read(0, 65536):\n        sock.sendall(data)\n    os._exit(0)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := sock.recv(65536):\n    os.write(1, data)\n"
    )
    config = tmp_path / "config"
    config.write_text(f"Host localhost\n    {option.format(nc=nc)}\n    AddressFamily inet\n")
    monkeypatch.setattr(route, "dial_route", None)  # not called
    monkeypatch.setattr(transport, "dial_route", None)
    connects(by_name(server, tmp_path, SSHConfigFile=str(config)), tmp_path)


def test_a_connection_that_nobody_takes_is_closed(tmp_path: Path, listener: socket.socket):
    sock = socket.create_connection(listener.getsockname())
    given = socket_handover.SocketHandover(sock)
    folder = given.folder
    assert os.path.isdir(folder) and "%" not in "".join(given.options).replace("%%", "")
    given.close()
    given.close()
    assert sock.fileno() < 0 and not os.path.exists(folder)


# --- Dropbox


@pytest.mark.slow
async def test_dropbox_with_dead_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: None):
    """As with the others: a dead address costs a quarter of a second, for each connection and not only the first."""
    pytest.importorskip("dropbox")
    with dropbox_server(tmp_path / "dropbox") as server:
        port = int(server.proxy.rpartition(":")[2])
        with silent(DEAD, port), silent(DEAD_TOO, port):
            named(monkeypatch, port, DEAD, DEAD_TOO, ALIVE)
            settings = server.settings(Proxy=f"http://localhost:{port}", ConnectTimeoutSecs=PATIENCE, StallSecs=PATIENCE)
            begun = time.monotonic()
            transport = DropboxTransport(settings, str(tmp_path / "work"))

            await transport.connect()
            await transport.close()
        assert time.monotonic() - begun < PATIENCE / 2


@pytest.mark.slow
def test_dropbox_where_none_answers_tells_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: None):
    pytest.importorskip("dropbox")
    port = free_port()
    with dropbox_server(tmp_path / "dropbox") as server, silent(DEAD, port):
        named(monkeypatch, port, DEAD, DEAD_TOO)
        settings = server.settings(Proxy=f"http://localhost:{port}", ConnectTimeoutSecs=4)

        async def whole() -> None:
            transport = DropboxTransport(settings, str(tmp_path / "work"))
            try:
                await transport.connect()
            finally:
                await transport.close()

        with pytest.raises(TransportLost) as caught:
            asyncio.run(whole())
    assert f"{DEAD}: no answer" in str(caught.value) and f"{DEAD_TOO}: Connection refused" in str(caught.value)
