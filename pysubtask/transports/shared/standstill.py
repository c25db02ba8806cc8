"""Why a connection stands still, as far as this machine's kernel shows it (TCP_INFO, see tcp(7) and linux/tcp.h).

A way whose largest packet (MTU) is smaller than this machine takes it for, and on which nobody tells so (no ICMP), swallows
every large packet and lets small ones pass: a login's first words and short commands go through, and then nothing does. Seen
from here: what was sent is repeated again and again, and of all that the connection has sent no full packet was ever acknowledged.
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
"""So often the same was repeated without any acknowledgement; the first time may be a lost packet."""
_SMALLEST_MSS = 600

MTU = "small packets pass and large ones do not, so the MTU of the way is smaller than this machine takes it for"
PROBE = set_kernel("net.ipv4.tcp_mtu_probing", 1)
REMEDY = (
    f"Have this machine find out ({PROBE}), or set a smaller MTU for its network device (1280 passes nearly everywhere); "
    "mostly a tunnel, a modem or a VPN is in between"
)


class Seen(NamedTuple):
    """``repeats``: times in a row that the same was sent again; ``unacked``: packets on their way; ``acked`` and ``received``:
    bytes, from the connection's beginning; ``full``: bytes of data in a full packet."""

    repeats: int
    unacked: int
    acked: int
    received: int
    full: int

    def swallows(self, before: int = 0) -> bool:
        """Whether large packets are swallowed: nothing of the size of one was acknowledged since ``before`` were, and what was sent
        is repeated."""
        return self.unacked > 0 and self.repeats >= _REPEATS and self.full > _SMALLEST_MSS and self.acked - before < self.full


def read(info: bytes) -> Seen | None:
    """From the bytes of struct tcp_info; None where they are too few. Pure."""
    if len(info) < _NEEDED:
        return None
    mss, unacked = (struct.unpack_from("=I", info, at)[0] for at in (_SEND_MSS, _UNACKED))
    acked, received = (struct.unpack_from("=Q", info, at)[0] for at in (_ACKED, _RECEIVED))
    return Seen(info[_RETRANSMITS], unacked, acked, received, mss)


def tcp_state(sock: socket.socket) -> Seen | None:
    """What the kernel shows of a TCP connection; None where it does not."""
    if sys.platform == "linux" and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            return read(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ROOM))
    return None


def of_upload(sock: socket.socket) -> str:
    """Words for a connection that carries nothing but a file's data; '' where nothing is seen."""
    seen = tcp_state(sock)
    return MTU if seen is not None and seen.swallows() else ""


def of_login(sock: socket.socket) -> str:
    """Words for a connection whose other side has said its name, and on which no login comes about."""
    seen = tcp_state(sock)
    return MTU if seen is not None and seen.received > 0 and seen.swallows() else ""
