"""Bytes over a data connection: progress, pace, and the end of the stream."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...common.errors import SourceChanged
from ...common.positioned import read_at
from ..base import Job
from ..shared.sent_hash import SentHash
from ..shared.source import open_source
from ..shared.standstill import of_upload
from .control_connection import ControlConnection
from .replies import Standstill

BLOCK = 256 * 1024  # bytes read and sent at a time: large enough that the calls cost nothing beside the sending
LEAST = 16 * 1024
"""Below this size, sending the bytes again costs less than asking the server what it has of them."""
BEGUN = '{"begun": true}'
"""The note of an attempt. It holds no offset: how many bytes are stored, only the server knows."""
_NOTE_BYTES = 512 * 1024  # a note is a commit of the queue, so a short file is to cost none
_NOTE_SECS = 1.0  # on a slow link fewer bytes are worth a note: they took this long
_SLICE_SECS = 1.0  # how often it is looked whether bytes moved
_NOT_SENT = 256 * 1024  # bytes in the kernel that are not sent yet: a fast link never runs dry, a slow one has few queued
_LONGEST_LIST = 64 * 1024  # bytes of the listing of one file; a longer one is that of a folder


class Tally:
    """The progress of one attempt, over all its transfers. ``sent``: file bytes handed to connections. ``note`` is called once,
    as soon as the server has enough bytes to resume from."""

    def __init__(self, size: int, progress: Callable[[int], None], note: Callable[[str], None]) -> None:
        self.sent = 0
        self._size = size
        self._progress = progress
        self._note = note
        self._noted = False
        self._begun = time.monotonic()

    @classmethod
    def silent(cls) -> Tally:
        """A tally that reports to nobody."""
        return cls(0, lambda done: None, lambda note: None)

    def reach(self, done: int, handed: int = 0) -> None:
        """Report that the server has the first ``done`` bytes, as far as is known; ``handed``: bytes handed to the connection."""
        self._progress(min(done, self._size))
        if not self._noted and (handed >= _NOTE_BYTES or (handed >= LEAST and time.monotonic() - self._begun >= _NOTE_SECS)):
            self._noted = True
            self._note(BEGUN)

    def reset(self) -> None:
        """Withdraw the note: there is nothing to resume from after all."""
        self._noted = False
        self._note("")


class Upload:
    """Sends over the socket of a transfer that began at ``start``. ``sent``: bytes handed to the connection."""

    def __init__(self, control: ControlConnection, sock: socket.socket, tally: Tally, start: int) -> None:
        self._control = control
        self._sock = sock
        self._tally = tally
        self._start = start
        self._waiting = 0
        self.sent = 0
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Bytes not yet sent stay in this process: else megabytes queue up in the kernel before a slow link, and neither
            # the pace nor the progress is true.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)

    @property
    def acknowledged(self) -> int:
        """Bytes that the peer's kernel has acknowledged, as far as this system tells."""
        return max(0, self.sent - self._unacknowledged())

    def moved(self) -> bool:
        """Whether bytes were acknowledged since the last call."""
        waiting, before = self._unacknowledged(), self._waiting
        self._waiting = waiting
        self._control.standstill = of_upload(self._sock) if waiting and waiting >= before else ""
        if waiting < before:
            self._reached()
        return waiting < before

    def send(self, block: bytes) -> None:
        """Send a whole block, at the pace that is set. Raises TimeoutError (or Standstill, with the cause) where no byte moved
        for ``StallSecs``."""
        view = memoryview(block)
        while view:
            part = view[: self._control.pace.piece(BLOCK)]
            self._control.pace.hold(len(part), self._control.check_open)
            self._send(part)
            view = view[len(part) :]

    def _send(self, view: memoryview) -> None:
        end = time.monotonic() + self._control.wait()
        while view:
            self._sock.settimeout(min(_SLICE_SECS, max(0.001, end - time.monotonic())))
            try:
                count = self._sock.send(view)
            except TimeoutError:
                if self.moved():
                    end = time.monotonic() + self._control.wait()
                elif time.monotonic() >= end:
                    if self._control.standstill:
                        raise Standstill(self._control.standstill) from None
                    raise
                continue
            self.sent += count
            view = view[count:]
            self._waiting = self._unacknowledged()
            end = time.monotonic() + self._control.wait()
        self._reached()

    def _reached(self) -> None:
        self._tally.reach(self._start + self.acknowledged, self._start + self.sent)

    def finish(self) -> None:
        """End the stream: with TLS first a close_notify, without waiting for the server's own, as some servers wait for the end
        of the TCP connection."""
        if isinstance(self._sock, ssl.SSLSocket):
            self._send_close_notify(self._sock)
        socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def _send_close_notify(self, sock: ssl.SSLSocket) -> None:
        end = time.monotonic() + self._control.wait()
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
                # The close_notify is sent, and the server's own has not arrived; or the server closed without one, which
                # only its reply and the file's size can tell from a cut.
                pass
            return

    def _unacknowledged(self) -> int:
        if sys.platform == "win32":  # the kernel does not tell
            return 0
        import fcntl
        import termios

        try:
            return int(struct.unpack("i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
        except (OSError, ValueError):
            return 0


class Source(NamedTuple):
    """An open file that holds the sent bytes from offset ``base`` on. ``fd``: its descriptor, which the caller closes."""

    fd: int
    base: int
    hash: SentHash | None = None
    """The hash of the bytes that ``blocks`` has read; None where no hash is kept."""

    def read(self, at: int, count: int) -> bytes:
        """Up to ``count`` bytes from offset ``at`` of the whole file. Raises SourceChanged where they cannot be read."""
        try:
            return read_at(self.fd, count, at - self.base)
        except OSError as exc:
            raise SourceChanged(f"it cannot be read: {exc.strerror}") from exc

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes between two offsets. Raises SourceChanged where the file has fewer or cannot be read."""
        while start < end:
            block = self.read(start, min(BLOCK, end - start))
            if not block:
                raise SourceChanged(f"it ends after {start:,} of {end:,} bytes")
            if self.hash is not None:
                self.hash.took(start, block)
            yield block
            start += len(block)


@contextlib.contextmanager
def opened(job: Job) -> Iterator[Source]:
    """The opened source of a job. Raises as ``open_source``."""
    fd = open_source(job)
    try:
        yield Source(fd, job.base, SentHash(job, fd))
    finally:
        os.close(fd)


def receive_lines(control: ControlConnection, sock: socket.socket) -> list[str]:
    """The lines of a short listing, decoded as names are."""
    return receive(control, sock, _LONGEST_LIST).decode("utf-8", "surrogateescape").splitlines()


def receive(control: ControlConnection, sock: socket.socket, most: int) -> bytes:
    """The bytes of a data connection until its end, or a little more than ``most`` of them. Some servers never close a data
    connection: where such a server has replied to the transfer and no more bytes come, the reply is the end."""
    data = bytearray()
    end = time.monotonic() + control.wait()
    while len(data) <= most:
        sock.settimeout(max(0.001, min(_SLICE_SECS, end - time.monotonic())))
        try:
            block = sock.recv(8192)
        except TimeoutError:
            if control.has_reply():
                break
            if time.monotonic() >= end:
                raise
            continue
        except ssl.SSLEOFError:  # the server sent no close_notify: its reply says whether the data are whole
            break
        if not block:
            break
        data += block
    return bytes(data)


def _wait_writable(sock: socket.socket, secs: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        selector.select(secs)
