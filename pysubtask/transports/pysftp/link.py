"""One connection, shared by the event loop and a thread: the loop can cut it, whatever the thread does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from ...common.errors import TransportLost
from ..shared.remote_text import remote_text

_LONGEST = 200  # characters of a status: more than any server's reason has


class Status(Exception):
    """A status of the server other than OK (draft-ietf-secsh-filexfer-02 section 7). ``code``: its number."""

    NO_SUCH_FILE, NO_CONNECTION, CONNECTION_LOST, OP_UNSUPPORTED = 2, 6, 7, 8

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        super().__init__(f"{remote_text(words, _LONGEST)!r} (status {code})")


class Link:
    """``turn`` is held by the call that uses the connection; ``closed`` is done when the connection is over; ``is_cut``: it is
    of no more use."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.turn = asyncio.Lock()
        self.connection: Any = None
        self.is_cut = False
        self._sock: socket.socket | None = None

    def hold(self, sock: socket.socket) -> None:
        """In the thread: take over a new socket, and end the one before. Raises TransportLost where the link was cut while the
        socket was opened."""
        if self._sock is not None:  # the socket of an earlier attempt to log in
            hang_up(self._sock)
        self._sock = sock
        if self.is_cut:
            raise TransportLost("closed meanwhile")

    def cut(self) -> None:
        """On the loop: end the connection, whatever the thread does."""
        self.is_cut = True
        if self._sock is not None:
            hang_up(self._sock)


def hang_up(sock: socket.socket) -> None:
    """Shut a socket down without waiting: paramiko's own thread then closes the socket and wakes every waiting call."""
    with contextlib.suppress(OSError):  # it has ended already
        sock.shutdown(socket.SHUT_RDWR)
