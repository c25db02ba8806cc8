"""Who is at the other end of a socket, as the system tells it."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from ..common import effective_user

_FORM = "3i"


class Peer(NamedTuple):
    """A process: ``pid`` and ``uid``."""

    pid: int
    uid: int


def peer_of(client: socket.socket) -> Peer | None:
    """The process at the other end (SO_PEERCRED, unix(7)); None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, uid, _ = struct.unpack(_FORM, client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_FORM)))
    return Peer(pid, uid)


def is_trusted(client: socket.socket) -> bool:
    """Whether the other end is a process of this user, or of root."""
    peer = peer_of(client)
    return peer is None or peer.uid in (0, effective_user.number())
