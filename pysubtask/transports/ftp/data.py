"""Bytes over a data connection: how far they are, and how their end is told."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Iterator

from ...common.errors import SourceChanged
from .wire import Wire

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # not a POSIX system: what is still on the way cannot be asked for
    ioctl = None  # type: ignore[assignment]

BLOCK = 256 * 1024
_SLICE_SECS = 1.0
_NOT_SENT = 256 * 1024
_LONGEST_LIST = 64 * 1024


class Upload:
    """Sends over the socket of a transfer. ``sent``: bytes handed to the connection."""

    def __init__(self, wire: Wire, sock: socket.socket) -> None:
        self._wire = wire
        self._sock = sock
        self._waiting = 0
        self.sent = 0
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What is not even on its way yet stays with us: else a slow link stands behind megabytes in the kernel.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)

    @property
    def acknowledged(self) -> int:
        """Bytes the other side's kernel has, as far as this system tells."""
        return max(0, self.sent - self._unacknowledged())

    def moved(self) -> bool:
        """Whether bytes were acknowledged since this was asked last."""
        waiting, before = self._unacknowledged(), self._waiting
        self._waiting = waiting
        return waiting < before

    def send(self, block: bytes) -> None:
        """All of it; TimeoutError when nothing moved for the time limit of a standstill."""
        view = memoryview(block)
        end = time.monotonic() + self._wire.wait()
        while view:
            self._sock.settimeout(min(_SLICE_SECS, max(0.001, end - time.monotonic())))
            try:
                count = self._sock.send(view)
            except TimeoutError:
                if self.moved():
                    end = time.monotonic() + self._wire.wait()
                elif time.monotonic() >= end:
                    raise
                continue
            self.sent += count
            view = view[count:]
            self._waiting = self._unacknowledged()
            end = time.monotonic() + self._wire.wait()

    def finish(self) -> None:
        """Tell the end of the data: with TLS a close_notify, which the server's own is not waited for, as some
        wait for the end of the connection; then the end of the stream."""
        if isinstance(self._sock, ssl.SSLSocket):
            self._say_goodbye(self._sock)
        socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def _say_goodbye(self, sock: ssl.SSLSocket) -> None:
        end = time.monotonic() + self._wire.wait()
        sock.settimeout(0)
        while True:
            try:
                sock.unwrap()
            except ssl.SSLWantWriteError:
                _wait_writable(sock, _SLICE_SECS)
                if time.monotonic() >= end and not self.moved():
                    raise TimeoutError from None
                continue
            except (OSError, ValueError):
                # Sent, and the server's is not there yet; or the server ended it its own way, which only its reply
                # and the size of the file can tell from a cut.
                pass
            return

    def _unacknowledged(self) -> int:
        if ioctl is None:
            return 0
        try:
            return int(struct.unpack("i", ioctl(self._sock.fileno(), TIOCOUTQ, b"\0\0\0\0"))[0])
        except (OSError, ValueError):
            return 0


def blocks_of(fd: int, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of a file. SourceChanged where it has fewer or cannot be read."""
    at = 0
    while at < size:
        try:
            block = os.pread(fd, min(BLOCK, size - at), at) if hasattr(os, "pread") else os.read(fd, min(BLOCK, size - at))
        except OSError as exc:
            raise SourceChanged(f"it cannot be read: {exc.strerror}") from exc
        if not block:
            raise SourceChanged(f"it ends after {at:,} of {size:,} bytes")
        yield block
        at += len(block)


def receive_lines(wire: Wire, sock: socket.socket) -> list[str]:
    """A short listing, decoded as names are."""
    heard = bytearray()
    end = time.monotonic() + wire.wait()
    while len(heard) < _LONGEST_LIST:
        sock.settimeout(max(0.001, end - time.monotonic()))
        try:
            block = sock.recv(8192)
        except ssl.SSLEOFError:  # no goodbye: the reply will tell whether it was whole
            break
        if not block:
            break
        heard += block
    return heard.decode("utf-8", "surrogateescape").splitlines()


def _wait_writable(sock: socket.socket, secs: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        selector.select(secs)
