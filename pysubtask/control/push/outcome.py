"""What became of each file of a push, and the display that is told of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ...transports.base import Sent


class Outcome(NamedTuple):
    """What became of the file ``path`` with the remote ``name``. ``sent``: the delivery, None where there was none; ``error``
    says why. ``there``: the server had the file from an earlier run or attempt."""

    path: str
    name: str
    sent: Sent | None
    error: str = ""
    there: bool = False


class Show(Protocol):
    """The display of a push."""

    def begin(self, name: str, size: int) -> None:
        """An upload attempt of the file with the remote ``name`` starts; ``size`` in bytes."""

    def progress(self, name: str, done: int) -> None:
        """``done`` bytes of the file with the remote ``name`` are sent."""

    def end(self, outcome: Outcome) -> None:
        """The file is delivered, or given up."""

    def note(self, text: str) -> None:
        """A line for the user: why an attempt failed, and when the next one is."""
