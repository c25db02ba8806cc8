"""The sockets of one control connection and its data connections, and how long they are waited for.

What ftplib leaves out: a time limit on every wait, an end that can be put to it from outside, TLS sessions carried on to
the data connections.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import threading
import time

from ..shared.meter import Meter
from .options import Login
from .tls import check_pin

_SLACK_SECS = 2.0
_KEEP_ALIVE_SECS = 60


class Sockets(ftplib.FTP):
    """For one thread at a time; ``cut`` them from any thread.

    ``due``: when (monotonic) the thread that uses it should have come back or moved on; a caller who still waits then may give it
    up. ``until``: when everything must be done, None for no such limit. ``resumes``: whether data connections go on with the TLS
    session.
    """

    def __init__(self, login: Login, meter: Meter) -> None:
        super().__init__(timeout=login.stall_secs, encoding="utf-8")
        self.login_data = login
        self.passiveserver = login.passive
        self.resumes = True
        self.until: float | None = None
        self.due = time.monotonic() + login.connect_secs + _SLACK_SECS
        self._meter = meter
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._aborted = self._busy = False
        self._sockets: set[socket.socket] = set()

    def enter(self, limit: float) -> None:
        """A thread will use it, and ought to make its first step within so many seconds."""
        self.due = time.monotonic() + limit + _SLACK_SECS
        with self._lock:
            self._busy = True

    def leave(self) -> None:
        """The thread is done with it."""
        with self._lock:
            self._busy = False
            aborted = self._aborted
        if aborted:
            self.close()

    def cut(self) -> None:
        """End every wait in the thread that uses it; nothing is sent after this returns. For any thread.

        The sockets are closed when no thread uses them (any more): a closed one's number may soon be another's.
        """
        with self._lock:
            self._aborted = True
            busy = self._busy
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which would take TLS away under the other thread.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if not busy:
            self.close()

    def close(self) -> None:
        """Close every socket: for the thread that uses it, or when none does."""
        with self._lock:
            self._aborted = True
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            self._meter.end(sock)
            sock.close()
        self.sock = None

    def wait(self, more: float = 0.0) -> float:
        """Seconds that the next step may take; whoever waits for this thread is told. TimeoutError when there are none."""
        secs = self.login_data.stall_secs + more
        now = time.monotonic()
        if self.until is not None:
            secs = min(secs, self.until - now)
        if secs <= 0:
            raise TimeoutError
        self.due = now + secs + _SLACK_SECS
        return secs

    def check_open(self) -> None:
        """Nothing is due from the server for the moment. ConnectionAbortedError where it was cut meanwhile."""
        self.wait()
        if self._aborted:
            raise ConnectionAbortedError("closed")

    def drop(self, sock: socket.socket) -> None:
        """Close a socket."""
        with self._lock:
            self._sockets.discard(sock)
        self._meter.end(sock)
        sock.close()

    def _wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """TLS over a socket; a data connection goes on with the control connection's session (RFC 4217 section 10.2),
        read anew each time, since TLS 1.3 brings its tickets after the handshake."""
        assert self._context is not None
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) and self.resumes else None
        plain = sock
        try:
            sock.settimeout(self.wait())
            wrapped = self._context.wrap_socket(
                sock, server_hostname=self.login_data.host, do_handshake_on_connect=False, session=session
            )
            self._meter.swap(plain, wrapped)
            with self._lock:
                self._sockets.discard(plain)
            self._adopt(wrapped)
        except BaseException:
            self.drop(plain)
            raise
        try:
            wrapped.do_handshake()
            check_pin(self.login_data, wrapped)
        except BaseException:
            self.drop(wrapped)
            raise
        return wrapped

    def _adopt(self, sock: socket.socket) -> socket.socket:
        with self._lock:
            if not self._aborted:
                self._sockets.add(sock)
                self._meter.add(sock)
                return sock
        self._meter.end(sock)
        sock.close()
        raise ConnectionAbortedError("closed from here")


def keep_alive(sock: socket.socket) -> None:
    """A control connection says nothing during a long transfer; a NAT on the way shall not forget it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, option):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEP_ALIVE_SECS)
