"""What goes into the queue and what comes out of it: a snapshot, the job that was claimed, and the result of its delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...common.notify import Stamp, hold_name
from ...delivery_rules.remote_content import Known
from ...transports.base import RemoteStat
from ..delta.transfer_plan import TransferPlan


class QueuedSnapshot(NamedTuple):
    """A durable snapshot to put in the queue, with the stamps by which the watch knows that it was taken.

    ``name``: the remote name; ``path``: the data file; ``snapshot``: the file to send, the data file itself where ``live``.
    ``size`` in bytes, ``mtime_ns`` and ``digest`` (SHA-256, hexadecimal) are those of the content. ``at``: when it was notified
    (seconds since the epoch). ``stamp`` of the notify file (at ``notify_path``; None without one), ``hold`` (stamp of the hold
    file) and ``source`` (stamp of the data file) are recorded in the same commit. ``prefixes`` are the digests of some beginnings
    of the content, by their sizes; ``records``: its lines are to appear whole; ``base``: the snapshot begins with this byte.
    """

    name: str
    path: str
    snapshot: str
    live: bool
    size: int
    mtime_ns: int
    digest: str
    at: float
    source: Stamp
    notify_path: str | None = None
    stamp: Stamp | None = None
    hold: Stamp | None = None
    prefixes: Mapping[int, str] = {}
    records: bool | None = False
    base: int = 0

    def signals(self) -> dict[str, Stamp]:
        """The notify and hold files that are handled together with this snapshot, with their stamps."""
        found = {} if self.hold is None else {hold_name(self.path): self.hold}
        if self.notify_path is not None and self.stamp is not None:
            found[self.notify_path] = self.stamp
        return found


class ClaimedJob(NamedTuple):
    """A job that was claimed: ``id`` is the key of its row; ``name``, ``path``, ``snapshot``, ``live``, ``size``, ``mtime_ns``,
    ``digest``, ``at``, ``records`` and ``base`` are those of its :class:`QueuedSnapshot`.

    ``attempts``: failed ones so far. ``temp``: the temporary name to upload to; ``stale``: the temporary names of earlier attempts
    at this remote name. ``compare``: the server may have this content already, so it is compared before it is sent. ``known``: what
    our last delivery left under the name; ``former``: the same over another protocol, where none was made over the present one.
    ``resume``: what the last attempt noted to go on from. ``plan``: how it is to be sent; an append is on record before it is
    begun.
    """

    id: int
    name: str
    path: str
    snapshot: str
    live: bool
    size: int
    mtime_ns: int
    digest: str
    at: float
    attempts: int
    compare: bool
    temp: str
    stale: tuple[str, ...]
    known: Known | None
    resume: str
    records: bool | None
    base: int
    plan: TransferPlan
    former: Known | None = None


class DeliveryResult(NamedTuple):
    """A job (by its ``id``) whose content is on the server. ``remote``: what the server shows of it; ``verified``: how it was
    verified (see VERIFIED in transports.base; 'hook' where ``process_notify`` took it); ``bytes_sent``: file bytes that this upload
    sent; ``gone``: stale temporary names that are surely removed;
    ``unchanged``: it was there already, nothing was sent; ``bytes_new``: how many of its bytes were not there before;
    ``bytes_on_wire``: what the link has carried for it, None where that is not known;
    ``signature``: of it, empty where it has none; None where the one of the content before still is that of its beginning."""

    id: int
    remote: RemoteStat
    bytes_sent: int
    verified: str
    gone: tuple[str, ...] = ()
    unchanged: bool = False
    bytes_new: int = 0
    signature: bytes | None = b""
    bytes_on_wire: int | None = None
