"""Log lines of which there is one for each notify: where they come fast, most are counted and one line tells how many.

An app that notifies ten times a second would have 1.7 million lines a day otherwise. ``LogLevel`` 'debug' writes all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping

SUM_SECS = 60.0
"""Seconds after which one line reports how many lines were held back, or sooner where no more come."""
IN_A_FILE = (30, 5.0)
"""Lines of a kind that are written in a row, and seconds of quiet after which they are written again; in between they are
counted, until no more than that number came in SUM_SECS."""
IN_THE_APP = (1, 1.0)
"""The same for the logging tree of an app: a line within a second of the one before is counted."""
_KIND = "pysubtask_kind"


def each(kind: str) -> Mapping[str, str]:
    """``extra`` of a line of which there is one for each notify; lines of one kind are counted together."""
    return {_KIND: kind}


def kind_of(record: logging.LogRecord) -> str:
    """The kind of such a line, '' for any other."""
    return str(getattr(record, _KIND, ""))


class _Kind:
    """The lines of one kind. Times are monotonic seconds."""

    def __init__(self, free: int) -> None:
        self.left = free
        self.last = float("-inf")
        self.held = 0
        self.first_held = 0.0
        self.sample = ""


class LineRate(logging.Filter):
    """Filter of one handler. ``show_all``: asked whether every line is wanted."""

    def __init__(self, rule: tuple[int, float], show_all: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._free, self._quiet = rule
        self._show_all = show_all
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written now; one that is not is counted."""
        kind = kind_of(record)
        if not kind or self._show_all():
            return True
        now = self._clock()
        found = self._kinds.setdefault(kind, _Kind(self._free))
        if now - found.last >= self._quiet:
            found.left = self._free
        found.last = now
        if found.left > 0:
            found.left -= 1
            return True
        if not found.held:
            found.first_held = now
        found.held += 1
        found.sample = record.getMessage()
        return False

    def sums(self, name: str, *, everything: bool = False) -> Iterator[logging.LogRecord]:
        """The lines that report how many were held back, where one is due; ``everything``: all, due or not."""
        now = self._clock()
        for found in list(self._kinds.values()):
            secs = now - found.first_held
            if not found.held or not (everything or secs >= SUM_SECS or now - found.last >= self._quiet):
                continue
            text, count = "[%d] more lines in [%.0f] secs, the last one: %s", found.held
            if count <= self._free:
                found.left = self._free
            found.held = 0
            yield logging.LogRecord(name, logging.INFO, "pysubtask", 0, text, (count, max(1.0, secs), found.sample), None)


def limit(logger: logging.Logger) -> None:
    """From now on the handlers of this logger have such a filter."""
    for handler in logger.handlers:
        handler.addFilter(LineRate(IN_A_FILE, lambda: logger.level <= logging.DEBUG))


def tell_sums(logger: logging.Logger, *, everything: bool = False) -> None:
    """Write the lines that report how many were held back, where one is due; called now and then."""
    for handler in list(logger.handlers):
        for found in [one for one in handler.filters if isinstance(one, LineRate)]:
            for record in found.sums(logger.name, everything=everything):
                handler.handle(record)
