"""Several connections to one server, each used by one call at a time, in a thread; awaited on the event loop.

A thread that hangs cannot be cancelled: its sockets are shut down from outside, so that it ends, and the thread is not awaited.
``connect`` opens the first connection; more are opened when a call waits for one. A server that refuses more connections lowers
the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from ...common.errors import AttemptFailed, FileRefused, NotAsLeft, SourceError, TransportError, TransportLost
from ..shared.allowance import Allowance
from ..shared.calls import fail
from ..shared.meter import Meter
from ..shared.pace import Pace
from .options import Login
from .server_features import ServerFeatures
from .session import Session

_T = TypeVar("_T")

_CLOSED = "the connection was closed from here"
_IDLE_SECS = 60.0  # a connection that is idle longer is closed, before the server or a NAT drops it
_TOGETHER_SECS = 0.25  # connections that end within this time of each other have ended for one reason
_SOON_SECS = 60.0  # the server ended the first connection within this time: see ``is_lost_soon``
_MOST_HUNG = 32  # threads given up before connect refuses to add to them


class Pool:
    """The sessions of one destination, at most as many as ``allowance`` permits, open or at work. ``make_context`` builds the
    TLS context, in the first thread. ``limited`` is called with each new limit. ``hung`` keeps the threads given up, beyond the
    life of one pool. Before ``alone_until`` (monotonic) there is only one session."""

    def __init__(
        self,
        login: Login,
        known: ServerFeatures,
        allowance: Allowance,
        make_context: Callable[[Login], ssl.SSLContext | None],
        limited: Callable[[int], None],
        hung: list[threading.Thread],
        pace: Pace,
        meter: Meter,
        alone_until: float = 0.0,
    ) -> None:
        self._begun, self._alone_until = time.monotonic(), alone_until
        self._allowance = allowance
        self._leased = 0
        self._login = login
        self._known = known
        self._make_context = make_context
        self._limited = limited
        self._hung = hung
        self._pace = pace
        self._meter = meter
        self._context: ssl.SSLContext | None = None
        self._sessions: set[Session] = set()
        self._idle: list[Session] = []
        self._opening: dict[asyncio.Task[None], Session] = {}
        self._turns: deque[asyncio.Future[None]] = deque()
        self._over: TransportLost | None = None
        self._ended_there = False
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, first: Callable[[Session], None]) -> None:
        """Open the first session and call ``first`` with it. Raises TransportLost, also where too many earlier calls still
        hang."""
        self._hung[:] = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= _MOST_HUNG:
            raise TransportLost(f"{len(self._hung)} earlier calls still hang")
        session = Session(self._login, self._known, self._pace, self._meter)

        def prepare() -> None:
            self._context = self._make_context(self._login)
            session.open(self._context)
            first(session)

        try:
            await self._run_in_thread(session, prepare, self._login.connect_secs)
        except BaseException:
            session.control.cut()
            raise
        self._sessions.add(session)
        self._give_back(session)

    async def close(self) -> None:
        """End all sessions at once; calls in progress end in TransportLost."""
        self._end(TransportLost(_CLOSED))
        if not self._closed.done():
            self._closed.set_result(None)
        for session in self._idle:
            session.control.send_quit()
        self._idle.clear()
        for session in (*self._sessions, *self._opening.values()):
            session.control.cut()
        self._sessions.clear()
        if self._opening:
            await asyncio.wait(list(self._opening))

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Session]:
        """A session for the caller alone. The session goes back to the pool afterwards, unless it was lost."""
        session = await self._take()
        self._leased += 1
        try:
            yield session
        finally:
            self._leased -= 1
            self._give_back(session)

    @property
    def is_lost_soon(self) -> bool:
        """Whether the server ended the connection within a minute of its beginning. False where packets merely stopped
        arriving: then the link is to blame, and one hanging connection must not hold up the other files."""
        return self._over is not None and self._ended_there and time.monotonic() - self._begun < _SOON_SECS

    @property
    def limit(self) -> int:
        """How many sessions may be at work."""
        return self._allowance.limit

    def crowded(self) -> bool:
        """Record that the server refused a leased session something, perhaps for a limit; whether other sessions were at work,
        so that fewer will be from now on."""
        if self._leased < 2:
            return False
        self._allowance.refused(self._leased - 1)
        self._limited(self.limit)
        return True

    def worked(self) -> None:
        """Record that a leased session has done its work."""
        self._allowance.worked(self._leased)
        self._limited(self.limit)

    async def run(self, session: Session, work: Callable[[], _T]) -> _T:
        """Call ``work`` with a leased session in a thread. Raises as ``work``, and TransportLost where nothing moves for
        ``StallSecs``.

        A control connection that the server ends while others live costs only the work done over it (AttemptFailed). One that
        falls silent is taken for a broken link.
        """
        try:
            return await self._run_in_thread(session, work, self._login.stall_secs)
        except (FileRefused, AttemptFailed, NotAsLeft, SourceError) as exc:
            if session.control.spoilt:
                self._sessions.discard(session)
                session.control.cut()
                if not self._sessions and not self._opening:
                    self._end(TransportLost("the server's answers belong to no command"))
            if isinstance(exc, AttemptFailed) and self._closed.done():
                # This side cut the data connection, which says nothing about the attempt.
                raise TransportLost(_CLOSED) from exc
            raise
        except BaseException as exc:
            # Which request the session waits for is unknown now, so no other call may use it.
            self._sessions.discard(session)
            session.control.cut()
            if isinstance(exc, TransportLost):
                if session.control.ended and self._sessions and self._over is None:
                    await asyncio.sleep(_TOGETHER_SECS)  # where all connections end, the link is lost, not the attempt
                    if self._sessions and self._over is None:
                        words = f"one of several connections ended: {exc.cause}"
                        raise AttemptFailed(words, exc.remedy, step=exc.step, file=exc.file, server_text=exc.server_text) from exc
                self._ended_there = self._ended_there or session.control.ended
                self._end(exc)
            raise

    async def _run_in_thread(self, session: Session, work: Callable[[], _T], limit: float) -> _T:
        """Run ``work`` in a thread and wait for its end, its time limit or the close of the pool."""
        control, loop = session.control, asyncio.get_running_loop()
        result: asyncio.Future[_T] = loop.create_future()

        def tell(answer: Callable[[Any], None], value: Any) -> None:
            def resolve() -> None:
                if not result.done():
                    answer(value)

            with contextlib.suppress(RuntimeError):  # the loop is closed, so no call awaits the result
                loop.call_soon_threadsafe(resolve)

        def run() -> None:
            try:
                value = work()
            except BaseException as exc:  # noqa: BLE001 - the awaiting side must see every exception
                control.leave()
                tell(functools.partial(fail, result), exc)
            else:
                control.leave()
                tell(result.set_result, value)

        control.enter(limit)
        thread = threading.Thread(target=run, name="ftp-transport", daemon=True)
        thread.start()
        either: list[asyncio.Future[Any]] = [result, self._closed]
        try:
            while True:
                left = control.due - time.monotonic()
                if left <= 0:
                    raise TransportLost("a call to the server hangs")
                await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if result.done():
                    return result.result()
                if self._closed.done():
                    raise TransportLost(_CLOSED)
        except BaseException:
            if not result.done():
                result.cancel()
                control.cut()
                self._hung.append(thread)
            raise

    # --- turns

    async def _take(self) -> Session:
        while True:
            session = self._next_idle() if self._leased < self.limit else None
            if self._over is not None:
                raise TransportLost(str(self._over))
            if session is not None:
                return session
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            alone = self._sessions and time.monotonic() < self._alone_until
            if len(self._opening) < len(self._turns) and len(self._sessions) + len(self._opening) < self.limit and not alone:
                self._open_another()
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._wake()
                raise
            finally:
                with contextlib.suppress(ValueError):
                    self._turns.remove(turn)

    def _next_idle(self) -> Session | None:
        """The session used last, which is the likeliest to be alive."""
        while self._idle:
            session = self._idle.pop()
            if not session.control.is_over():
                return session
            self._sessions.discard(session)
            session.control.cut()
            if not self._sessions:
                self._ended_there = True
                self._end(TransportLost("the server closed the connection"))
        return None

    def _give_back(self, session: Session) -> None:
        if session in self._sessions:
            session.used_at = time.monotonic()
            self._idle.append(session)
            while self._idle[0].used_at < session.used_at - _IDLE_SECS:
                old = self._idle.pop(0)
                self._sessions.discard(old)
                old.control.send_quit()
        self._wake()

    def _wake(self) -> None:
        """Let the next waiting call try again."""
        for turn in self._turns:
            if not turn.done():
                turn.set_result(None)
                return

    def _end(self, why: TransportLost) -> None:
        """Lose every later call; calls in progress end by themselves."""
        if self._over is None:
            self._over = why
        for turn in self._turns:
            if not turn.done():
                turn.set_result(None)

    # --- more connections

    def _open_another(self) -> None:
        session = Session(self._login, self._known, self._pace, self._meter)
        task = asyncio.create_task(self._open(session))
        self._opening[task] = session
        task.add_done_callback(lambda done: self._opened(done, session))

    async def _open(self, session: Session) -> None:
        await self._run_in_thread(session, lambda: session.open(self._context), self._login.connect_secs)

    def _opened(self, task: asyncio.Task[None], session: Session) -> None:
        del self._opening[task]
        failed = None if task.cancelled() else task.exception()
        if failed is None and not task.cancelled() and not self._closed.done():
            self._sessions.add(session)
            self._allowance.worked(len(self._sessions))
            self._limited(self.limit)
            self._give_back(session)
            return
        session.control.cut()
        # The reason of the refusal does not matter: the open connections remain in use.
        if isinstance(failed, TransportError) and not self._closed.done():
            self._allowance.refused(max(1, len(self._sessions)))
            self._limited(self.limit)
        if not self._sessions and not self._opening:
            self._end(TransportLost(str(failed) if failed is not None else "no connection is left"))
        self._wake()
