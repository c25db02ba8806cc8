"""The signals of a program in the foreground: a signal is counted, and it ends a wait that is going on."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_STOPS = ("SIGTERM", "SIGINT")


class Signals:
    """As a context manager it counts SIGTERM and SIGINT in ``stops`` (the numbers of the signals, in their order) and notes a
    SIGHUP in ``hung_up``, which the caller resets.

    ``on_stop`` is called after each stop was counted, from the signal handler: an exception of ``on_stop`` is raised in the code
    that the signal has interrupted.
    """

    def __init__(self, on_stop: Callable[[], None] | None = None) -> None:
        self.stops: list[int] = []
        self.hung_up = False
        self._on_stop = on_stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        for name in (*_STOPS, "SIGHUP"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._heard)
        self._fd = signal.set_wakeup_fd(self._there.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._fd)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._here.close()
        self._there.close()

    def wait(self, secs: float) -> None:
        """Wait for ``secs`` seconds, or until a signal comes."""
        select.select([self._here], [], [], secs)
        with contextlib.suppress(BlockingIOError):
            self._here.recv(4096)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if number not in (signal.SIGTERM, signal.SIGINT):
            self.hung_up = True
            return
        self.stops.append(number)
        if self._on_stop is not None:
            self._on_stop()
