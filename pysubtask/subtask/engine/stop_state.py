"""Whether a child has to end, how soon, and why."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from .guarded import take_start


class StopState:
    """``is_orphan``: the master is gone. ``requested_by``: who requested the stop, '' for a signal. ``wake`` is called after each
    signal; it must be fit for a signal handler."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.guard = 0
        """The process id of the child's guard while that lives; 0 where there is none."""
        self._count = 0
        self.is_orphan = False
        self.requested_by = ""

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._count > 0

    @property
    def is_hurried(self) -> bool:
        """Whether a second stop was requested: nothing is waited for then."""
        return self._count > 1

    @property
    def reason(self) -> str:
        """Why the child ends, for the status page."""
        if self.is_orphan:
            return "the master is gone"
        return f"stopped by {self.requested_by}" if self.requested_by else "stop was asked for"

    def listen(self) -> None:
        """Install the handlers for stop signals; one that came while the process was starting is handled now."""
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        start = take_start()
        self.guard = start.guard
        if start.is_stopped:
            self.end_begins()

    def request(self, who: str) -> None:
        """A person requested the stop."""
        self.requested_by = who
        self.end_begins()

    def end_begins(self) -> None:
        """The child ends: any further signal is a request to end at once."""
        self._count = max(1, self._count)

    def hurry(self) -> None:
        """End without waiting for anything, nor for the next tick."""
        self._count = 2
        self._wake()

    def _on_signal(self, number: int, frame: object) -> None:
        if self.guard and os.getppid() != self.guard:
            self.guard = 0  # by this signal the kernel tells that it is gone: the tick finds out whether the master is gone, too
        else:
            self._count += 1
        self._wake()
