"""The fixtures of pysubtask.testing.pytest_plugin, as a user gets them."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pysubtask.testing import Relay, SFTPServer


def test_the_server_and_a_relay_before_it(sftp_server: SFTPServer, relay_to: Callable[[str, int], Relay]):
    relay = relay_to(sftp_server.host, sftp_server.port)
    with socket.create_connection(relay.address, timeout=20) as client:
        assert client.recv(4) == b"SSH-"
