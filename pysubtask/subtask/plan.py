"""What must travel, decided from what is known of both sides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..transports.base import Append, Copy, RemoteStat

LEAST_BYTES = 1024
"""A file as small as this is sent whole: that takes no more packets, and it changes in one step."""


class Known(NamedTuple):
    """What the server showed after our last delivery under a name, and of which content.

    ``reach``: size and digest of the content up to which that was to be appended since, where such an append was begun
    and is not known to have ended.
    """

    remote: RemoteStat
    digest: str
    reach: tuple[int, str] | None = None


class Way(NamedTuple):
    """How a version goes to the server: ``append`` in place, or with ``copies`` that the server makes of what it has; whole
    where both are empty. ``new``: how many of its bytes are not in what we delivered before."""

    new: int
    append: Append | None = None
    copies: tuple[Copy, ...] = ()


def way(known: Known | None, size: int, prefixes: Mapping[int, str], *, appends: bool, copies: bool) -> Way:
    """How a version of ``size`` bytes is to be sent, ``prefixes`` being the digests of some of its beginnings.

    What we delivered must be a true beginning of it, by digest, and so must be what an append was begun for. Whether the
    server's file still is as we left it is for the transport to see. ``appends`` and ``copies``: the ways there are.
    """
    if known is None or prefixes.get(known.remote.size) != known.digest:
        return Way(size)
    at = until = known.remote.size
    new = size - at
    if known.reach is not None:
        until = known.reach[0]
        if prefixes.get(until) != known.reach[1]:
            # Part of another content may stand there by now.
            return Way(new)
    if at <= LEAST_BYTES or size < until or (size == at == until):
        return Way(new)
    if appends:
        return Way(new, append=Append(at, until))
    if copies and until == at:
        return Way(new, copies=(Copy(0, at, 0),))
    return Way(new)


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
