"""One attempt at one version: compared with the server, planned, sent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any

from ...common import limits
from ...common.errors import FileRefused, NotAsLeft, SourceError, TransportError, TransportLost, event_fields
from ...common.limits import is_limit
from ...delivery_rules.remote_content import already_there, was_left
from ...transports.base import Job, RemoteStat, Sent, Transport
from ..delta.transfer_plan import TransferPlan
from ..snapshot.prefix_hashes import found_again
from ..spool.jobs import ClaimedJob, DeliveryResult
from .context import DeliveryContext
from .interfaces import ChildSide
from .remote_links import RemoteLinks
from .signature_tasks import SignatureTasks

_MOST_FAULTY = 1000
_ONLY_THE_END = "only its end was copied, and all of it has to be sent"


class UploadAttempts:
    """Belongs to the dispatcher's event loop."""

    def __init__(self, transport: Transport, context: DeliveryContext, signatures: SignatureTasks, child: ChildSide) -> None:
        self._transport = transport
        self._context = context
        self._signatures = signatures
        self._child = child
        self._links = RemoteLinks(context)
        self._faulty: dict[int, None] = {}

    async def make(self, version: ClaimedJob) -> DeliveryResult | Exception:
        """Send a version; its outcome. Raises nothing but CancelledError."""
        try:
            return await self._deliver(version)
        except (TransportError, SourceError) as exc:
            return exc
        except Exception as exc:
            if is_limit(exc):
                return TransportLost(limits.reached(), limits.REMEDY)
            self._context.log.exception("Upload of [%s] failed", version.name)
            return self._internal(version, exc)

    def _internal(self, version: ClaimedJob, exc: Exception) -> TransportError:
        """An error that the file itself causes comes again at each try. It must not cost the other files their connection each
        time, so from the second time on the file alone is refused."""
        again = version.id in self._faulty
        while len(self._faulty) >= _MOST_FAULTY:
            self._faulty.pop(next(iter(self._faulty)))
        self._faulty[version.id] = None
        return (FileRefused if again else TransportLost)(f"internal error: {exc!r}")

    async def _deliver(self, version: ClaimedJob) -> DeliveryResult:
        if version.base and version.plan.append is None and not version.plan.copies:
            raise SourceError(_ONLY_THE_END)
        unchanged = await self._unchanged(version) if version.compare or version.former is not None else None
        if unchanged is not None:
            return unchanged
        plan = await self._signatures.plan(version, copies=self._transport.traits.copies)
        job = self._job(version, plan, await self._prefix(version, plan))
        signature = self._signatures.begin(version, copies=self._transport.traits.copies)
        try:
            sent = await self._send(version, job)
            self._links.report(version, sent.link)
            built = await signature.outcome()
        finally:
            signature.end()
        return DeliveryResult(version.id, sent.remote, sent.bytes_sent, sent.verified, bytes_new=plan.new, signature=built)

    async def _send(self, version: ClaimedJob, job: Job) -> Sent:
        """Upload as planned; the whole file where the server's is not the one that the plan builds upon."""

        def progress(done: int) -> None:
            self._context.status_model.progress(version.id, done)
            self._child.client.page_changed()

        try:
            return await self._transport.upload(job, progress)
        except NotAsLeft as exc:
            self._context.log.warning("[%s] is not as we left it on the server, sending it whole: %s", version.name, exc)
            self._context.events.emit("not_as_left", name=version.name, path=version.path, reason=str(exc), **event_fields(exc))
            await self._context.ask(self._context.spool.remote_files.not_as_left, version.name)
            if version.base:
                raise SourceError(_ONLY_THE_END) from exc
        return await self._transport.upload(job._replace(append=None, copies=(), replaces=None), progress)

    def _job(self, version: ClaimedJob, plan: TransferPlan, prefix: tuple[int, Any] | None) -> Job:
        return Job(
            version.snapshot,
            version.size,
            version.mtime_ns,
            version.name,
            version.temp,
            version.stale,
            lambda: self._child.files.confirm(version),
            replaces=None if version.known is None else version.known.remote,
            # A live file may have changed since: the part of it on the server cannot be continued.
            resume="" if version.live else version.resume,
            note=lambda text: self._note(version.id, text),
            append=plan.append,
            whole_records=version.records,
            copies=plan.copies,
            base=version.base,
            sha256=version.digest,
            prefix=prefix,
            ours=lambda name: self._child.names.is_anothers(name, version.path),
            harmed=self._child.names.name_harmed,
            **self._source(version),
        )

    async def _prefix(self, version: ClaimedJob, plan: TransferPlan) -> tuple[int, Any] | None:
        """The hash state of a prefix of the version, so that only the rest of it is hashed while it is sent."""
        prefix = self._child.prefixes.before(version.digest, plan.append.at if plan.append else version.size, version.base)
        known = version.known
        if prefix is None and version.base and plan.append and known is not None:
            open_data = functools.partial(self._child.files.open_live, version.path)
            with contextlib.suppress(SourceError):
                return await asyncio.to_thread(
                    found_again, open_data, version.snapshot, version.base, known.remote.size, known.digest
                )
        return prefix

    def _source(self, version: ClaimedJob) -> dict[str, Any]:
        """How the source is opened: a snapshot as a file of this program, a live file with the checks made when its digest was
        taken."""
        if version.live:
            return {"opener": functools.partial(self._child.files.open_live, version.snapshot)}
        return {"snapshot": True}

    def _note(self, job: int, text: str) -> None:
        # Not awaited: a note that is lost in a crash costs bytes and nothing else.
        self._context.spool_thread.submit(self._context.spool.queue.note, job, text)

    # -- what the server has already ----------------------------------------------------------------------

    async def _unchanged(self, version: ClaimedJob) -> DeliveryResult | None:
        """The outcome for a version that the server has already; None where the version has to be sent."""
        remote = await self._transport.stat(version.name)
        verified = "" if remote is None else await self._verified(version, remote)
        if remote is None or not verified:
            return None
        signature = await self._signature_of_unchanged(version)
        return DeliveryResult(version.id, remote, 0, verified, unchanged=True, signature=signature)

    async def _verified(self, version: ClaimedJob, remote: RemoteStat) -> str:
        """How the server's file was found to be this version; empty where it is another one."""
        own = ""
        if remote.hash and not version.base:
            own = await asyncio.to_thread(self._transport.hash_of, version.snapshot, version.size)
        if version.compare and already_there(
            version.known, version.size, version.mtime_ns, version.digest, remote, own, sure=not version.stale
        ):
            return "hash" if own else "size"
        if version.former is not None and was_left(version.former, version.size, version.digest, remote):
            return await self._proven(version)
        return ""

    async def _proven(self, version: ClaimedJob) -> str:
        """How a file that was delivered over another protocol was verified; empty where the server has another content."""
        if version.base:
            return ""
        source = self._source(version)
        job = Job(version.snapshot, version.size, version.mtime_ns, version.name, "", sha256=version.digest, **source)
        try:
            return await self._transport.verify(job)
        except FileRefused:
            # The server gives no proof, so the file is sent.
            return ""

    async def _signature_of_unchanged(self, version: ClaimedJob) -> bytes | None:
        """The signature of a version whose content the server has already; None where the stored one is still right."""
        if version.known is not None and version.known.digest == version.digest:
            return None
        signature = self._signatures.begin(version, copies=self._transport.traits.copies)
        try:
            return await signature.outcome()
        finally:
            signature.end()
