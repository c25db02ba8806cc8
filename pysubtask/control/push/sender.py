"""The uploads of one push: connect, upload side by side, and after each failure do as the retry rules say."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...common.errors import (
    AttemptFailed,
    ConfigError,
    LoginRefused,
    ServerBusy,
    SourceChanged,
    SourceError,
    TransportError,
    TransportLost,
)
from ...delivery_rules.login_limit import LoginLimit
from ...delivery_rules.retry import Policy
from ...transports import open_transport
from ...transports.base import Transport
from ..doctor.source import Target
from .attempts import Attempts
from .outcome import Outcome, Show
from .password import Password
from .record import Record
from .tries import Tries

_SIDE_BY_SIDE = 16  # files at once at most, where the transport allows more
_AT_ONCE = 3  # attempts that are made again without a wait, as for a file that changes while it is read or sent


class Limits(NamedTuple):
    """``tries``: attempts in a row without a byte of progress; ``secs``: the limit of the whole push (None: no limit)."""

    tries: int
    secs: float | None


class Sender:
    """One push of ``requested``: pairs of path and remote name. ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        target: Target,
        requested: Sequence[tuple[str, str]],
        record: Record,
        limits: Limits,
        show: Show,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target, self._record, self._show, self._clock = target, record, show, clock
        self._secs = limits.secs
        self._tries = Tries(Policy.of(target.settings), limits.tries, random.random)
        self._attempts = Attempts(record, show, self._tries.moved)
        self._logins = LoginLimit(int(target.settings.get("LoginsPerMinute", 0)))
        self._busy_until = 0.0
        self.refused: LoginRefused | None = None
        self._todo = {name: path for path, name in requested}
        self._done: list[Outcome] = []

    def run(self, password: Password) -> list[Outcome]:
        """The outcome of each file. Errors of a server or a file are outcomes and not raised; raises ConfigError for a wrong
        setting."""
        while True:
            asyncio.run(self._run())
            if self.refused is None:
                return self._done
            # The question comes between two rounds: no event loop delays Ctrl-C there, and --timeout does not count.
            typed = password.instead_of(self.refused)
            if typed is None:
                self._give_up(password.words(self.refused))
                return self._done
            self._target.settings["Password"] = typed

    async def _run(self) -> None:
        self.refused = None
        try:
            async with asyncio.timeout(self._secs):
                await self._rounds()
        except TimeoutError:
            self._give_up(f"not done within {self._secs:g} s (--timeout)")

    async def _rounds(self) -> None:
        transport = open_transport(self._target.transport, self._target.settings, self._record.folder)
        while self._todo:
            connected = False
            try:
                await transport.connect()
                connected = True
                self._logins.answered()
                await self._round(transport)
            except LoginRefused as exc:
                self._logins.failed(self._clock())
                self.refused = exc
                return
            except (TransportError, OSError) as exc:
                await transport.close()
                await asyncio.sleep(self._wait_after(exc, connected))
            finally:
                await transport.close()

    async def _round(self, transport: Transport) -> None:
        """Upload the remaining files side by side; the first error that concerns all of them ends the round."""
        places = asyncio.Semaphore(max(1, min(_SIDE_BY_SIDE, transport.traits.concurrency)))

        async def one(name: str, path: str) -> None:
            outcome = await self._deliver(transport, places, path, name)
            if outcome.sent is not None:
                self._tries.delivered(name)
            del self._todo[name]
            self._done.append(outcome)
            self._show.end(outcome)

        tasks = [asyncio.create_task(one(name, path)) for name, path in self._todo.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, transport: Transport, places: asyncio.Semaphore, path: str, name: str) -> Outcome:
        """The outcome of a file, after as many attempts as the retry rules say. Raises an error that concerns all files."""
        at_once = 0
        while True:
            async with places:
                await self._pause_over()
                outcome = await self._attempt(transport, path, name)
            if isinstance(outcome, Outcome):
                return outcome
            decision, failures = self._tries.failed(name, outcome)
            if decision.action in ("anew", "next") and at_once < _AT_ONCE:
                at_once += 1
                self._attempts.start_over(name)
                self._show.note(f"{outcome}; once more")
            elif decision.action == "again":
                # The file waits without a place, so that another file can use it.
                at_once = 0
                self._show.note(f"{outcome}; next try in {_seconds(decision.secs)} s")
                await asyncio.sleep(decision.secs)
            elif decision.action in ("wait", "hold"):
                self._concerns_all(outcome, decision.secs)
            else:
                return self._left(path, name, outcome, failures)

    async def _attempt(self, transport: Transport, path: str, name: str) -> Outcome | Exception:
        """The outcome of a file, or the error of an attempt after which another one may succeed."""
        try:
            file = await self._attempts.read(path, name)
        except SourceChanged as exc:
            return exc
        except SourceError as exc:
            self._attempts.start_over(name)
            return Outcome(path, name, None, str(exc))
        try:
            return await self._attempts.upload(transport, file)
        except (TransportError, SourceError, ConfigError) as exc:
            return exc

    def _left(self, path: str, name: str, error: Exception, failures: int) -> Outcome:
        """The outcome of a file that is given up while others go on. Only what an attempt failed at may be resumed."""
        if not isinstance(error, AttemptFailed):
            self._attempts.start_over(name)
        return Outcome(path, name, None, _with_tries(error, failures))

    def _concerns_all(self, error: Exception, secs: float) -> None:
        """Leave a busy server alone for ``secs``; its connection stays. Any other error is raised: it ends the round."""
        if not isinstance(error, ServerBusy):
            raise error
        now = self._clock()
        if self._busy_until <= now and not self._tries.spent:
            secs = self._tries.lost(error).secs
            if not self._tries.spent:
                self._show.note(f"{error}; next try in {_seconds(secs)} s")
        if self._tries.spent:
            raise error
        self._busy_until = max(self._busy_until, now + secs)

    async def _pause_over(self) -> None:
        secs = self._busy_until - self._clock()
        while secs > 0:
            await asyncio.sleep(secs)
            secs = self._busy_until - self._clock()

    def _wait_after(self, error: Exception, connected: bool) -> float:
        """Seconds until the next connect, after a note of it. Gives everything up where there was no progress too often.
        ``connected``: the login went well, and then the connection was lost."""
        secs = 0.0 if self._tries.spent else self._tries.lost(error).secs
        if self._tries.spent:
            self._give_up(_with_tries(error, self._tries.without_progress))
            return 0.0
        now, why = self._clock(), ""
        if connected:
            self._logins.failed(now)
        elif isinstance(error, TransportLost) and error.unanswered:
            self._logins.unanswered(now)
        if self._logins.wait(now) > secs:
            secs, why = self._logins.wait(now), f"; {self._logins.words()}"
        self._show.note(f"{error}{why}; next try in {_seconds(secs)} s")
        return secs

    def _give_up(self, why: str) -> None:
        for name, path in self._todo.items():
            outcome = Outcome(path, name, None, why)
            self._done.append(outcome)
            self._show.end(outcome)
        self._todo.clear()

    def worth_keeping(self) -> bool:
        """Whether the same command, run again, would resume from the record."""
        begun = any(state.temp or state.remote for state in self._record.states.values())
        return bool(self._todo) or (begun and any(outcome.error for outcome in self._done))


def _with_tries(error: Exception, tries: int) -> str:
    return f"{error} ({tries} tries)" if tries > 1 else str(error)


def _seconds(secs: float) -> str:
    return f"{round(secs, 1):g}"
