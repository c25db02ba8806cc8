"""Why a connection stands still, as far as this machine's kernel shows it (TCP_INFO, see tcp(7) and linux/tcp.h).

A path whose MTU is smaller than this machine assumes, and on which no router reports that by ICMP, drops every large packet and
lets small ones pass: the first lines of a login and short commands arrive, and then nothing does. The symptom on this side: the
same data is retransmitted again and again, and no full packet of the connection was ever acknowledged.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import NamedTuple

from ...common.advice import set_kernel

_TCP_INFO, _ROOM, _NEEDED = 11, 256, 136
_RETRANSMITS, _SEND_MSS, _UNACKED, _ACKED, _RECEIVED = 2, 16, 24, 120, 128  # offsets in struct tcp_info
_REPEATS = 2
"""Retransmissions in a row without an acknowledgement; a single one may be due to a lost packet."""
_SMALLEST_MSS = 600  # every path takes a packet of 576 bytes, so full packets of no more are not dropped for their size

MTU = "small packets pass and large ones do not, so the MTU of the way is smaller than this machine takes it for"
PROBE = set_kernel("net.ipv4.tcp_mtu_probing", 1)
REMEDY = (
    f"Have this machine find out ({PROBE}), or set a smaller MTU for its network device (1280 passes nearly everywhere); "
    "mostly a tunnel, a modem or a VPN is in between"
)


class TCPState(NamedTuple):
    """``repeats``: retransmissions in a row of the same data; ``unacked``: packets in flight; ``acked`` and ``received``:
    bytes since the connection's beginning; ``full``: bytes of data in a full packet (MSS)."""

    repeats: int
    unacked: int
    acked: int
    received: int
    full: int

    def swallows(self, before: int = 0) -> bool:
        """Whether large packets are dropped: since ``before`` bytes were acknowledged, less than one full packet was, and the data
        in flight is being retransmitted."""
        return self.unacked > 0 and self.repeats >= _REPEATS and self.full > _SMALLEST_MSS and self.acked - before < self.full


def read(info: bytes) -> TCPState | None:
    """Parse the bytes of struct tcp_info; None where an old kernel gives too few. Pure."""
    if len(info) < _NEEDED:
        return None
    mss, unacked = (struct.unpack_from("=I", info, at)[0] for at in (_SEND_MSS, _UNACKED))
    acked, received = (struct.unpack_from("=Q", info, at)[0] for at in (_ACKED, _RECEIVED))
    return TCPState(info[_RETRANSMITS], unacked, acked, received, mss)


def tcp_state(sock: socket.socket) -> TCPState | None:
    """The state of a TCP connection by getsockopt(TCP_INFO); None where the kernel does not give it."""
    if sys.platform == "linux" and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            return read(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ROOM))
    return None


def of_upload(sock: socket.socket) -> str:
    """The reason why a connection that carries only a file's data stands still; '' where none is known."""
    seen = tcp_state(sock)
    return MTU if seen is not None and seen.swallows() else ""


def of_login(sock: socket.socket) -> str:
    """The reason why a login does not proceed after the server has sent its first line; '' where none is known."""
    seen = tcp_state(sock)
    return MTU if seen is not None and seen.received > 0 and seen.swallows() else ""
