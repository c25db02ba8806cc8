"""What must travel, decided from what is known of both sides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...common.remote_times import is_same_time
from ...transports.base import Append, Copy, RemoteStat

SIGNED_BYTES = 256 * 1024
"""A file below this is sent whole where it does not go on from what the server has: finding out what is new costs as much."""

LEAST_BYTES = 1024
"""A file as small as this is sent whole: that takes no more packets, and it changes in one step."""


PATCH_TRIES = 4
"""Attempts with copies of one version, and much to send besides, before it is sent whole: such an upload goes on where it was
cut, one with copies cannot. Three times as many where there is little to send."""

_LEAST_SAVED = 64 * 1024
_SHORT_BYTES = 1024 * 1024


class Known(NamedTuple):
    """What the server showed after our last delivery under a name (``remote``), and the ``digest`` of the content delivered.

    ``reach``: size and digest of the content up to which that was to be appended since, where such an append was begun
    and is not known to have ended.
    """

    remote: RemoteStat
    digest: str
    reach: tuple[int, str] | None = None


class TransferPlan(NamedTuple):
    """How a version goes to the server: ``append`` in place, or with ``copies`` that the server makes of what it has; whole
    where both are empty. ``new``: how many of its bytes are not in what we delivered before."""

    new: int
    append: Append | None = None
    copies: tuple[Copy, ...] = ()


def plan_transfer(known: Known | None, size: int, prefixes: Mapping[int, str], *, appends: bool, copies: bool) -> TransferPlan:
    """How a version of ``size`` bytes is to be sent, ``prefixes`` being the digests of some of its beginnings.

    What we delivered must be a true beginning of it, by digest, and so must be what an append was begun for. Whether the
    server's file still is as we left it is for the transport to see. ``appends`` and ``copies``: the ways there are.
    """
    if known is None or prefixes.get(known.remote.size) != known.digest:
        return TransferPlan(size)
    at = until = known.remote.size
    new = size - at
    if known.reach is not None:
        until = known.reach[0]
        if prefixes.get(until) != known.reach[1]:
            # Part of another content may stand there by now.
            return TransferPlan(new)
    if at <= LEAST_BYTES or size < until or (size == at == until):
        return TransferPlan(new)
    if appends:
        return TransferPlan(new, append=Append(at, until))
    if copies and until == at:
        return TransferPlan(new, copies=(Copy(0, at, 0),))
    return TransferPlan(new)


def is_signed(plan: TransferPlan, size: int, base: int, live: bool) -> bool:
    """Whether a version that is sent ``how`` is worth a signature, given that the server can copy: what is appended leaves the old
    one true, a short file is sent whole anyway, and what is not all there, or may change, cannot be read."""
    return size >= SIGNED_BYTES and plan.append is None and not plan.copies and not base and not live


def may_be_patched(known: Known | None, plan: TransferPlan, digest: str, resume: str) -> bool:
    """Whether a version that is sent ``how`` may be made from what the server has: surely known, and another content. What was
    begun whole, and can be gone on with, is."""
    if known is None or known.reach is not None or known.digest == digest:
        return False
    return plan.append is None and not plan.copies and not resume


def patched(plan: TransferPlan, size: int, copies: tuple[Copy, ...], attempts: int) -> TransferPlan:
    """``how`` a whole version of ``size`` bytes is sent, now that it is known which ``copies`` can be made of what the server
    has: with them, if that saves something worth the while, and if ``attempts`` were not cut again and again."""
    saved = sum(copy.size for copy in copies)
    if saved < max(_LEAST_SAVED, size // 10):
        return plan
    new = size - saved
    if attempts >= (PATCH_TRIES if new > _SHORT_BYTES else 3 * PATCH_TRIES):
        return TransferPlan(new)
    return TransferPlan(new, copies=copies)


def was_left(former: Known, size: int, digest: str, remote: RemoteStat | None) -> bool:
    """Whether a server shows what was delivered to it over another protocol (``former``), and that is this very content. Nothing is
    trusted that was only begun, and no file of another time, where both protocols tell it."""
    if remote is None or former.reach is not None or former.digest != digest:
        return False
    times = (former.remote.mtime, remote.mtime)
    return size == former.remote.size == remote.size and (None in times or is_same_time(*times))


def already_there(
    known: Known | None,
    size: int,
    mtime_ns: int,
    digest: str,
    remote: RemoteStat | None,
    local_hash: str = "",
    *,
    sure: bool = False,
) -> bool:
    """Whether the server has this content already, so that nothing needs to be sent.

    Yes when we delivered the same content and the server shows just what it showed then. Yes, too, when an
    upload was cut before its answer came and the server now shows the size and time it would have left;
    but not when the version before it had the same size and second, for then the two look alike. Where the server tells
    a hash and ``local_hash`` is that of our content, these two alone decide.
    Times that a server shows otherwise than before (:mod:`pysubtask.common.remote_times`) are the same where nothing of ours is
    known to have stood there meanwhile (``sure``), or had that size.
    """
    if remote is None:
        return False
    if remote.hash and local_hash:
        return remote.hash == local_hash
    if known is not None and known.digest == digest:
        return remote == known.remote or (
            sure and remote._replace(mtime=known.remote.mtime) == known.remote and is_same_time(known.remote.mtime, remote.mtime)
        )
    left = (size, mtime_ns // 1_000_000_000)
    if remote[:2] == left:
        return known is None or known.remote[:2] != left
    return remote.size == size and (known is None or known.remote.size != size) and is_same_time(left[1], remote.mtime)
