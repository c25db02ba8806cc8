"""Uploads in flight on one connection: the attempts, their outcomes, and what follows from a failed attempt."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from ...common import limits
from ...common.errors import (
    AttemptFailed,
    FileRefused,
    LoginRefused,
    ServerBusy,
    SourceError,
    TransportError,
    TransportLost,
    event_fields,
)
from ...common.events import utc
from ...common.limits import is_limit
from ...common.logs import info_each
from ...common.receipts import Receipt
from ...delivery_rules.failure_counts import InARow
from ...delivery_rules.remote_content import already_there, was_left
from ...delivery_rules.retry import Decision, Policy, decide
from ...transports.base import Job, Transport
from ..delta.signature_cache import SignatureCache
from ..snapshot.prefix_hashes import Prefixes, found_again
from ..snapshot.sources import open_data
from ..spool.queue import BIG_BYTES, Done, Version
from .context import DeliveryContext
from .heartbeats import Heartbeats
from .link_usage import LinkUsage
from .remote_links import RemoteLinks
from .signature_tasks import Signing

IDLE_SECS = 5.0
_LEAST_SECS = 0.05
"""Seconds that a file waits at least after it failed alone, whatever the settings say."""
_GATHER_SECS = 0.01
"""Seconds that a finished upload waits for others to share its commit, while others are in flight."""
_BEAT = -1
_BEAT_ROW = "a heartbeat"
_MOST_FAULTY = 1000


class CalledBack(TransportLost):
    """This side gives up a good connection: a version in flight was paused, or the child stops."""


def _unheard(builds: bool, copies: bool) -> None:
    return None


class Hooks(NamedTuple):
    """What the dispatcher asks of the child and reports to it.

    ``changed``: the status page is out of date. ``lost``: the snapshot of this data file cannot be read, so the file has to be
    copied again. ``confirm``: raises where a live file was changed. ``beat``: writes the heartbeat files now and returns their
    paths. ``builds``: whether the server can build upon the file it has, and whether it can copy parts of it.
    ``signature_cache``: signatures that were made together with snapshots; ``prefixes``: hash states of snapshots. ``open_live``:
    opens a live file for reading. ``ours``: whether a remote name belongs to another data file than the one given; ``harmed``:
    the server has put another file under such a name.
    """

    changed: Callable[[], None]
    lost: Callable[[str], None]
    confirm: Callable[[Version], None]
    beat: Callable[[], list[str]]
    builds: Callable[[bool, bool], None] = _unheard
    signature_cache: SignatureCache = SignatureCache()
    prefixes: Prefixes = Prefixes()
    open_live: Callable[[str], int] = open_data
    ours: Callable[[str, str], bool] = lambda name, path: False
    harmed: Callable[[str], None] = lambda name: None


class Uploads:
    """Created and used on the loop of the dispatcher.

    ``wake`` is called when a version was given back; ``poll`` whenever the dispatcher should read the queue for another reason,
    with the time at which a version is due (monotonic; None where that is not new). ``delta``: of a changed file only the changed
    parts shall be sent, where the server can copy the others. ``more``: where a person finds more about a problem.

    ``broken``: the error that ended the connection or its login, None while the connection is good. ``stale``: the connection was
    idle for a while, so it may have been dead before its next use. ``success`` counts delivered versions. ``active_at``: when
    something was last delivered (monotonic). ``busy_until``: the server wants no request before this time (monotonic).
    ``link_usage``: the bytes that the link has carried. ``poll_at``: the dispatcher wants to read the queue again as soon as no
    more than this number are in flight.
    """

    def __init__(
        self,
        transport: Transport,
        context: DeliveryContext,
        policy: Policy,
        hooks: Hooks,
        wake: Callable[[], None],
        poll: Callable[[float | None], None],
        *,
        delta: bool = False,
        more: str = "",
    ) -> None:
        self._more = more
        self._transport = transport
        self._context = context
        self.policy = policy
        self._hooks = hooks
        self._wake = wake
        self._poll = poll
        self.poll_at = -1
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._big: set[int] = set()
        self._names: dict[int, str] = {}
        self._signing = Signing(context, delta, hooks.signature_cache)
        self.link_usage = LinkUsage(transport, context.status_model)
        self._past_attempt: set[int] = set()
        self._faulty: dict[int, None] = {}
        self._rows = InARow()
        self._links = RemoteLinks(context)
        self._actions: Mapping[str, Callable[[Version, Exception, float], Awaitable[None]]] = {
            "wait": self._wait,
            "hold": self._wait,
            "again": self._again,
            "park": self._park,
            "anew": self._take_anew,
        }
        self._finished: asyncio.Queue[Done] = asyncio.Queue()
        self._beats = Heartbeats(transport, context, hooks.beat, more)
        self.broken: TransportLost | LoginRefused | None = None
        self.stale = False
        self.success = 0
        self.active_at = context.clock()
        self.busy_until = 0.0

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def big(self) -> int:
        """The number of big versions in flight."""
        return len(self._big)

    @property
    def busy(self) -> bool:
        """Whether anything is in flight or waits for its commit."""
        return bool(self._tasks) or not self._finished.empty()

    def begin(self, version: Version) -> None:
        """Send a version."""
        if version.size - version.base > BIG_BYTES:
            self._big.add(version.id)
        self._names[version.id] = version.name
        self._track(self._carry(version), version.id)

    @property
    def beat_due(self) -> bool:
        """Whether a heartbeat is to be sent."""
        return self._beats.due

    @beat_due.setter
    def beat_due(self, due: bool) -> None:
        self._beats.due = due

    def begin_beat(self) -> None:
        """Send the heartbeat that is due."""
        self._track(self._send_beat(), _BEAT)

    async def _send_beat(self) -> None:
        try:
            error = await self._beats.send()
        finally:
            self.link_usage.beat()
        if error is None:
            self._rows.over(_BEAT_ROW)
            self._arrived()
            return
        decision = self._decide(_BEAT_ROW, 0, error)
        if decision.action in ("wait", "hold"):
            self._beats.due = True
            self._stop_all(error, decision.secs)
            return
        self._beats.failed(error)
        if decision.action == "again":
            asyncio.get_running_loop().call_later(decision.secs, self._beat_again)

    def _beat_again(self) -> None:
        self._beats.due = True
        self._poll(None)

    def _track(self, coroutine: Coroutine[Any, Any, None], job: int) -> None:
        now = self._context.clock()
        if not self._tasks:
            # After a pause the first use may find that the server has closed the connection in the meantime.
            self.stale = now - self.active_at > IDLE_SECS
        self.active_at = now
        task = asyncio.create_task(coroutine)
        self._tasks[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._tasks.pop(task, _BEAT)
        self._big.discard(job)
        self._names.pop(job, None)
        if self.broken or len(self._tasks) <= self.poll_at or not self.busy:
            self._poll(None)

    def moves(self, names: Container[str] | None) -> bool:
        """Whether a version under one of these remote names (None: any name) is in flight."""
        return bool(self._names) if names is None else any(name in names for name in self._names.values())

    def interrupt(self, reason: CalledBack) -> None:
        """Give the connection up though it is good: the versions in flight are due again at once."""
        self.broken = self.broken or reason
        self.stale = True

    async def end(self, reason: TransportLost | LoginRefused) -> None:
        """End everything in flight; each version is given back to the queue."""
        if self._tasks:
            self.broken = self.broken or reason
            for task, job in self._tasks.items():
                # A task that is giving its version back must finish that: a cancelled one would leave the row in state
                # "sending".
                if job not in self._past_attempt:
                    task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until everything finished is committed."""
        await self._finished.join()

    async def _carry(self, version: Version) -> None:
        self.link_usage.begin()
        arrived = False
        try:
            try:
                outcome = await self._attempt(version)
            finally:
                self.link_usage.end()
            self._past_attempt.add(version.id)
            if isinstance(outcome, Done):
                arrived = True  # and shown as moving until the commit
                self._finished.put_nowait(outcome._replace(bytes_on_wire=self.link_usage.take()))
            else:
                await self._follow(version, outcome)
        finally:
            self._past_attempt.discard(version.id)
            if not arrived:
                self._context.status_model.end(version.id)
                self._wake()

    async def _attempt(self, version: Version) -> Done | Exception:
        """Send a version; its outcome. A cancelled attempt counts as a lost connection."""
        try:
            return await self._put(version)
        except (TransportError, SourceError) as exc:
            return exc
        except asyncio.CancelledError:
            return self.broken or CalledBack("stopped")
        except Exception as exc:
            if is_limit(exc):
                return TransportLost(limits.reached(), limits.REMEDY)
            self._context.log.exception("Upload of [%s] failed", version.name)
            # An error that the file itself causes comes again at each try. It must not cost the other files their connection
            # each time, so from the second time on the file alone is refused.
            again = version.id in self._faulty
            while len(self._faulty) >= _MOST_FAULTY:
                self._faulty.pop(next(iter(self._faulty)))
            self._faulty[version.id] = None
            return (FileRefused if again else TransportLost)(f"internal error: {exc!r}")

    async def _put(self, version: Version) -> Done:
        if version.base and version.plan.append is None and not version.plan.copies:
            raise SourceError("only its end was copied, and all of it has to be sent")
        if version.compare or version.former is not None:
            remote = await self._transport.stat(version.name)
            own = ""
            if remote is not None and remote.hash and not version.base:
                own = await asyncio.to_thread(self._transport.hash_of, version.snapshot, version.size)
            verified = ""
            if version.compare and already_there(
                version.known, version.size, version.mtime_ns, version.digest, remote, own, sure=not version.stale
            ):
                verified = "hash" if own else "size"
            elif version.former is not None and was_left(version.former, version.size, version.digest, remote):
                verified = await self._proven(version)
            if verified:
                assert remote is not None
                return Done(version.id, remote, 0, verified, unchanged=True, signature=await self._signature_of_unchanged(version))
        plan = await self._signing.plan(version, copies=self._transport.traits.copies)
        prefix = self._hooks.prefixes.before(version.digest, plan.append.at if plan.append else version.size, version.base)
        if prefix is None and version.base and plan.append and version.known is not None:
            known, open_data = version.known, functools.partial(self._hooks.open_live, version.path)
            with contextlib.suppress(SourceError):
                prefix = await asyncio.to_thread(
                    found_again, open_data, version.snapshot, version.base, known.remote.size, known.digest
                )
        job = Job(
            version.snapshot,
            version.size,
            version.mtime_ns,
            version.name,
            version.temp,
            version.stale,
            lambda: self._hooks.confirm(version),
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
            ours=lambda name: self._hooks.ours(name, version.path),
            harmed=self._hooks.harmed,
            **self._source(version),
        )

        def progress(done: int) -> None:
            self._context.status_model.progress(version.id, done)
            self._hooks.changed()

        signed = self._signing.begin(version, copies=self._transport.traits.copies)
        try:
            try:
                sent = await self._transport.upload(job, progress)
            except TransportError as exc:
                if decide(1, exc, self.policy, 0.0).action != "next":
                    raise
                self._context.log.warning("[%s] is not as we left it on the server, sending it whole: %s", version.name, exc)
                self._context.events.emit("not_as_left", name=version.name, path=version.path, reason=str(exc), **event_fields(exc))
                await self._context.ask(self._context.spool.not_as_left, version.name)
                if version.base:
                    raise SourceError("only its end was copied, and all of it has to be sent") from exc
                sent = await self._transport.upload(job._replace(append=None, copies=(), replaces=None), progress)
            self._links.report(version, sent.link)
            built = await signed.outcome()
        finally:
            signed.end()
        return Done(version.id, sent.remote, sent.bytes_sent, sent.verified, bytes_new=plan.new, signature=built)

    def _source(self, version: Version) -> dict[str, Any]:
        """How the source is opened: a snapshot as a file of this program, a live file with the checks made when its digest was
        taken."""
        return {"opener": functools.partial(self._hooks.open_live, version.snapshot)} if version.live else {"snapshot": True}

    async def _proven(self, version: Version) -> str:
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

    async def _signature_of_unchanged(self, version: Version) -> bytes | None:
        """The signature of a version whose content the server has already; None where the stored one is still right."""
        if version.known is not None and version.known.digest == version.digest:
            return None
        signed = self._signing.begin(version, copies=self._transport.traits.copies)
        try:
            return await signed.outcome()
        finally:
            signed.end()

    def _note(self, job: int, text: str) -> None:
        # Not awaited: a note that is lost in a crash costs bytes and nothing else.
        self._context.spool_thread.submit(self._context.spool.note, job, text)

    # -- what follows from an attempt that failed ---------------------------------------------------------

    async def _follow(self, version: Version, error: Exception) -> None:
        """Carry out the decision of the retry rules about a failed attempt."""
        decision = self._decide(version.name, version.attempts, error)
        try:
            await self._actions.get(decision.action, self._again)(version, error, decision.secs)
        except (OSError, SourceError, TransportError):
            raise
        except Exception as exc:
            # The version must not stay in state "sending" for ever, which nobody would see.
            self._context.log.exception("What follows from the attempt at [%s] failed", version.name)
            again = FileRefused(f"internal error: {type(exc).__name__}")
            await self._park(version, again, self.policy.parked_wait)

    def _decide(self, name: str, attempts: int, error: Exception) -> Decision:
        others = True
        if isinstance(error, AttemptFailed):
            attempts, others = self._rows.failed(name, error, self.success)
        else:
            attempts += 1
        return decide(attempts, error, self.policy, random.random(), others)

    async def _wait(self, version: Version, error: Exception, secs: float) -> None:
        """All versions wait, this one too."""
        self._stop_all(error, secs)
        if isinstance(error, ServerBusy):
            await self._context.ask(self._context.give_back, version, error, self.busy_until)
            return
        # After a refused login the dispatcher waits, not the version. The reply may have been lost after the upload was done,
        # so the next try compares first.
        secs = 0.0 if self.stale or isinstance(error, LoginRefused) else secs
        await self._context.ask(self._context.give_back, version, error, self._context.clock() + secs, compare=True)

    def _stop_all(self, error: Exception, secs: float) -> None:
        """Leave the connection alone for ``secs``, or end it, as the error says."""
        if isinstance(error, ServerBusy):
            self._leave_alone(error, secs)
        elif isinstance(error, TransportLost | LoginRefused):
            self.broken = self.broken or error
        else:
            self.broken = self.broken or TransportLost(str(error))

    def _leave_alone(self, exc: ServerBusy, secs: float) -> None:
        """Send nothing for ``secs``: the server asked for a pause."""
        now = self._context.clock()
        if self.busy_until <= now:
            self._context.log.warning("SERVER BUSY! Waiting [%.0f] secs before next try...: %s; %s", secs, exc, self._more)
            self._context.problem("server_busy", str(exc), error=exc)
            self._context.status_model.state("waiting", str(exc))
            self._context.status_model.set(next_try=utc(self._context.wall() + secs))
            self._hooks.changed()
        self.busy_until = max(self.busy_until, now + secs)

    async def _again(self, version: Version, error: Exception, secs: float) -> None:
        """This version alone waits. The next try first compares with the server, as the last one may have succeeded unnoticed."""
        secs = max(secs, _LEAST_SECS)
        self._context.log.warning(
            "TRY of [%s] FAILED, others go on! Next try in [%.0f] secs: %s; %s", version.name, secs, error, self._more
        )
        self._rows.waits(version.name, str(error), self._context.wall() + secs)
        self._context.status_model.set(tried_again=self._rows.page())
        due = self._context.clock() + secs
        await self._context.ask(self._context.give_back, version, error, due, alone=round(secs, 1), compare=True)
        self._hooks.changed()

    async def _park(self, version: Version, error: Exception, secs: float) -> None:
        self._context.log.error("PARKED [%s], next offer in [%.0f] secs: %s; %s", version.name, secs, error, self._more)
        self._rows.parked(version.name)
        self._context.status_model.set(tried_again=self._rows.page())
        due, compare = self._context.clock() + secs, isinstance(error, AttemptFailed)
        await self._context.ask(self._context.give_back, version, error, due, park=True, compare=compare)
        self._hooks.changed()

    async def _take_anew(self, version: Version, error: Exception, secs: float) -> None:
        self._context.log.warning("Snapshot of [%s] cannot be sent, taking it anew: %s", version.path, error)
        self._signing.over(version.id)
        self._rows.over(version.name)
        path = await self._context.ask(self._context.withdraw, version, str(error))
        if path is not None:
            self._hooks.lost(path)

    def _arrived(self) -> None:
        self.success += 1
        self.stale = False
        self.active_at = self._context.clock()

    async def settle(self) -> None:
        """Commit finished uploads; those that finish while a commit runs share the next one."""
        while True:
            dones = [await self._finished.get()]
            if len(self._tasks) > 1:
                await asyncio.sleep(_GATHER_SECS)
            while not self._finished.empty():
                dones.append(self._finished.get_nowait())
            written, due = await self._context.ask(self._context.deliver_and_next_due, dones)
            for _, receipt in written:
                self._arrived()
                self._rows.over(receipt.name)
            self._log_delivered(written)
            self._context.status_model.set(tried_again=self._rows.page())
            self.link_usage.show()
            for done in dones:
                self._signing.over(done.id)
                self._finished.task_done()
            self._poll(due)
            self._hooks.changed()

    def _log_delivered(self, written: Sequence[tuple[Done, Receipt]]) -> None:
        for unchanged, rows in itertools.groupby(written, key=lambda one: one[0].unchanged):
            if unchanged:
                names = ((receipt.name,) for _, receipt in rows)
                info_each(self._context.log, "[%s] unchanged, already on server", names, "unchanged")
            else:
                info_each(
                    self._context.log,
                    "Uploaded [%s] ([%d] bytes, [%d] sent)",
                    ((receipt.name, receipt.size, done.bytes_sent) for done, receipt in rows),
                    "uploaded",
                )
