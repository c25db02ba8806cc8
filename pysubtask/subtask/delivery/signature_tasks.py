"""Signatures of versions in flight: computed in threads, before an upload or beside it."""

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
from ..spool.jobs import ClaimedJob
from .context import DeliveryContext

WAIT_SECS = 5.0
"""Seconds that a finished upload waits for its signature, which mostly is ready long before."""

_AT_ONCE = 2
_KEPT = 64

T = TypeVar("T")


class SignatureTasks:
    """Belongs to the dispatcher's event loop. ``requested``: whether the settings ask for signatures. ``cache``: signatures that
    were made together with snapshots.

    A failed signature costs bytes in a later upload, never the upload itself: it is stored as empty.
    """

    def __init__(self, context: DeliveryContext, requested: bool, cache: SignatureCache) -> None:
        self._context = context
        self._cache = cache
        self._requested = requested
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._packed: dict[int, bytes] = {}

    async def plan(self, version: ClaimedJob, *, copies: bool) -> TransferPlan:
        """How a version is to be sent: with copies of parts of what the server has, where that is of use."""
        plan, known = version.plan, version.known
        if not self._signs(version, copies) or known is None or not may_be_patched(known, plan, version.digest, version.resume):
            return plan
        kept = await self._context.ask(self._context.spool.remote_files.signature, version.name)
        if not kept:
            return plan
        new = self._cache.find(version.digest, version.size)
        found = await self._apart(version, lambda halted: _compare(kept, known.remote.size, version, halted, new))
        if found is None:
            return plan
        if found[1].suits():
            self._keep(version.id, found[1])
        return patched(plan, version.size, found[0], version.attempts)

    def begin(self, version: ClaimedJob, *, copies: bool) -> PendingSignature:
        """Compute the signature beside the upload, if the version shall have one and the cache has none."""
        if not self._signs(version, copies):
            # After an append the stored signature still describes the beginning of the file.
            return PendingSignature(None, None if version.plan.append is not None or version.plan.copies else b"")
        built = self._packed.get(version.id)
        if built is None and (found := self._cache.find(version.digest, version.size)) is not None and found.suits():
            built = self._keep(version.id, found)
        if built is not None:
            return PendingSignature(None, built)
        return PendingSignature(asyncio.create_task(self._sign(version)), b"")

    def over(self, job: int) -> None:
        """A version is delivered or withdrawn."""
        self._packed.pop(job, None)

    def _signs(self, version: ClaimedJob, copies: bool) -> bool:
        return self._requested and copies and is_signed(version.plan, version.size, version.base, version.live)

    async def _sign(self, version: ClaimedJob) -> bytes:
        built = await self._apart(version, lambda halted: signature.sign(version.snapshot, version.size, halted))
        return b"" if built is None else self._keep(version.id, built)

    def _keep(self, job: int, built: signature.Signature) -> bytes:
        """Keep the packed signature for the next attempt, in case this one is cut."""
        while len(self._packed) >= _KEPT:
            del self._packed[next(iter(self._packed))]
        self._packed[job] = built.pack()
        return self._packed[job]

    async def _apart(self, version: ClaimedJob, call: Callable[[Callable[[], bool]], T]) -> T | None:
        """The result of ``call`` in a thread, which is told to halt when the caller is cancelled; None where it failed."""
        halt = threading.Event()
        try:
            async with self._places:
                return await asyncio.to_thread(call, halt.is_set)
        except (SourceError, OSError, signature.Halted):
            return None  # the upload reads the same file and reports the error
        except Exception as exc:
            if is_limit(exc):
                return None
            # Without a signature the version can still be sent whole.
            self._context.log.exception("No signature of [%s]", version.name)
            return None
        finally:
            halt.set()


def _compare(
    kept: bytes, had: int, version: ClaimedJob, halted: Callable[[], bool], new: signature.Signature | None
) -> tuple[tuple[Copy, ...], signature.Signature] | None:
    old = signature.unpack(kept)
    return None if old is None else signature.copies_of(old, had, version.snapshot, version.size, halted, new)


class PendingSignature:
    """The signature of a version: ready, or being computed by a task."""

    def __init__(self, task: asyncio.Task[bytes] | None, ready: bytes | None) -> None:
        self._task = task
        self._ready = ready

    async def outcome(self) -> bytes | None:
        """The signature for ``DeliveryResult.signature``, at most WAIT_SECS after the upload."""
        if self._task is None:
            return self._ready
        try:
            done, _ = await asyncio.wait({self._task}, timeout=WAIT_SECS)
        except asyncio.CancelledError:
            # The connection was lost, or the dispatcher ends. The upload is done all the same.
            return self._ready
        return self._task.result() if done else self._ready

    def end(self) -> None:
        """Cancel the computation: the result is not needed any more."""
        if self._task is not None:
            self._task.cancel()
