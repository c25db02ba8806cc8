"""Signatures of versions on their way: read in threads, before an upload or beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from ...common.errors import SourceError
from ...common.limits import is_limit
from ...transports.base import Copy
from ..delta import signature
from ..delta.signature_cache import SignatureCache
from ..delta.transfer_plan import TransferPlan, is_signed, may_be_patched, patched
from ..spool.queue import Version
from .context import DeliveryContext

WAIT_SECS = 5.0
"""How long a finished upload waits for its signature; it is mostly there long before."""

_AT_ONCE = 2
_KEPT = 64

T = TypeVar("T")


class Signing:
    """Belongs to the dispatcher's event loop. ``requested``: whether the settings ask for it. ``cache``: what was made with a copy.

    A signature that cannot be made costs bytes later, never an upload: it is empty then.
    """

    def __init__(self, context: DeliveryContext, requested: bool, cache: SignatureCache) -> None:
        self._context = context
        self._cache = cache
        self._requested = requested
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._packed: dict[int, bytes] = {}

    async def plan(self, version: Version, *, copies: bool) -> TransferPlan:
        """How a version is to be sent: with copies of parts of what the server has, where that is of use."""
        plan, known = version.plan, version.known
        if not self._signs(version, copies) or known is None or not may_be_patched(known, plan, version.digest, version.resume):
            return plan
        kept = await self._context.ask(self._context.spool.signature, version.name)
        if not kept:
            return plan
        new = self._cache.find(version.digest, version.size)
        found = await self._apart(version, lambda halted: _compare(kept, known.remote.size, version, halted, new))
        if found is None:
            return plan
        if found[1].suits():
            self._keep(version.id, found[1])
        return patched(plan, version.size, found[0], version.attempts)

    def begin(self, version: Version, *, copies: bool) -> Signed:
        """Make the signature beside the upload, if it shall have one and none is there yet."""
        if not self._signs(version, copies):
            # What was appended to still begins as its signature says.
            return Signed(None, None if version.plan.append is not None or version.plan.copies else b"")
        built = self._packed.get(version.id)
        if built is None and (found := self._cache.find(version.digest, version.size)) is not None and found.suits():
            built = self._keep(version.id, found)
        if built is not None:
            return Signed(None, built)
        return Signed(asyncio.create_task(self._sign(version)), b"")

    def over(self, job: int) -> None:
        """A version is delivered or withdrawn."""
        self._packed.pop(job, None)

    def _signs(self, version: Version, copies: bool) -> bool:
        return self._requested and copies and is_signed(version.plan, version.size, version.base, version.live)

    async def _sign(self, version: Version) -> bytes:
        built = await self._apart(version, lambda halted: signature.sign(version.snapshot, version.size, halted))
        return b"" if built is None else self._keep(version.id, built)

    def _keep(self, job: int, built: signature.Signature) -> bytes:
        """For the next attempt, should this one be cut."""
        while len(self._packed) >= _KEPT:
            del self._packed[next(iter(self._packed))]
        self._packed[job] = built.pack()
        return self._packed[job]

    async def _apart(self, version: Version, call: Callable[[Callable[[], bool]], T]) -> T | None:
        """Its result, from a thread that ends soon after nobody waits for it; None where it failed."""
        halt = threading.Event()
        try:
            async with self._places:
                return await asyncio.to_thread(call, halt.is_set)
        except (SourceError, OSError, signature.Halted):
            return None  # the upload reads the same file, and will say so
        except Exception as exc:
            if is_limit(exc):
                return None
            # Whatever is wrong with it, the version can be sent whole.
            self._context.log.exception("No signature of [%s]", version.name)
            return None
        finally:
            halt.set()


def _compare(
    kept: bytes, had: int, version: Version, halted: Callable[[], bool], new: signature.Signature | None
) -> tuple[tuple[Copy, ...], signature.Signature] | None:
    old = signature.unpack(kept)
    return None if old is None else signature.copies_of(old, had, version.snapshot, version.size, halted, new)


class Signed:
    """The signature of a version, made or in the making."""

    def __init__(self, task: asyncio.Task[bytes] | None, ready: bytes | None) -> None:
        self._task = task
        self._ready = ready

    async def outcome(self) -> bytes | None:
        """For ``Done.signature``, soon after the upload."""
        if self._task is None:
            return self._ready
        try:
            done, _ = await asyncio.wait({self._task}, timeout=WAIT_SECS)
        except asyncio.CancelledError:
            # The connection was lost, or the dispatcher ends. The upload is done all the same.
            return self._ready
        return self._task.result() if done else self._ready

    def end(self) -> None:
        """Nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()
