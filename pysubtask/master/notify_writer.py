"""The master's stamps: written at once where that is possible, else kept and written as soon as it is."""

from __future__ import annotations

import logging
import os

from ..common.notify import Toucher
from ..common.place import is_in


class Stamps:
    """Touches notify files. A touch that fails (disk full, folder gone) is kept in memory and tried again."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._toucher = Toucher()
        self.waiting: dict[str, None] = {}
        """The files that wait for their stamp."""
        self.closed = ""
        """A folder that must not be written now: stamps in it wait. '': none."""

    def is_closed(self, notify: str) -> bool:
        """Whether this notify file must not be written now."""
        return bool(self.closed) and is_in(notify, self.closed)

    def __len__(self) -> int:
        """How many files wait for their stamp."""
        return len(self.waiting)

    def stamp(self, notify: str) -> bool:
        """Touch this notify file; False where it has to wait. Never raises, logs each outage of a folder once."""
        if self.closed and self.is_closed(notify):
            self.waiting[notify] = None
            return False
        try:
            self._toucher.touch(notify)
        except (OSError, ValueError) as exc:
            folder = os.path.dirname(notify)
            if not any(os.path.dirname(known) == folder for known in list(self.waiting)):
                self._logger.error("Notify file [%s] cannot be written (%s): it is tried again.", notify, exc)
            self.waiting[notify] = None
            return False
        if self.waiting:
            self._written(notify)
            self.again()
        return True

    def again(self) -> None:
        """Write the stamps that wait; the first that fails ends the round, so that a long outage stays cheap."""
        for notify in list(self.waiting):
            if self.is_closed(notify):
                continue
            try:
                self._toucher.touch(notify)
            except (OSError, ValueError):
                # To the end of the queue: a file that can never be written does not hold up the others.
                self.waiting.pop(notify, None)
                self.waiting[notify] = None
                return
            self._written(notify)

    def _written(self, notify: str) -> None:
        if notify in self.waiting:
            self.waiting.pop(notify, None)
            if not self.waiting:
                self._logger.info("All notify files are written again.")
