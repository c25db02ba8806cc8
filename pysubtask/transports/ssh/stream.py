"""The byte stream that an SFTP client uses, and its implementation by two file descriptors.

A stream pushes: it calls its listener for bytes, for room to send, and for the end, on the event loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ...common.errors import TransportError, TransportLost

_READ_SIZE = 256 * 1024  # bytes: one read empties what a pipe mostly holds
_PARTS_AT_ONCE = 512  # below the system's IOV_MAX, which is 1024


class Listener(Protocol):
    """The callbacks of a stream. None of them may raise."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the server."""

    def room_again(self) -> None:
        """The system has taken all bytes that were handed to ``send``."""

    def stream_ended(self, why: TransportError) -> None:
        """The stream has ended, for this reason; no other callback follows."""


class ByteStream(Protocol):
    """Bytes to and from a server's sftp subsystem."""

    def start(self, listener: Listener) -> None:
        """Begin to call the listener."""

    def send(self, parts: Sequence[bytes]) -> None:
        """Take all parts, in order; bytes that the system does not take now are kept. Never raises."""

    def backlog(self) -> int:
        """Bytes taken by ``send`` that the system has not taken yet."""

    def abort(self) -> None:
        """Close at once; the listener is not called any more."""

    def standstill(self) -> str:
        """The reason why no bytes arrive, as a clause for an error message, where it is known; else ''."""


class FdStream:
    """A stream over a pipe or socket to read from and one to write to (they may be duplicates of one).

    The stream owns both descriptors and closes them. To be constructed on the running loop.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        never_block(read_fd, write_fd)
        self._kept: deque[memoryview] = deque()
        self._kept_bytes = 0
        self._listener: Listener | None = None
        self._loop = asyncio.get_running_loop()
        self._can_write = True

    def start(self, listener: Listener) -> None:
        """See ``ByteStream.start``."""
        self._listener = listener
        self._loop.add_reader(self._read_fd, self._readable)

    def send(self, parts: Sequence[bytes]) -> None:
        """See ``ByteStream.send``; many parts go out in one writev(2)."""
        if not self._can_write:
            return
        if self._kept:
            self._keep(parts)
            return
        for first in range(0, len(parts), _PARTS_AT_ONCE):
            some = parts[first : first + _PARTS_AT_ONCE]
            taken = self._write(some)
            if taken < sum(map(len, some)):
                self._keep(some, taken)
                self._keep(parts[first + _PARTS_AT_ONCE :])
                if self._can_write:
                    self._loop.add_writer(self._write_fd, self._writable)
                return

    def backlog(self) -> int:
        """Bytes kept because the pipe or socket was full."""
        return self._kept_bytes

    def standstill(self) -> str:
        """'': a pipe shows nothing of the network."""
        return ""

    def end_input(self) -> None:
        """Close the writing side, so that the other side can end by itself."""
        if self._write_fd >= 0:
            self._loop.remove_writer(self._write_fd)
            self._can_write = False
            self._kept.clear()
            self._kept_bytes = 0
            os.close(self._write_fd)
            self._write_fd = -1

    def abort(self) -> None:
        """Close both descriptors; bytes not yet written are dropped."""
        self._listener = None
        self.end_input()
        if self._read_fd >= 0:
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1

    def _keep(self, parts: Sequence[bytes], skip: int = 0) -> None:
        for part in parts:
            if skip >= len(part):
                skip -= len(part)
                continue
            view = memoryview(part)[skip:]
            skip = 0
            self._kept.append(view)
            self._kept_bytes += len(view)

    def _write(self, parts: Sequence[bytes | memoryview]) -> int:
        """Number of bytes that the system took; 0 where it is full, or the other side has closed."""
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            return os.writev(self._write_fd, parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # The other side has closed. Its last output and the reason arrive on the reading side.
            self.end_input()
            return 0

    def _writable(self) -> None:
        kept = self._kept
        while kept and self._can_write:
            some = [kept[i] for i in range(min(len(kept), _PARTS_AT_ONCE))]
            asked = sum(map(len, some))
            taken = self._write(some)
            self._kept_bytes -= taken
            full = taken < asked
            while taken:
                if taken >= len(kept[0]):
                    taken -= len(kept.popleft())
                else:
                    kept[0] = kept[0][taken:]
                    taken = 0
            if full:
                return
        if self._can_write:
            self._loop.remove_writer(self._write_fd)
            if self._listener is not None:
                self._listener.room_again()

    def _readable(self) -> None:
        try:
            data = os.read(self._read_fd, _READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(f"reading failed: {exc.strerror}")
            return
        if not data:
            self._end("the server closed the connection")
        elif self._listener is not None:
            self._listener.data_received(data)

    def _end(self, why: str) -> None:
        self._loop.remove_reader(self._read_fd)
        self.ended(why)

    def ended(self, why: str) -> None:
        """Called once when the reading side is at its end. A subclass may first wait for a better reason."""
        if self._listener is not None:
            self._listener.stream_ended(TransportLost(why))


def never_block(*handles: int) -> None:
    """Have reads and writes of these pipes return at once."""
    if sys.platform == "win32":
        raise NotImplementedError
    for handle in handles:
        os.set_blocking(handle, False)
