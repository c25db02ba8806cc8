"""The only wait of the child's main thread, and what ends it."""

from __future__ import annotations

from ..wake_event import WakeEvent


class Alarm:
    """``is_tick_due``: whether a tick was asked for, before its time, since the last one began."""

    def __init__(self) -> None:
        self._event = WakeEvent()
        self.is_tick_due = False

    def tick_soon(self) -> None:
        """End the wait for a tick; from any thread."""
        self.is_tick_due = True
        self._event.set()

    def ring(self) -> None:
        """End the wait, so that its reason is found out; from any thread or signal handler."""
        self._event.set()

    def tick_begins(self) -> None:
        """A tick begins: what was asked for before is done by it."""
        self.is_tick_due = False

    def wait(self, secs: float) -> None:
        """Sleep up to ``secs`` seconds."""
        self._event.wait(secs)

    def close(self) -> None:
        """Nothing waits any more."""
        self._event.close()
