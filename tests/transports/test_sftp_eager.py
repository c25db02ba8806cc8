"""What keeps a login from waiting: a real child with a real socket, which says itself what was set."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from pysubtask.transports.ssh.tcp_latency import hasten, possible

_CHILD = """
import socket, sys, time
ours, theirs = socket.socketpair()
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for _ in range(2000):
    if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
        sock.sendall(b"set")
        sys.exit(0)
    time.sleep(0.005)
"""

needed = pytest.mark.skipif(not possible(), reason="not Linux, or its system calls are filtered")


@needed
def test_the_socket_of_a_child_sends_at_once():
    async def run(pid: int, server: socket.socket) -> None:
        hastening = asyncio.ensure_future(hasten(pid))
        there, _ = await asyncio.to_thread(server.accept)
        with there:
            there.settimeout(15)
            assert await asyncio.to_thread(there.recv, 3) == b"set"
            hastening.cancel()
            await asyncio.gather(hastening, return_exceptions=True)
            # The duplicate is closed again: the child's own was the last one.
            assert await asyncio.to_thread(there.recv, 3) == b""

    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(listening.getsockname()[1])])
        try:
            asyncio.run(run(child.pid, listening))
        finally:
            child.kill()
            child.wait()


@needed
def test_a_child_that_has_ended_is_no_error():
    child = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    child.wait()
    asyncio.run(asyncio.wait_for(hasten(child.pid), 5))
