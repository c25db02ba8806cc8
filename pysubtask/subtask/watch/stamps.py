"""The stamps that decide what is due: of files as they are, of their last snapshots, and of handled notifies."""

from __future__ import annotations

from collections.abc import Callable

from ...common.notify import Stamp, hold_name, notify_name
from .due import Known


class Stamps:
    """``known``: the stamps of earlier snapshots. ``read``: the stamp of a file now, None where there is none; it may raise
    OSError."""

    def __init__(self, known: Known, read: Callable[[str], Stamp | None]) -> None:
        self._known = known
        self._read = read
        self._handled: dict[str, Stamp] = {}

    def read(self, path: str) -> Stamp | None:
        """The stamp of a file; None where there is none. Raises OSError."""
        return self._read(path)

    def of(self, path: str) -> Stamp | None:
        """The stamp of a file; None where it is missing or cannot be read."""
        try:
            return self._read(path)
        except OSError:
            # No access, or a disk or server that does not answer: the file is unknown for now, and read again later.
            return None

    def source(self, path: str) -> Stamp | None:
        """The stamp a data file had at its last snapshot; None where there was none."""
        return self._known.source(path)

    def handled(self, signal: str) -> Stamp | None:
        """The last handled stamp of a notify or hold file; None where there was none."""
        return self._handled.get(signal) or self._known.handled(signal)

    def handled_in_queue(self, signal: str) -> Stamp | None:
        """The same, as far as the queue has it."""
        return self._known.handled(signal)

    def set_handled(self, signal: str, stamp: Stamp) -> None:
        """Count this stamp of a notify or hold file as handled, also while the queue does not tell so yet."""
        self._handled[signal] = stamp

    def follow_queue(self, path: str) -> None:
        """Forget what :meth:`set_handled` noted of the notify and hold file of this data file, where the queue tells the same."""
        for signal in (notify_name(path), hold_name(path)):
            if signal in self._handled and self._known.handled(signal) == self._handled[signal]:
                del self._handled[signal]
