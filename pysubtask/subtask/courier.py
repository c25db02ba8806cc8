"""Carries due versions to the server: queue -> transport -> receipt -> done.

A thread of its own with an asyncio loop. It connects when there is something to send, keeps as many files in
flight as server and settings allow, closes the connection when nothing was notified for the dead time, and
obeys :mod:`retry` about when to try again. It knows no protocol and no SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..common.errors import ConfigError, DiskLow, FileRefused, LoginRefused, SourceError, TransportError, TransportLost
from ..common.events import EventLog, utc
from ..common.receipts import Receipt
from ..transports.base import Job, Transport
from .board import Board
from .plan import already_there
from .retry import Policy, decide, held_for
from .spool import Done, Version
from .store import Store

BEAT_SECS = 1.0
_COMMIT_AGAIN_SECS = 5.0
_CLOSE_SECS = 5.0
_NEVER = float("inf")
_IDLE_SECS = 5.0
_BEAT = -1


class Hooks(NamedTuple):
    """What the courier tells the child's main thread: ``changed`` (the status page is out of date), ``lost``
    (this data file's snapshot cannot be read, take it anew), ``confirm`` (raises where a live file moved), ``beat``
    (writes the heartbeat files now; their paths)."""

    changed: Callable[[], None]
    lost: Callable[[str], None]
    confirm: Callable[[Version], None]
    beat: Callable[[], list[str]]


class Courier:
    """``start`` it, ``wake`` it when the queue grew, ``stop`` it with a deadline, then ``join``.

    ``clock`` is monotonic, ``wall`` the wall clock; both in seconds.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        settings: Mapping[str, Any],
        board: Board,
        events: EventLog,
        log: logging.Logger,
        hooks: Hooks,
        login_mark: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._transport = transport
        self._settings = settings
        self._board = board
        self._events = events
        self._log = log
        self._hooks = hooks
        self._login_mark = login_mark
        self._clock = clock
        self._wall = wall
        self._policy = Policy.of(settings)
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._wake: asyncio.Event
        self._finished: asyncio.Queue[Done]
        self._uploads: dict[asyncio.Task[None], int] = {}
        self._connected = False
        self._broken = ""
        self._failures = 0
        self._refusals = 0
        self._try_at = 0.0
        self._held = ""
        self._deadline: float | None = None
        self._last_notice = self._last_delivery = clock()
        self._nothing_due_before = 0.0
        self._active_at = clock()
        self._stale = False
        self._past_attempt: set[int] = set()
        self._beat_due = False
        self._beat_problem = ""
        self.turned = clock()

    # -- called by the main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._ready.wait()

    def wake(self) -> None:
        """The queue grew."""
        self._call(self._wake_now)

    def beat(self) -> None:
        """Send a heartbeat as soon as possible; several asked for while there is no connection are one."""
        self._beat_due = True
        self.wake()

    def notice(self) -> None:
        """Something was notified: the dead time begins anew."""
        self._last_notice = self._clock()

    def stop(self, deadline: float) -> None:
        """Send what is queued until ``deadline`` (monotonic), then disconnect and end."""
        self._deadline = deadline
        self._call(self._wake_now)

    def join(self, secs: float) -> bool:
        """Wait for the thread's end; whether it ended."""
        self._thread.join(secs)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def hangs(self, now: float) -> bool:
        """Whether the loop has not turned for longer than any wait of it may last."""
        return self.is_alive() and now - self.turned > self._settings["StallSecs"] + BEAT_SECS

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(function)

    def _wake_now(self) -> None:
        self._wake.set()

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:  # noqa: BLE001 - the main thread sees that this one is gone, and the process begins anew
            self._log.exception("The courier failed")
            self._events.emit("courier_failed")
        finally:
            self._ready.set()
            self._hooks.changed()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._finished = asyncio.Queue()
        await self._recall_hold()
        self._ready.set()
        beating = asyncio.create_task(self._beat())
        settling = asyncio.create_task(self._settle())
        try:
            while True:
                self._wake.clear()
                pause = await self._step()
                if self._over():
                    break
                if pause > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
        finally:
            await self._end_uploads("stopped")
            await self._finished.join()
            await self._disconnect()
            for task in (beating, settling):
                task.cancel()
            await asyncio.gather(beating, settling, return_exceptions=True)
            self._loop = None

    async def _beat(self) -> None:
        while True:
            self.turned = self._clock()
            await asyncio.sleep(BEAT_SECS)

    def _over(self) -> bool:
        """Whether a stop was asked for and nothing more can be done before its deadline."""
        if self._deadline is None:
            return False
        return bool(self._held) or max(self._clock(), self._nothing_due_before) >= self._deadline

    async def _step(self) -> float:
        """Do what can be done now; how many seconds there is nothing to do unless woken."""
        now = self._clock()
        self._nothing_due_before = 0.0
        if self._broken:
            await self._lose()
        if not self._connected:
            due = await self._ask(self._store.spool.next_due)
            at = _NEVER if due is None else max(due, self._try_at)
            if self._beat_due and self._deadline is None:
                at = min(at, max(now, self._try_at))
            if at <= now:
                await self._connect()
                return 0.0
            return self._pause(now, at)
        if self._beat_due:
            self._beat_due = False
            self._track(asyncio.create_task(self._send_beat()), _BEAT)
        for version in await self._ask(self._store.spool.take, self._room(), now, self._wall()) if self._room() > 0 else []:
            self._begin(version)
        if self._uploads or not self._finished.empty():
            return self._pause(now, _NEVER, busy=True)
        due = await self._ask(self._store.spool.next_due)
        at = _NEVER if due is None else due
        rest_at = max(self._last_notice, self._last_delivery) + self._settings["DeadTimeMilli"] / 1000
        if at <= now:
            return 0.0
        if rest_at <= now and self._deadline is None:
            await self._rest(now)
            return 0.0
        return self._pause(now, at, rest_at)

    def _pause(self, now: float, due: float, other: float = _NEVER, *, busy: bool = False) -> float:
        """Seconds until the next thing to do; notes for a stop that the queue offers nothing before ``due``."""
        if not busy:
            self._nothing_due_before = due
        until = min(due, other, now + 3600.0)
        if self._deadline is not None:
            until = min(until, self._deadline)
        return max(0.0, until - now)

    def _room(self) -> int:
        return min(int(self._settings["Concurrency"]), self._transport.traits.concurrency) - len(self._uploads)

    async def _ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call on the spool's thread, awaited. With a full disk: wait and ask again."""
        while True:
            try:
                return await asyncio.wrap_future(self._store.submit(call, *args, **kwargs))
            except DiskLow as exc:
                self._problem("disk_low", str(exc))
                await asyncio.sleep(_COMMIT_AGAIN_SECS)

    # -- the connection -----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._board.state("connecting")
        self._hooks.changed()
        try:
            await self._transport.connect()
            await self._sweep()
        except (TransportError, ConfigError) as exc:
            await self._transport.close()
            await self._connect_failed(exc)
            return
        except Exception as exc:  # noqa: BLE001 - a fault of ours in a transport must cost this try, not the courier
            self._log.exception("Connecting failed")
            await self._transport.close()
            await self._connect_failed(TransportLost(f"internal error: {exc!r}"))
            return
        self._connected, self._broken, self._held = True, "", ""
        self._last_delivery = self._active_at = self._clock()
        if self._refusals:
            self._refusals = 0
            await self._ask(self._store.spool.set_meta, "refused", "")
        self._log.info("CONNECTED to %s", self._store.spool.destination)
        self._events.emit("connected", destination=self._store.spool.destination)
        self._board.set(problem=None)
        self._board.state("connected")
        self._hooks.changed()

    async def _connect_failed(self, exc: Exception) -> None:
        if isinstance(exc, (LoginRefused, ConfigError)):
            self._refusals += 1
            decision = decide(self._refusals, LoginRefused(), self._policy, random.random())
            self._held = str(exc)
            await self._ask(self._store.spool.set_meta, "refused", f"{self._refusals} {self._wall()!r} {self._login_mark}")
            self._problem("login_refused", str(exc))
            self._log.error(
                "LOGIN REFUSED! Everything is held, nothing is lost. Next try in [%.0f] secs: %s", decision.secs, exc
            )
        else:
            self._failures += 1
            self._held = ""
            decision = decide(self._failures, exc, self._policy, random.random())
            nth = (self._failures - 1) % self._policy.tries + 1
            self._log.warning("CONNECT attempt FAILED! Try # [%d] of [%d] retries: %s", nth, self._policy.tries, exc)
            if nth == self._policy.tries:
                self._log.warning("Repeated CONNECT FAILURE! LONGER Wait [%.0f] secs…", decision.secs)
            else:
                self._log.info("Waiting [%.0f] secs before next try...", decision.secs)
            self._problem("connect_failed", str(exc))
        self._try_at = self._clock() + decision.secs
        self._board.state("held" if self._held else "waiting", str(exc))
        self._board.set(next_try=utc(self._wall() + decision.secs))
        self._hooks.changed()

    async def _recall_hold(self) -> None:
        """A login refused before a restart stays held for the rest of its time, unless the login was changed since."""
        words = str(await self._ask(self._store.spool.meta, "refused", "")).split()
        if len(words) != 3 or words[2] != self._login_mark:
            return
        self._refusals = int(words[0])
        left = held_for(self._refusals, float(words[1]), self._wall(), self._policy)
        if left > 0:
            self._held = "the login was refused before the restart"
            self._try_at = self._clock() + left
            self._board.state("held", self._held)

    async def _sweep(self) -> None:
        """Remove what earlier attempts may have left on the server."""
        temps = await self._ask(self._store.spool.temps)
        if temps:
            removed = await self._transport.remove(temps)
            await self._ask(self._store.spool.temps_swept, temps, removed, self._wall())

    async def _rest(self, now: float) -> None:
        quiet = now - max(self._last_notice, self._last_delivery)
        self._log.info("'DEAD' for [%.1f] secs! (no data) REST'ing S/FTP!", quiet)
        try:
            await self._sweep()
        except TransportError as exc:
            self._log.info("Connection was gone already: %s", exc)
        await self._disconnect()
        self._events.emit("resting", secs=round(quiet, 1))
        self._board.state("resting", "nothing was notified for the dead time")
        self._hooks.changed()

    async def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECS):
                    await self._transport.close()

    async def _lose(self) -> None:
        """The connection broke: end what was in flight, wait as the retry rules say."""
        reason = self._broken
        await self._disconnect()
        await self._end_uploads(reason)
        self._broken = ""
        if self._stale:
            self._stale = False
            self._log.info("Connection was gone after a pause, connecting again: %s", reason)
            return
        self._failures += 1
        decision = decide(self._failures, TransportLost(), self._policy, random.random())
        self._try_at = self._clock() + decision.secs
        self._log.warning("CONNECTION LOST! Waiting [%.0f] secs before next try...: %s", decision.secs, reason)
        self._problem("connection_lost", reason)
        self._board.state("waiting", reason)
        self._board.set(next_try=utc(self._wall() + decision.secs))
        self._hooks.changed()

    async def _end_uploads(self, reason: str) -> None:
        if self._uploads:
            self._broken = self._broken or reason
            for task, job in self._uploads.items():
                # One that is giving its version back is let to.
                if job not in self._past_attempt:
                    task.cancel()
            await asyncio.gather(*self._uploads, return_exceptions=True)

    def _problem(self, kind: str, text: str) -> None:
        """Say it once, not at every try."""
        if self._board.get("problem") != {"kind": kind, "text": text}:
            self._events.emit(kind, reason=text)
        self._board.set(problem={"kind": kind, "text": text}, last_error={"at": utc(self._wall()), "kind": kind, "text": text})

    # -- one file -----------------------------------------------------------------------------------------

    def _begin(self, version: Version) -> None:
        now = self._clock()
        if not self._uploads:
            # After a pause the first use may find that the server has hung up in the meantime.
            self._stale = now - self._active_at > _IDLE_SECS
        self._active_at = now
        self._track(asyncio.create_task(self._carry(version)), version.id)

    def _track(self, task: asyncio.Task[None], job: int) -> None:
        self._uploads[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._uploads.pop(task, None)
        self._wake.set()

    async def _carry(self, version: Version) -> None:
        self._board.begin(version.id, version.name, version.size)
        try:
            outcome = await self._attempt(version)
            self._past_attempt.add(version.id)
            if isinstance(outcome, Done):
                self._finished.put_nowait(outcome)
            elif isinstance(outcome, FileRefused):
                await self._refuse(version, outcome)
            elif isinstance(outcome, SourceError):
                await self._lost_source(version, outcome)
            else:
                self._broken = self._broken or str(outcome)
                await self._give_back(version, str(outcome))
        finally:
            self._past_attempt.discard(version.id)
            self._board.end(version.id)

    async def _attempt(self, version: Version) -> Done | Exception:
        """Try to send it; how it ended. A cancelled attempt is a lost one."""
        try:
            return await self._put(version)
        except (TransportError, SourceError) as exc:
            return exc
        except asyncio.CancelledError:
            return TransportLost(self._broken or "stopped")
        except Exception as exc:  # noqa: BLE001 - a fault of ours in a transport must cost this attempt, not the courier
            self._log.exception("Upload of [%s] failed", version.name)
            return TransportLost(f"internal error: {exc!r}")

    async def _send_beat(self) -> None:
        """Put the heartbeat files on the server, with its clock for their time; a lost one is due again."""
        try:
            for path in self._hooks.beat():
                name = os.path.basename(path)
                temp = await self._ask(self._store.spool.note_temp, name, self._wall())
                await self._transport.upload(Job(path, os.stat(path).st_size, None, name, temp), lambda done: None)
                await self._ask(self._store.spool.temps_swept, (), (temp,), self._wall())
        except (TransportLost, LoginRefused) as exc:
            self._beat_due = True
            self._broken = self._broken or str(exc)
        except (FileRefused, SourceError, OSError) as exc:
            if str(exc) != self._beat_problem:
                self._beat_problem = str(exc)
                self._log.error("Heartbeat cannot be sent: %s", exc)
                self._events.emit("heartbeat_failed", reason=str(exc))
        except asyncio.CancelledError:
            self._beat_due = True
        except Exception as exc:  # noqa: BLE001 - as in _attempt
            self._log.exception("Heartbeat failed")
            self._broken = self._broken or f"internal error: {exc!r}"
        else:
            self._beat_problem = ""
            self._failures = 0
            self._last_delivery = self._active_at = self._clock()

    async def _put(self, version: Version) -> Done:
        if version.compare:
            remote = await self._transport.stat(version.name)
            if already_there(version.known, version.size, version.mtime_ns, version.digest, remote):
                assert remote is not None
                return Done(version.id, remote, 0, "size", unchanged=True)
        job = Job(
            version.snapshot, version.size, version.mtime_ns, version.name, version.temp, version.stale,
            lambda: self._hooks.confirm(version),
        )  # fmt: skip

        def progress(done: int) -> None:
            self._board.progress(version.id, done)
            self._hooks.changed()

        sent = await self._transport.upload(job, progress)
        return Done(version.id, sent.remote, sent.bytes_sent, sent.verified)

    async def _give_back(self, version: Version, reason: str) -> None:
        secs = 0.0 if self._stale else decide(version.attempts + 1, TransportLost(), self._policy, random.random()).secs
        due = self._clock() + secs
        # The answer may have been lost after the work was done, so the next try looks first.
        await self._ask(self._store.give_back, version.id, reason, due, compare=True)

    async def _refuse(self, version: Version, exc: FileRefused) -> None:
        decision = decide(version.attempts + 1, exc, self._policy, random.random())
        self._log.error("PARKED [%s], next offer in [%.0f] secs: %s", version.name, decision.secs, exc)
        self._events.emit("parked", name=version.name, path=version.path, reason=str(exc))
        self._board.set(last_error={"at": utc(self._wall()), "kind": "parked", "text": f"{version.name}: {exc}"})
        await self._ask(self._store.give_back, version.id, str(exc), self._clock() + decision.secs, park=True)
        self._hooks.changed()

    async def _lost_source(self, version: Version, exc: SourceError) -> None:
        self._log.warning("Snapshot of [%s] cannot be sent, taking it anew: %s", version.path, exc)
        self._events.emit("snapshot_lost", name=version.name, path=version.path, reason=str(exc))
        path = await self._ask(self._store.spool.withdraw, version.id)
        if path is not None:
            self._hooks.lost(path)

    async def _settle(self) -> None:
        """Commit finished uploads; those that finish while a commit runs share the next one."""
        while True:
            dones = [await self._finished.get()]
            while not self._finished.empty():
                dones.append(self._finished.get_nowait())
            for done, receipt in await self._ask(self._store.deliver, dones):
                self._last_delivery = self._active_at = self._clock()
                self._failures, self._stale = 0, False
                self._say_delivered(done, receipt)
            for _ in dones:
                self._finished.task_done()
            self._wake.set()
            self._hooks.changed()

    def _say_delivered(self, done: Done, receipt: Receipt) -> None:
        if done.unchanged:
            self._log.info("[%s] unchanged, already on server", receipt.name)
            self._events.emit("unchanged", name=receipt.name, path=receipt.path, receipt=receipt.seq)
            return
        self._log.info("Uploaded [%s] ([%d] bytes)", receipt.name, receipt.size)
        self._events.emit(
            "delivered", name=receipt.name, path=receipt.path, size=receipt.size, bytes_sent=done.bytes_sent, receipt=receipt.seq
        )
        self._board.add(delivered=1, bytes_sent=done.bytes_sent)
        self._board.set(last_delivery={"at": receipt.at, "name": receipt.name, "size": receipt.size})
