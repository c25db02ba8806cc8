"""An event loop whose waits take no time: each moves a clock of its own."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Jump(selectors.DefaultSelector):
    """A selector that never waits: a wait moves the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise RuntimeError("everything waits for something that never comes")
            self.now += max(0.0, timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time`` is the virtual time, in seconds."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """The virtual time."""
        return self._jump.now

    def wait(self, secs: float) -> None:
        """Move the clock, as a wait does."""
        self._jump.now += secs
