"""What must travel, decided from what is known of both sides. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..transports.base import RemoteStat


class Known(NamedTuple):
    """What the server showed after our last delivery under a name, and of which content."""

    remote: RemoteStat
    digest: str


def already_there(known: Known | None, size: int, mtime_ns: int, digest: str, remote: RemoteStat | None) -> bool:
    """Whether the server has this content already, so that nothing needs to be sent.

    Yes when we delivered the same content and the server shows just what it showed then. Yes, too, when an
    upload was cut before its answer came and the server now shows the size and time it would have left;
    but not when the version before it had the same size and second, for then the two look alike.
    """
    if remote is None:
        return False
    if known is not None and known.digest == digest:
        return remote == known.remote
    left = RemoteStat(size, mtime_ns // 1_000_000_000)
    return remote == left and (known is None or known.remote != left)
