"""The process of one or more daemons: signals, the rounds of their loops, and an end for each of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ..common.errors import PysubtaskError
from .life import HookError, Hurry, Life

STOP_SECS = 1.5
"""Seconds that a loop may take to see that it shall end; then it is interrupted where it is."""
_STEP_SECS = 0.1
_INTERRUPTED = 130


class Host:
    """Runs these lives in one process, on the thread that calls ``run``; one that ends, or fails, ends no other. ``say``: tells a
    service manager lines such as ``READY=1``; ``watchdog_secs``: within which it wants to hear ``WATCHDOG=1``."""

    def __init__(self, lives: Sequence[Life], say: Callable[..., None] | None = None, watchdog_secs: float | None = None) -> None:
        self._lives = list(lives)
        self._say = say or (lambda *_: None)
        self._ping_secs = watchdog_secs / 3 if watchdog_secs else None
        self._next_ping = 0.0
        self._error: HookError | None = None
        self._signals: list[int] = []
        self._hurry = False

    def run(self) -> int:
        """From setup to cleanup; the exit status. AlreadyRunning where a name runs already; HookError, of the first that failed,
        when all have ended."""
        for number, life in enumerate(self._lives):
            try:
                life.take()
            except PysubtaskError:
                for other in self._lives[:number]:
                    other.release()
                raise
        if len(self._lives) == 1:
            _set_title(self._lives[0].name)
        alive: list[Life] = []
        with self._handled_signals():
            try:
                for life in self._lives:
                    if self._begins(life):
                        alive.append(life)
                if alive:
                    self._say("READY=1", f"STATUS={', '.join(life.name for life in alive)}")
                self._go_round(alive)
            finally:  # whatever has come up, such as a second Ctrl-C: each is ended once
                for life in alive:
                    self._end(life)
                for life in self._lives:
                    life.release()
                self._say("STOPPING=1")
        if self._error is not None:
            raise self._error
        return _INTERRUPTED if self._signals[:1] == [signal.SIGINT] else 0

    def _ping(self, left: float) -> float:
        """Tell the watchdog that the loops go round; how long to wait, ``left`` at most."""
        if self._ping_secs is None:
            return left
        if time.monotonic() >= self._next_ping:
            self._next_ping = time.monotonic() + self._ping_secs
            self._say("WATCHDOG=1")
        return min(left, self._ping_secs)

    def _go_round(self, alive: list[Life]) -> None:
        """Let the loops go round until all have ended; each that has is taken from the list."""
        due = dict.fromkeys(alive, 0.0)
        while alive:
            for life in list(alive):
                if not life.stopping.is_set() and time.monotonic() < due[life]:
                    continue
                if self._goes_on(life):
                    due[life] = time.monotonic() + life.loop_secs
                else:
                    alive.remove(life)
                    self._end(life)
            if alive:
                left = self._ping(max(0.0, min(due[life] for life in alive) - time.monotonic()))
                alive[0].stopping.wait(left if len(alive) == 1 else min(left, _STEP_SECS))

    def _begins(self, life: Life) -> bool:
        try:
            if life.begin():
                return True
        except HookError as exc:
            self._note(life, exc)
        except BaseException:  # such as a full disk: what was begun is ended all the same
            self._end(life)
            raise
        self._end(life)
        return False

    def _goes_on(self, life: Life) -> bool:
        if life.stopping.is_set():
            return False
        try:
            return life.go_round()
        except HookError as exc:
            self._note(life, exc)
            return False

    def _end(self, life: Life) -> None:
        try:
            life.end()
        except HookError as exc:
            self._note(life, exc)

    def _note(self, life: Life, exc: HookError) -> None:
        life.fail(exc)
        self._error = self._error or exc

    # ---- signals

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end all loops; a second Ctrl-C interrupts what runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reader, writer = os.pipe()

        def handle(number: int, _frame: object) -> None:
            looping = next((life for life in self._lives if life.in_loop), None)
            if self._hurry and looping is not None:
                looping.in_loop = False
                raise Hurry
            if number == signal.SIGINT and self._signals:
                raise KeyboardInterrupt
            # Nothing that takes a lock: the main thread may be holding it.
            self._signals.append(number)
            os.write(writer, b"s")

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        over = threading.Event()
        listens = threading.Thread(target=self._listen, args=(reader,), name="signals", daemon=True)
        listens.start()
        for life in self._lives:
            threading.Thread(target=self._hasten, args=(life, over), name="hasten", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writer)
            listens.join()
            os.close(reader)

    def _listen(self, reader: int) -> None:
        """Stop all when a signal has come; ends with the other end of the pipe."""
        while os.read(reader, 16):
            for life in self._lives:
                life.stopping.set()

    def _hasten(self, life: Life, over: threading.Event) -> None:
        """Interrupt a loop that does not end by itself, by a signal to the main thread."""
        life.stopping.wait()
        if not over.wait(STOP_SECS) and life.in_loop and hasattr(signal, "pthread_kill"):
            self._hurry = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _set_title(name: str) -> None:
    """Have ps and top show the name, the first 15 signs of it: prctl(PR_SET_NAME) of Linux. Elsewhere the title stays."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(15, name.encode("ascii", "replace")[:15] + b"\0", 0, 0, 0)
