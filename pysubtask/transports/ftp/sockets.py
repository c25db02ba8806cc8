"""The sockets of one control connection and its data connections, and the time limits on them.

What ftplib lacks: a time limit on every wait, an end forced from another thread, TLS sessions resumed on data connections.
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

_SLACK_SECS = 2.0  # a thread's own time limit comes before the caller gives the thread up
_KEEP_ALIVE_SECS = 60  # one packet a minute keeps the entry in a NAT's table


class Sockets(ftplib.FTP):
    """For one thread at a time; any thread may ``cut`` them.

    ``due``: when (monotonic) the thread at work should have returned or made a step; the caller may give the thread up then.
    ``until``: when everything must be done, None for no such limit. ``resumes``: whether data connections resume the TLS
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
        """Mark the sockets as used by a thread, which ought to make its first step within ``limit`` seconds."""
        self.due = time.monotonic() + limit + _SLACK_SECS
        with self._lock:
            self._busy = True

    def leave(self) -> None:
        """Mark the sockets as unused."""
        with self._lock:
            self._busy = False
            aborted = self._aborted
        if aborted:
            self.close()

    def cut(self) -> None:
        """End every wait of the thread at work; nothing is sent after this returns. For any thread.

        The sockets are closed when no thread uses them any more: the number of a closed descriptor may soon belong to another
        file.
        """
        with self._lock:
            self._aborted = True
            busy = self._busy
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    # SSLSocket.shutdown would drop the TLS state while the other thread uses it.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if not busy:
            self.close()

    def close(self) -> None:
        """Close every socket: for the thread at work, or when there is none."""
        with self._lock:
            self._aborted = True
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            self._meter.end(sock)
            sock.close()
        self.sock = None

    def wait(self, more: float = 0.0) -> float:
        """Seconds that the next step may take (``StallSecs`` and ``more``); ``due`` is moved accordingly. Raises TimeoutError
        where no time is left."""
        secs = self.login_data.stall_secs + more
        now = time.monotonic()
        if self.until is not None:
            secs = min(secs, self.until - now)
        if secs <= 0:
            raise TimeoutError
        self.due = now + secs + _SLACK_SECS
        return secs

    def check_open(self) -> None:
        """Move ``due`` while nothing is expected from the server. Raises ConnectionAbortedError after ``cut``."""
        self.wait()
        if self._aborted:
            raise ConnectionAbortedError("closed")

    def drop(self, sock: socket.socket) -> None:
        """Close one socket."""
        with self._lock:
            self._sockets.discard(sock)
        self._meter.end(sock)
        sock.close()

    def _wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """TLS over a socket. A data connection resumes the control connection's session (RFC 4217 section 10.2), which is read
        each time, as TLS 1.3 sends its tickets after the handshake."""
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
    """Switch TCP keep-alive on: a control connection is idle during a long transfer, and a NAT on the path must not forget it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, option):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEP_ALIVE_SECS)
