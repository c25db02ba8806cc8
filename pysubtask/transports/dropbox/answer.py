"""A reply within limits: of time, for the whole reply, and of size.

The library's own limit is for each read from the socket, so a server that sends one byte now and then, or headers or a body
without end, would hold its caller for ever, or fill the memory. A reply of Dropbox has a few hundred bytes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from typing import Any

MOST_BYTES = 4 * 1024 * 1024
"""The longest reply, uncompressed: far above Dropbox's own, and what answers in its place must not fill the memory."""
GRACE_SECS = 2.0
"""Seconds beyond ``StallSecs`` within which the whole reply must have arrived: replies are short, so one that drips is no reply."""


class _TimedReader(io.RawIOBase):
    """The bytes of a socket, until ``until`` (monotonic)."""

    def __init__(self, sock: Any, until: float) -> None:
        self._sock, self._until = sock, until
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer does not come to its end")
        before = self._sock.gettimeout()
        if before is not None and before <= left:
            return self._raw.readinto(buffer)
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            if self._sock.fileno() >= 0:
                self._sock.settimeout(before)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """An object that ``HTTPResponse`` takes for a socket."""

    def __init__(self, sock: Any, until: float) -> None:
        self._sock, self._until = sock, until

    def makefile(self, mode: str) -> Any:
        return io.BufferedReader(_TimedReader(self._sock, self._until))


def timed(stall: float) -> Callable[..., HTTPResponse]:
    """A class of responses that must be complete within ``stall`` + ``GRACE_SECS`` seconds after the last byte of the request;
    else reading them raises TimeoutError."""

    class Response(HTTPResponse):
        def __init__(self, sock: Any, *args: Any, **named: Any) -> None:
            super().__init__(_Source(sock, time.monotonic() + stall + GRACE_SECS), *args, **named)  # type: ignore[arg-type]

    return Response


def bounded(answer: Any) -> Any:
    """The same response (of urllib3), whose body raises ProtocolError beyond ``MOST_BYTES``, compressed or not."""
    from urllib3.exceptions import ProtocolError

    stream = answer.stream

    def counted(*args: Any, **named: Any) -> Iterator[bytes]:
        total = 0
        for part in stream(*args, **named):
            total += len(part)
            if total > MOST_BYTES:
                answer.close()
                raise ProtocolError(f"an answer of more than {MOST_BYTES:,} bytes")
            yield part

    answer.stream = counted
    return answer
