"""Addresses of this machine that do not answer: a listener whose queue is full drops what comes, as a firewall does."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator


@contextlib.contextmanager
def silent(address: str, port: int) -> Iterator[socket.socket]:
    """``address`` (of 127.0.0.0/8) does not answer on ``port``."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(8):
            caller = stack.enter_context(socket.socket())
            caller.settimeout(0.3)
            try:
                caller.connect((address, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue of a listener is never full here")
        time.sleep(0.05)
        yield listener


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
