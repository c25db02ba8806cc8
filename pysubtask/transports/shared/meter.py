"""The bytes that went over TCP connections: the kernel's own count of each (``TCP_INFO``, see tcp(7) and linux/tcp.h).

Counted: every payload byte that this side transmitted, with its retransmissions, and every byte that arrived in order;
the bytes of encryption, protocol and login are among them. For each segment in both directions also the headers of IP and TCP,
as far as all segments have them (40 bytes with IPv4, 60 with IPv6, 12 more with timestamps).
Not counted: options that only some segments have (SYN options, SACK blocks), bytes that arrived twice,
the segments that end a connection after it was closed here, name resolution, and the frames below IP.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

from ..base import Wire

_TCP_INFO = 11  # the option's number on Linux, which Python's socket module does not always have
_ROOM = 256  # bytes: more than struct tcp_info has in any kernel so far; what is read is at its beginning
# Of struct tcp_info: bytes received, segments out and in, bytes sent, bytes sent again; the last ones are of Linux 4.19.
_COUNTS, _COUNTS_AT = struct.Struct("=QII56xQQ"), 128
_NEEDED = _COUNTS_AT + _COUNTS.size
_OPTIONS, _TIMESTAMPS = 5, 1
_HEADERS: dict[int, int] = {socket.AF_INET: 40, socket.AF_INET6: 60}
_NOTHING = Wire(0, 0)


class Meter:
    """The sum over all connections of one transport, past and present, for any thread.

    ``add`` a socket when it is created, ``end`` it before it is closed. Once a connection cannot be counted (another system, an old
    kernel), the sum is unknown.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._open: dict[socket.socket, Wire] = {}
        self._past = _NOTHING
        self._known = sys.platform == "linux"

    def add(self, sock: socket.socket) -> None:
        """Count a connection from its beginning."""
        with self._guard:
            self._open[sock] = _NOTHING

    def swap(self, old: socket.socket, new: socket.socket) -> None:
        """Count the connection of ``old`` under the object ``new`` from now on, as when TLS wraps a socket."""
        with self._guard:
            self._open[new] = self._open.pop(old, _NOTHING)

    def end(self, sock: socket.socket) -> None:
        """Take the last counts of a connection. May be called twice, and for a socket that was never added."""
        with self._guard:
            if sock in self._open:
                self._past = _sum(self._past, self._counts(sock))
                del self._open[sock]

    def blind(self) -> None:
        """A connection cannot be counted, so the sum is unknown from now on."""
        self._known = False

    def wire(self) -> Wire | None:
        """The sum until now; None where it is unknown."""
        with self._guard:
            found = self._past
            for sock in self._open:
                found = _sum(found, self._counts(sock))
        return found if self._known else None

    def _counts(self, sock: socket.socket) -> Wire:
        if self._known and sock.fileno() >= 0:  # a closed socket keeps the counts that were read last
            try:
                info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ROOM)
            except OSError:
                return self._open[sock]
            if len(info) < _NEEDED:
                self._known = False
            else:
                self._open[sock] = _read(info, sock.family)
        return self._open[sock]


class CountedSocket(socket.socket):
    """A socket that reports its last counts when any code closes it. Takes over the descriptor of ``sock``."""

    def __init__(self, sock: socket.socket, meter: Meter) -> None:
        limit = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self.settimeout(limit)
        self._meter = meter
        meter.add(self)

    def close(self) -> None:
        """Take the last counts from the kernel, which forgets them with the socket, and close."""
        self._meter.end(self)
        super().close()


def _read(info: bytes, family: int) -> Wire:
    received, out, back, sent, again = _COUNTS.unpack_from(info, _COUNTS_AT)
    each = _HEADERS.get(family, 40) + (12 if info[_OPTIONS] & _TIMESTAMPS else 0)
    return Wire(sent - again, received, again, (out + back) * each)


def _sum(one: Wire, other: Wire) -> Wire:
    return Wire(one.sent + other.sent, one.received + other.received, one.again + other.again, one.headers + other.headers)
