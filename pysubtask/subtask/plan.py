"""What must travel, decided from what is known of both sides. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..transports.base import RemoteStat


class Known(NamedTuple):
    """What the server showed after our last delivery under a name, and of which content."""

    remote: RemoteStat
    digest: str


def already_there(
    known: Known | None, size: int, mtime_ns: int, digest: str, remote: RemoteStat | None, local_hash: str = ""
) -> bool:
    """Whether the server has this content already, so that nothing needs to be sent.

    Yes when we delivered the same content and the server shows just what it showed then. Yes, too, when an
    upload was cut before its answer came and the server now shows the size and time it would have left;
    but not when the version before it had the same size and second, for then the two look alike. Where the server tells
    a hash and ``local_hash`` is that of our content, these two alone decide.
    """
    if remote is None:
        return False
    if remote.hash and local_hash:
        return remote.hash == local_hash
    if known is not None and known.digest == digest:
        return remote == known.remote
    left = (size, mtime_ns // 1_000_000_000)
    return remote[:2] == left and (known is None or known.remote[:2] != left)
