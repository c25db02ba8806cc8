"""Sends due versions to the server: queue -> transport -> receipt -> done.

The dispatcher is a thread of its own with an asyncio loop. It connects when there is something to send, keeps as many uploads in
flight as server and settings allow, closes the connection when nothing was notified for the dead time, and leaves the decision
when to try again to :mod:`retry`. It knows no protocol and no SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from ...common import limits
from ...common.errors import (
    AttemptFailed,
    ConfigError,
    FileRefused,
    LoginRefused,
    ServerBusy,
    ServerNotTrusted,
    TransportError,
    TransportLost,
)
from ...common.events import EventLog, utc
from ...common.limits import is_limit
from ...common.remedy import in_words_of, says_more, sentence
from ...delivery_rules.login_limit import Logins
from ...delivery_rules.retry import JITTER, Policy, decide, extra_login_in, held_for, login_wait
from ...transports.base import Transport
from ..spool.queue_admin import EVERYTHING
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel
from .context import DeliveryContext
from .idle_timeout import Pauses
from .server_profile import follow
from .uploads import CalledBack, Hooks, Uploads

BEAT_SECS = 1.0
EXPECT_SECS = 10.0
ANSWER_SECS = 2.0
_CLOSE_SECS = 5.0
_TAKE_SECS = 0.02
"""Seconds. While most places for uploads are taken, versions are not taken from the queue one by one but together after this
time: each time costs a commit."""
_NEVER = float("inf")
_EXTRA = "extra_login"
"""Key of a small value in the spool: when a refused login was last tried on request, by the wall clock."""
_NOT_TRUSTED = "not-trusted"
_SETTING = "a setting cannot be used"


class Dispatcher:
    """Call ``start``, ``wake`` after each change of the queue, ``stop`` with a deadline, then ``join``.

    ``clock`` is monotonic, ``wall`` the wall clock; both in seconds. ``config_file``: the file that the settings were read from,
    '' for settings that an app gave. ``changed``: says which of the files that the settings were read from was changed since, and
    which command takes the change up; '' where none was changed.
    """

    def __init__(
        self,
        spool_thread: SpoolThread,
        transport: Transport,
        settings: Mapping[str, Any],
        status_model: StatusModel,
        events: EventLog,
        log: logging.Logger,
        hooks: Hooks,
        login_fingerprint: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        config_file: str = "",
        changed: Callable[[], str] = str,
    ) -> None:
        self._config_file = config_file
        self._changed = changed
        self._says_more = says_more(config_file)
        self._context = DeliveryContext(spool_thread, status_model, events, log, clock, wall)
        self._transport = transport
        self._settings = settings
        self._hooks = hooks
        self._login_fingerprint = login_fingerprint
        self._clock = clock
        self._policy = Policy.of(settings)
        self._pauses = Pauses()
        self._logins = Logins(int(settings.get("LoginsPerMinute", 0)))
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._wake: asyncio.Event
        self._uploads: Uploads
        self._connected = False
        self._failures = 0
        self._counted = 0
        self._refusals = 0
        self._try_at = 0.0
        self._taken_at = 0.0
        # ``_more``: the queue may hold versions that can be taken now. Otherwise nothing is due before ``_due_at``.
        self._more = True
        self._due_at = 0.0
        self._held = ""
        # For requests to connect at once. ``_extra``: the next login is one on request, the last of which was at ``_extra_at``
        # (wall clock). ``_again_at_once``: the connect in progress may have begun before the request.
        self._extra = self._again_at_once = self._connecting = False
        self._extra_at = float("-inf")
        self._busy_until = 0.0
        self._deadline: float | None = None
        self._last_notice = clock()
        self._nothing_due_before = 0.0
        self._expected_until = 0.0
        self._removed_once: set[str] = set()
        self.turned = clock()

    # -- called by the main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._ready.wait()

    def grew(self) -> None:
        """Take up new versions of the queue."""
        self._call(self._take_more)

    def wake(self) -> None:
        """Read the queue again: it was changed from outside (a pause, a retry, a drop)."""
        self._call(self._wake_now)

    def expect(self) -> None:
        """Connect now, because a snapshot is being made and will have to be sent soon."""
        now = self._clock()
        is_new = now > self._expected_until - EXPECT_SECS / 2
        self._expected_until = now + EXPECT_SECS
        if is_new and not self._connected:
            self.grew()

    def hold(self) -> None:
        """Call back the uploads in flight of versions that were paused."""
        self._call(self._hold_now)

    def settings_changed(self) -> None:
        """Take the new values of live settings."""
        self._call(self._take_settings)

    def connect_now(self) -> dict[str, Any]:
        """Connect at once, because a person has repaired the cause of the failure. The answer has a ``state``: connected,
        connecting, held (a refused login is tried on request once a minute, next in ``secs``), busy (the server asked for a pause
        of ``secs`` more), paused, stopping, nothing (to send), or unknown (the loop hangs)."""
        asked: Future[dict[str, Any]] = Future()

        def ask() -> None:
            asked.set_result(self._connect_now())

        self._call(ask)
        with contextlib.suppress(TimeoutError):
            return asked.result(ANSWER_SECS)
        return {"state": "unknown"}

    def beat(self) -> None:
        """Send a heartbeat as soon as possible; several requests without a connection become one heartbeat."""
        self._call(self._beat_now)

    def notice(self) -> None:
        """A file was notified: the dead time starts again."""
        self._last_notice = self._clock()
        self._expected_until = 0.0

    def stop(self, deadline: float) -> None:
        """Send what is queued until ``deadline`` (monotonic), then disconnect and end."""
        self._deadline = deadline
        self._call(self._wake_now)

    def join(self, secs: float) -> bool:
        """Wait up to ``secs`` for the end of the thread; True where it ended."""
        self._thread.join(secs)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def hangs(self, now: float) -> bool:
        """Whether the loop has made no turn for longer than any wait in it may last."""
        return self.is_alive() and now - self.turned > self._settings["StallSecs"] + BEAT_SECS

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(function)

    def _take_more(self) -> None:
        self._more = True
        self._wake.set()

    def _wake_now(self) -> None:
        self._due_at = 0.0
        self._take_more()

    def _poll_again(self, due: float | None) -> None:
        if due is not None:
            self._due_at = min(self._due_at, due)
        self._wake.set()

    def _hold_now(self) -> None:
        paused = self._context.spool.queue_admin.paused
        if self._uploads.moves(None if EVERYTHING in paused else paused):
            self._uploads.interrupt(CalledBack("paused"))
        self._wake_now()

    def _take_settings(self) -> None:
        self._policy = self._uploads.policy = Policy.of(self._settings)
        self._logins.most = int(self._settings.get("LoginsPerMinute", 0))
        if self._transport.pace is not None:
            self._transport.pace.rate = float(self._settings["RateLimit"])
        longest = login_wait(self._refusals, self._policy) if self._held else self._policy.long_wait * (1 + JITTER)
        self._try_at = min(self._try_at, self._clock() + longest)
        self._wake_now()

    def _connect_now(self) -> dict[str, Any]:
        now = self._clock()
        self._due_at = 0.0
        self._logins.forget()
        self._take_more()
        if self._transport.profile is not None:  # the server may have been repaired
            self._transport.profile.try_again()
        if self._deadline is not None:
            return {"state": "stopping"}
        if EVERYTHING in self._context.spool.queue_admin.paused:
            return {"state": "paused"}
        busy_until = max(self._busy_until, self._uploads.busy_until)
        if busy_until > now:
            return {"state": "busy", "secs": round(busy_until - now, 1)}
        if self._connecting or (self._connected and self._uploads.broken):
            # The connect in progress may have begun before the cause was repaired: if it fails, there is one more try.
            self._again_at_once = True
            return {"state": "connecting"}
        if self._connected:
            return {"state": "connected"}
        self._failures, self._extra = 0, bool(self._held)
        secs = extra_login_in(self._extra_at, self._context.wall()) if self._held else 0.0
        if self._try_at > now:
            self._try_at = min(self._try_at, now + secs)
            secs = self._try_at - now
            self._context.status_model.set(next_try=utc(self._context.wall() + secs))
        else:
            secs = 0.0
        return {"state": "held", "secs": round(secs, 1)} if secs > 0 else {"state": "connecting"}

    def _beat_now(self) -> None:
        self._uploads.beat_due = True
        self._wake.set()

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            self._context.log.exception("The courier failed")
            self._context.events.emit("courier_failed")
        finally:
            self._ready.set()
            self._hooks.changed()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context.spool_thread.asked_on(self._loop)
        self._wake = asyncio.Event()
        self._uploads = Uploads(
            self._transport,
            self._context,
            self._policy,
            self._hooks,
            self._wake_now,
            self._poll_again,
            delta=bool(self._settings.get("DeltaTransfer")),
            more=self._says_more,
        )
        await self._recall_hold()
        await follow(self._context, self._transport)
        self._ready.set()
        beating = asyncio.create_task(self._beat())
        settling = asyncio.create_task(self._uploads.settle())
        try:
            while True:
                self._wake.clear()
                pause = await self._step()
                if self._over():
                    break
                if pause > 0 and not self._wake.is_set():
                    timer = self._loop.call_later(pause, self._wake.set)
                    try:
                        await self._wake.wait()
                    finally:
                        timer.cancel()
        finally:
            await self._uploads.end(CalledBack("stopped"))
            await self._uploads.settled()
            await self._disconnect()
            for task in (beating, settling):
                task.cancel()
            await asyncio.gather(beating, settling, return_exceptions=True)
            self._context.spool_thread.asked_on(None)
            self._loop = None

    async def _beat(self) -> None:
        while True:
            self.turned = self._clock()
            if self._uploads.busy:
                self._uploads.link_usage.show()
            await asyncio.sleep(BEAT_SECS)

    def _over(self) -> bool:
        """Whether a stop was asked for and nothing more can be done before its deadline."""
        if self._deadline is None:
            return False
        return bool(self._held) or max(self._clock(), self._nothing_due_before) >= self._deadline

    async def _step(self) -> float:
        """Do everything that can be done now; the seconds until the next thing to do, unless the loop is woken before."""
        now = self._clock()
        self._nothing_due_before = 0.0
        uploads = self._uploads
        if uploads.success != self._counted:
            self._counted, self._failures = uploads.success, 0
            self._pauses.lived()
        if uploads.broken:
            await self._lose()
        self._tell_pause()
        if not self._connected:
            self._more, self._due_at = True, 0.0
            due = await self._context.ask(self._context.spool.next_due)
            at = _NEVER if due is None else max(due, self._try_at)
            if uploads.beat_due and self._deadline is None:
                at = min(at, max(now, self._try_at))
            if now < self._expected_until and self._deadline is None and EVERYTHING not in self._context.spool.queue_admin.paused:
                at = min(at, max(now, self._try_at))
            if at <= now:
                await self._connect()
                return 0.0
            if at == _NEVER and EVERYTHING not in self._context.spool.queue_admin.paused:
                # The expected snapshot did not come. No further try follows the failed one, so the state is no longer
                # "waiting".
                self._context.status_model.leave("waiting", "watching")
                self._context.status_model.set(next_try=None)
            return self._pause(now, at)
        if uploads.busy_until > now:
            return self._pause(now, uploads.busy_until, busy=uploads.busy)
        if uploads.busy_until:
            uploads.busy_until = 0.0
            self._context.well()
            self._context.status_model.state("connected")
        if uploads.beat_due:
            uploads.begin_beat()
        places = min(int(self._settings["Concurrency"]), self._transport.traits.concurrency)
        few = max(1, places // 4)
        room = places - len(uploads)
        take_at = now if room >= few else self._taken_at + _TAKE_SECS
        if room > 0 and take_at <= now and (self._more or self._due_at <= now):
            await self._take(places, room, now)
            room = places - len(uploads)
            take_at = self._taken_at + _TAKE_SECS
        at = now if self._more else self._due_at
        if uploads.busy:
            # Where versions wait for a place: poll at the first free place, then when more places are free or _TAKE_SECS are
            # over.
            soon = 0 < room < few and take_at > now
            uploads.poll_at = -1 if at > now else places - few if soon else len(uploads) - 1
            return self._pause(now, at if at > now else take_at if soon else _NEVER, busy=True)
        rest_at = max(self._last_notice, uploads.active_at) + self._settings["DeadTimeMilli"] / 1000
        rest_at = max(rest_at, self._expected_until)
        if at <= now:
            return 0.0
        if rest_at <= now and self._deadline is None:
            await self._rest(now)
            return 0.0
        return self._pause(now, at, rest_at)

    async def _take(self, places: int, room: int, now: float) -> None:
        """Send what is due, as far as there is room."""
        uploads = self._uploads
        # One of four places is kept for small versions, so that live data does not wait behind a queue of big ones.
        most = min(self._transport.big_at_once, max(1, places - (places + 3) // 4))
        big, poll = max(0, most - uploads.big), self._due_at <= now
        # Cleared before the queue is read: a flag that is set from here on means versions that this read may have missed.
        self._more = False
        if poll:
            self._due_at = _NEVER
        versions, due = await self._context.ask(
            self._context.take_and_next_due, room, now, self._context.wall(), big=big, poll=poll, **self._methods()
        )
        if versions and not uploads.busy:
            self._pauses.begins(now - uploads.active_at)
        for version in versions:
            uploads.begin(version)
            self._taken_at = now
        if len(versions) == room and poll:
            self._due_at = 0.0
        elif due is not None:
            self._due_at = min(self._due_at, due)
        self._more = self._more or len(versions) == room or uploads.big >= most

    def _tell_pause(self) -> None:
        """Write to the status page that the task is paused, or that it goes on."""
        by = self._context.spool.queue_admin.paused.get(EVERYTHING)
        if by is not None and self._context.status_model.get("state") not in ("paused", "stopping", "stopped"):
            self._context.status_model.state("paused", f"paused by {by}")
            self._hooks.changed()
        elif by is None and self._context.status_model.get("state") == "paused":
            self._enter()
            self._hooks.changed()

    def _enter(self) -> None:
        """Write the present state to the status page, after a pause or a broken connection."""
        now, status_model = self._context.clock(), self._context.status_model
        problem = status_model.get("problem") or {}
        if self._connected:
            status_model.state("waiting" if self._uploads.busy_until > now else "connected", str(problem.get("text", "")))
        elif self._held and self._try_at > now:
            status_model.state("held", self._held)
        elif problem and self._try_at > now:
            status_model.state("waiting", str(problem.get("text", "")))
        else:
            status_model.state("watching")

    def _methods(self) -> dict[str, bool]:
        traits = self._transport.traits
        return {"appends": traits.appends and not self._settings.get("AtomicAppend"), "copies": traits.copies}

    def _pause(self, now: float, due: float, other: float = _NEVER, *, busy: bool = False) -> float:
        """Seconds until the next thing to do; notes for a stop that the queue offers nothing before ``due``."""
        if not busy:
            self._nothing_due_before = due
        until = min(due, other, now + 3600.0)
        if self._deadline is not None:
            until = min(until, self._deadline)
        return max(0.0, until - now)

    # -- the connection -----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._context.status_model.state("connecting")
        self._hooks.changed()
        if self._extra:
            self._extra, self._extra_at = False, self._context.wall()
            await self._context.ask(self._context.spool.set_meta, _EXTRA, repr(self._extra_at))
        self._connecting, self._again_at_once = True, False
        try:
            await self._before_the_deadline(self._log_in())
            self._connecting = False
        except CalledBack:
            self._connecting = False
            await self._transport.close()
            return
        except (TransportError, ConfigError) as exc:
            await self._transport.close()
            await self._connect_failed(exc)
            return
        except Exception as exc:
            await self._transport.close()
            if is_limit(exc):
                await self._connect_failed(TransportLost(limits.reached(), limits.REMEDY))
                return
            self._context.log.exception("Connecting failed")
            await self._connect_failed(TransportLost(f"internal error: {exc!r}"))
            return
        self._connected, self._uploads.broken, self._held = True, None, ""
        self._logins.answered()
        self._uploads.link_usage.show()
        self._uploads.active_at = self._clock()
        if self._refusals:
            self._refusals = 0
            await self._context.ask(self._context.spool.set_meta, "refused", "")
        methods = self._methods()
        self._hooks.builds(any(methods.values()), methods["copies"] and bool(self._settings.get("DeltaTransfer")))
        self._context.log.info("CONNECTED to %s", self._context.spool.destination)
        with self._context.status_model.guard:
            self._context.events.emit("connected", destination=self._context.spool.destination)
            self._context.well()
            self._context.status_model.state("connected")
        self._hooks.changed()

    async def _log_in(self) -> None:
        await self._transport.connect()
        await self._sweep()

    async def _before_the_deadline(self, work: Coroutine[Any, Any, None]) -> None:
        """Await ``work`` for as long as the deadline of a stop allows. Raises CalledBack when the deadline is over."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                left = None if self._deadline is None else self._deadline - self._clock()
                if left is not None and left <= 0:
                    raise CalledBack("stopped")
                self._wake.clear()
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait({task, woken}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
            await task
        finally:
            self._wake.set()  # a wake-up that came meanwhile was cleared here and not handled yet
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _connect_failed(self, exc: Exception) -> None:
        self._connecting = False
        self._uploads.link_usage.show()
        held = decide(1, exc, self._policy, 0.0).action == "hold"
        cause, remedy = _cause_and_remedy(exc)
        remedy = in_words_of(self._config_file, remedy)
        if held:
            self._refusals += 1
            self._held = cause
            trusted = "" if not isinstance(exc, ServerNotTrusted) else f" {_NOT_TRUSTED}"
            words = f"{self._refusals} {self._context.wall()!r} {self._login_fingerprint}{trusted}"
            await self._context.ask(self._context.spool.set_meta, "refused", words)
        else:
            self._failures += 1
            self._held = ""
        secs = decide(self._refusals if held else self._failures, exc, self._policy, random.random()).secs
        if isinstance(exc, ServerBusy) and exc.retry_after > 0:
            self._busy_until = self._clock() + secs
        elif self._again_at_once:
            self._extra = held
            secs = min(secs, extra_login_in(self._extra_at, self._context.wall()) if held else 0.0)
        self._again_at_once = False
        if isinstance(exc, LoginRefused):
            self._logins.failed(self._clock())
        elif isinstance(exc, TransportLost) and exc.unanswered:
            self._logins.unanswered(self._clock())
        secs, spared = self._spared(secs)
        self._try_at = self._clock() + secs
        with self._context.status_model.guard:
            is_new = self._tell_problem(exc, cause, remedy)
            self._context.status_model.state("held" if held else "waiting", cause + spared)
            self._context.status_model.set(next_try=utc(self._context.wall() + secs))
        # A person who has repaired a file of the config must learn that this child does not read it again: this is logged at
        # every try.
        since = self._changed() if held else ""
        text = cause + spared
        self._log_failed(exc, secs, sentence(f"{text}; {since}" if since else text, remedy if is_new else "", self._says_more))
        self._hooks.changed()

    def _spared(self, secs: float) -> tuple[float, str]:
        """Seconds until the next login, at least ``secs``, and in words why they are more, where they are."""
        wait = self._logins.wait(self._clock())
        return (wait, f"; {self._logins.words()}") if wait > secs else (secs, "")

    def _tell_problem(self, exc: Exception, cause: str, remedy: str) -> bool:
        """Report a failed connect on the status page and as an event; whether that problem is new."""
        if isinstance(exc, ServerNotTrusted):
            return self._context.problem("server_not_trusted", cause, remedy, exc.headline, exc)
        if isinstance(exc, ConfigError):
            return self._context.problem("login_refused", cause, remedy, _SETTING, exc)
        refused = isinstance(exc, LoginRefused)
        return self._context.problem("login_refused" if refused else "connect_failed", cause, remedy, error=exc)

    def _log_failed(self, exc: Exception, secs: float, words: str) -> None:
        log = self._context.log
        if isinstance(exc, (ServerNotTrusted, ConfigError)):
            headline = exc.headline if isinstance(exc, ServerNotTrusted) else _SETTING
            text = "%s! Everything is held, nothing is lost. Next try in [%.0f] secs: %s"
            log.error(text, headline.upper(), secs, words)
        elif isinstance(exc, LoginRefused):
            log.error("LOGIN REFUSED! Everything is held, nothing is lost. Next try in [%.0f] secs: %s", secs, words)
        else:
            nth = (self._failures - 1) % self._policy.tries + 1
            log.warning("CONNECT attempt FAILED! Try # [%d] of [%d] retries: %s", nth, self._policy.tries, words)
            if nth == self._policy.tries:
                log.warning("Repeated CONNECT FAILURE! LONGER Wait [%.0f] secs…", secs)
            else:
                log.info("Waiting [%.0f] secs before next try...", secs)

    async def _recall_hold(self) -> None:
        """A login refused before a restart stays held for the rest of its time, unless the login was changed since."""
        self._extra_at = float(await self._context.ask(self._context.spool.meta, _EXTRA, "") or "-inf")
        words = str(await self._context.ask(self._context.spool.meta, "refused", "")).split()
        if len(words) not in (3, 4) or words[2] != self._login_fingerprint:
            return
        self._refusals = int(words[0])
        left = held_for(self._refusals, float(words[1]), self._context.wall(), self._policy)
        if left > 0:
            trusted = len(words) == 3
            self._held = f"{'the login was refused' if trusted else 'the server was not trusted'} before the restart"
            self._try_at = self._clock() + left
            text = "HELD! Nothing is lost: %s; next try in [%.0f] secs, 'pysubtask retry' tries before that; %s"
            self._context.log.warning(text, self._held, left, self._says_more)
            with self._context.status_model.guard:
                if not trusted:
                    problem = {"kind": "server_not_trusted", "text": self._held, "headline": "server not trusted"}
                    self._context.status_model.set(problem=problem)
                self._context.status_model.state("held", self._held)
                self._context.status_model.set(next_try=utc(self._context.wall() + left))

    async def _sweep(self) -> None:
        """Remove the temp files that earlier attempts may have left on the server."""
        temps = await self._context.ask(self._context.spool.temps)
        if temps:
            try:
                removed = await self._transport.remove(temps)
            except (FileRefused, AttemptFailed):
                removed = await self._remove_each(temps)
            # A server that is still busy with an upload that was cut (rclone over FTP) may write the file once more after its
            # removal: the name stays on record until the removal was asked for twice.
            final = self._removed_once.intersection(temps)
            self._removed_once = removed - final
            await self._context.ask(self._context.spool.temps_swept, temps, final, self._context.wall())

    async def _remove_each(self, temps: Iterable[str]) -> set[str]:
        """Remove each temp file; the names that are gone. A name that cannot be removed (kept by the server, or impossible there)
        is handled again by the upload of its own file, and must not keep the others."""
        removed: set[str] = set()
        for temp in temps:
            try:
                removed |= await self._transport.remove([temp])
            except (FileRefused, AttemptFailed) as exc:
                self._context.log.info("A temporary file of an earlier attempt stays for now: %s", exc)
        return removed

    async def _rest(self, now: float) -> None:
        quiet = now - max(self._last_notice, self._uploads.active_at)
        self._context.log.info("'DEAD' for [%.1f] secs! (no data) REST'ing %s!", quiet, self._transport.label)
        try:
            await self._sweep()
        except TransportError as exc:
            self._context.log.info("Connection was gone already: %s", exc)
        await self._disconnect()
        with self._context.status_model.guard:
            self._context.events.emit("resting", secs=round(quiet, 1))
            self._context.status_model.state("resting", "nothing was notified for the dead time")
        self._hooks.changed()

    async def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECS):
                    await self._transport.close()
            self._uploads.link_usage.show()

    async def _lose(self) -> None:
        """The connection broke: end the uploads in flight, then wait as the retry rules say."""
        uploads, reason = self._uploads, self._uploads.broken
        assert reason is not None
        await self._disconnect()
        await uploads.end(reason)
        uploads.broken = None
        if isinstance(reason, CalledBack):
            uploads.stale = False
            self._context.log.info("What is paused was called back; the rest goes on over a new connection")
            self._enter()
            return
        if uploads.stale:
            uploads.stale = False
            self._context.log.info("Connection was gone after a pause, connecting again: %s", reason)
            forgets = self._pauses.died()
            if forgets:
                self._context.log.warning("%s; %s", forgets, self._says_more)
                self._context.error("connection_lost", forgets)
            self._enter()
            return
        decision = decide(self._failures + 1, reason, self._policy, random.random())
        if decision.action == "hold":
            await self._connect_failed(reason)
            return
        self._failures += 1
        secs = 0.0 if self._again_at_once else decision.secs
        self._again_at_once = False
        self._logins.failed(self._clock())
        secs, spared = self._spared(secs)
        self._try_at = self._clock() + secs
        words = sentence(f"{reason}{spared}", "", self._says_more)
        self._context.log.warning("CONNECTION LOST! Waiting [%.0f] secs before next try...: %s", secs, words)
        with self._context.status_model.guard:
            self._context.problem("connection_lost", str(reason), error=reason)
            self._context.status_model.state("waiting", f"{reason}{spared}")
            self._context.status_model.set(next_try=utc(self._context.wall() + secs))
        self._hooks.changed()


def _cause_and_remedy(exc: Exception) -> tuple[str, str]:
    """The cause of an error, and what a person can do about it."""
    if isinstance(exc, ConfigError):
        return f"{exc.key}: {exc.problem}", exc.remedy
    return (exc.cause or str(exc), exc.remedy) if isinstance(exc, TransportError) else (str(exc), "")
