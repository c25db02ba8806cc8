"""What a transport says that it costs, against the bytes that a relay in front of the server has seen."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, LoginRefused, TransportLost
from pysubtask.testing import Relay
from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.servers import sshd as opensshd
from pysubtask.testing.servers.dropbox import dropbox_server
from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.transports.base import Append, Transport, Wire
from pysubtask.transports.dropbox import DropboxTransport
from pysubtask.transports.folder.transport import FolderTransport
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.pysftp import PySFTPTransport
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.ssh.tcp_latency import possible
from tests.support.helpers import wait_until
from tests.transports.contract import Site, _Run

SIZE = 3_000_000
IN_RELAY = SIZE // 2 + 50_000
"""Bytes that may have reached the relay and no server, when it cuts a connection: the rest of the file in its packets."""

Making = Callable[[Path], contextlib.AbstractContextManager[Site]]


@contextlib.contextmanager
def over_ssh(place: Path, kind: type[Transport] = SFTPTransport, **settings: Any) -> Iterator[Site]:
    if opensshd.missing() is not None:
        pytest.skip(str(opensshd.missing()))
    if not possible():
        pytest.skip("not Linux, or its system calls are filtered")
    folder = place / "remote"
    folder.mkdir()
    with opensshd.openssh_server(place / "sshd") as server, Relay("127.0.0.1", server.port) as relay:
        known = place / "known_hosts"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))
        whole = server.settings(HostPort=relay.port, HostPath=str(folder), KnownHostsFile=str(known), **settings)
        yield Site(kind, whole, str(place), str(folder), relay)


@contextlib.contextmanager
def over_asyncssh(place: Path) -> Iterator[Site]:
    pytest.importorskip("asyncssh")
    with over_ssh(place, SSHProgram="no-such-ssh-program") as site:
        yield site


@contextlib.contextmanager
def over_pysftp(place: Path) -> Iterator[Site]:
    with over_ssh(place, PySFTPTransport) as site:
        yield site


@contextlib.contextmanager
def over_ftps(place: Path) -> Iterator[Site]:
    with ftp_server(place / "ftp", tls="explicit") as server, FTPRelay(server.port, server.data_ports) as relay:
        whole = server.settings(Host=relay.host, HostPort=relay.port)
        yield Site(FTPTransport, whole, str(place), str(server.files), relay)


@contextlib.contextmanager
def over_https(place: Path) -> Iterator[Site]:
    with dropbox_server(place / "dropbox") as server, Relay(server.host, server.port) as relay:
        whole = server.settings(Proxy=f"http://{relay.host}:{relay.port}", ChunkBytes=256 * 1024)
        yield Site(DropboxTransport, whole, str(place), str(server.folder), relay)


@pytest.mark.slow
@pytest.mark.parametrize("making", [over_ssh, over_asyncssh, over_pysftp, over_ftps, over_https])
def test_every_byte_is_counted(making: Making, tmp_path: Path):
    """Login, whole uploads, an append, one that is cut, and all connections together."""
    data = os.urandom(SIZE)

    def counts(transport: Transport) -> Wire:
        found = transport.wire()
        assert found is not None
        return found

    async def case(site: Site, relay: Relay) -> None:
        transport, at_work = site.make(), _Run(site, str(tmp_path))

        def agrees(more: int = 0) -> None:
            # The relay counts what it has handed on, and the kernel the end of a connection as a byte, too.
            wait_until(
                lambda: (
                    relay.up <= counts(transport).sent <= relay.up + relay.accepted + more
                    and relay.down - more <= counts(transport).received <= relay.down + relay.accepted
                ),
                what=f"{counts(transport)} is what the relay saw, {relay.up} and {relay.down}",
            )

        assert transport.wire() == Wire(0, 0)
        await transport.connect()
        agrees()
        assert relay.up > 0 and relay.down > 0, "a login costs, too"
        first = await at_work.put(transport, "a", data[:1_000_000])
        agrees()
        assert 1_000_000 < counts(transport).sent < 1_050_000
        if transport.traits.appends:
            await at_work.put(transport, "a", data[:1_100_000], replaces=first.remote, append=Append(1_000_000, 1_000_000))
            agrees()
            assert 1_100_000 < counts(transport).sent < 1_160_000
        before = counts(transport)
        relay.drop("up", SIZE // 2)
        # Of FTP the data connection alone may be what is lost.
        with pytest.raises((TransportLost, AttemptFailed)):
            await at_work.put(transport, "b", data)
        await transport.close()
        agrees(IN_RELAY)
        lost = counts(transport).sent - before.sent
        assert SIZE // 2 <= lost <= SIZE + 50_000, "an attempt that came to nothing went over the wire all the same"
        relay.heal()
        await transport.connect()
        before = counts(transport)
        await at_work.put(transport, "b", data[:200_000])
        assert 200_000 < counts(transport).sent - before.sent < 230_000
        await transport.close()
        agrees(IN_RELAY)
        total = counts(transport)
        assert 40 * 20 < total.headers < total.sent // 4
        assert total.total == total.sent + total.received + total.again + total.headers

    with making(tmp_path) as site:
        assert site.relay is not None
        asyncio.run(case(site, site.relay))


def test_a_login_that_is_refused_is_counted(tmp_path: Path):
    async def case(site: Site, relay: Relay) -> None:
        transport = site.make(HostKey="SHA256:" + "A" * 43)
        with pytest.raises(LoginRefused):
            await transport.connect()
        found = transport.wire()
        assert found is not None
        assert 0.8 * relay.up < found.sent < 20_000, relay.up

    with over_ssh(tmp_path) as site:
        assert site.relay is not None
        asyncio.run(case(site, site.relay))


def test_a_connection_that_ssh_does_not_hold_itself_is_counted(tmp_path: Path):
    """As with a ProxyCommand or ProxyJump: it is a child of ssh that holds it."""
    pipe = (
        "import socket,sys,threading,os\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        "def up():\n  while b:=os.read(0,65536): s.sendall(b)\n  os._exit(0)\n"
        "threading.Thread(target=up,daemon=True).start()\n"
        "while b:=s.recv(65536): os.write(1,b)\n"
    )
    (tmp_path / "pipe.py").write_text(pipe)
    import sys

    async def case(site: Site, relay: Relay) -> None:
        config = tmp_path / "ssh_config"
        config.write_text(f"ProxyCommand {sys.executable} {tmp_path / 'pipe.py'} %h %p\n")
        transport, at_work = site.make(SSHConfigFile=str(config)), _Run(site, str(tmp_path))
        await transport.connect()
        await at_work.put(transport, "a", b"x" * 300_000)
        found = transport.wire()
        assert found is not None and 300_000 < relay.up <= found.sent <= relay.up + 1
        await transport.close()

    with over_ssh(tmp_path) as site:
        assert site.relay is not None
        asyncio.run(case(site, site.relay))


def test_a_transport_without_a_link_says_that_it_does_not_know(tmp_path: Path):
    assert FolderTransport({"HostPath": str(tmp_path)}, str(tmp_path)).wire() is None
