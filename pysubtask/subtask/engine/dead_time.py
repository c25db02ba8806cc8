"""How long nothing was notified."""

from __future__ import annotations

from collections.abc import Callable


class DeadTime:
    """``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()

    def restart(self) -> None:
        """A file was notified."""
        self._since = self._clock()

    def millis(self) -> float:
        """Milliseconds since the last notify, or since the start."""
        return (self._clock() - self._since) * 1000
