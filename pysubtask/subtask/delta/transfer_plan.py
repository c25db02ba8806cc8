"""Decides how a version is sent, from what is known of both sides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...delivery_rules.remote_content import Known
from ...transports.base import Append, Copy

SIGNED_BYTES = 256 * 1024
"""Bytes. A smaller file gets no signature and is sent whole, unless it only grew: finding out the changed parts would cost as
much as sending them."""

LEAST_BYTES = 1024
"""Bytes. A file up to this size is sent whole: that takes no more packets, and the file changes in one step."""


PATCH_TRIES = 4
"""Number of attempts with copies of one version, where much has to be sent besides, before the version is sent whole: a whole
upload can be resumed after a cut, one with copies cannot. Three times as many where little has to be sent."""

_LEAST_SAVED = 64 * 1024
_SHORT_BYTES = 1024 * 1024


class TransferPlan(NamedTuple):
    """How a version is sent: by ``append`` in place, or with ``copies`` that the server makes of parts of its file; whole where
    both are empty. ``new``: the number of its bytes that are not in the version delivered before."""

    new: int
    append: Append | None = None
    copies: tuple[Copy, ...] = ()


def plan_transfer(known: Known | None, size: int, prefixes: Mapping[int, str], *, appends: bool, copies: bool) -> TransferPlan:
    """How a version of ``size`` bytes is to be sent, ``prefixes`` being the digests of some of its beginnings.

    The delivered content must be a true beginning of the version, by digest, and so must the content that an append was begun
    for. Whether the file on the server is still as it was left is checked by the transport. ``appends`` and ``copies``: whether
    the server can append, or copy.
    """
    if known is None or prefixes.get(known.remote.size) != known.digest:
        return TransferPlan(size)
    at = until = known.remote.size
    new = size - at
    if known.reach is not None:
        until = known.reach[0]
        if prefixes.get(until) != known.reach[1]:
            # The file on the server may end with part of another content by now.
            return TransferPlan(new)
    if at <= LEAST_BYTES or size < until or (size == at == until):
        return TransferPlan(new)
    if appends:
        return TransferPlan(new, append=Append(at, until))
    if copies and until == at:
        return TransferPlan(new, copies=(Copy(0, at, 0),))
    return TransferPlan(new)


def is_signed(plan: TransferPlan, size: int, base: int, live: bool) -> bool:
    """Whether a version that is sent by ``plan`` shall have a signature, given that the server can copy. After an append the old
    signature still holds; a short file is sent whole anyway; and a snapshot without its beginning, or a live file, cannot be
    signed."""
    return size >= SIGNED_BYTES and plan.append is None and not plan.copies and not base and not live


def may_be_patched(known: Known | None, plan: TransferPlan, digest: str, resume: str) -> bool:
    """Whether a version that ``plan`` sends whole may be built from parts of the file on the server: that file must be known for
    sure and have another content. An upload that can be resumed (``resume``) is resumed instead."""
    if known is None or known.reach is not None or known.digest == digest:
        return False
    return plan.append is None and not plan.copies and not resume


def patched(plan: TransferPlan, size: int, copies: tuple[Copy, ...], attempts: int) -> TransferPlan:
    """The ``plan`` of a whole version of ``size`` bytes, changed to use ``copies`` of parts of the file on the server; unchanged
    where they save too little, without copies where ``attempts`` were cut too often."""
    saved = sum(copy.size for copy in copies)
    if saved < max(_LEAST_SAVED, size // 10):
        return plan
    new = size - saved
    if attempts >= (PATCH_TRIES if new > _SHORT_BYTES else 3 * PATCH_TRIES):
        return TransferPlan(new)
    return TransferPlan(new, copies=copies)
