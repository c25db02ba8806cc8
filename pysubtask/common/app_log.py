"""An app's own logging tree as the place of our lines: those of the master at once, those of a child by a file in its state folder.

The child appends each line as a JSON object to ``log_lines.jsonl``, which the master reads on its way through the app's calls.
Levels are kept; a line of which there is one for each notify is counted as :mod:`.line_rate` does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import traceback
from datetime import datetime

from . import own_files
from .line_rate import IN_THE_APP, LineRate, kind_of
from .log_lines import JsonFormatter
from .state_files import LOG_LINES

FILE = LOG_LINES
ROTATE_BYTES = 1024 * 1024  # the file is read within seconds; this bounds it where no master reads
_PIECE = 64 * 1024  # bytes of one read: some hundred lines, so that a call of the app stays short
_IN_DETAIL = frozenset(("copied", "burst"))
"""Of what an upload does the app hears when it is done; of its steps only where it asks for everything."""


def rate(logger: logging.Logger) -> logging.Filter:
    """The filter of a handler that leads to an app: ``logger`` is the master's or child's own."""
    return _InTheApp(logger)


class _InTheApp(LineRate):
    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(IN_THE_APP, lambda: logger.level <= logging.DEBUG)
        self._logger = logger

    def filter(self, record: logging.LogRecord) -> bool:
        if kind_of(record) in _IN_DETAIL and self._logger.level > logging.DEBUG:
            return False
        return super().filter(record)


def level_of(record: logging.LogRecord) -> int:
    """A line that is only there because everything was asked for is one of DEBUG."""
    return logging.DEBUG if kind_of(record) in _IN_DETAIL else record.levelno


class ToApp(logging.Handler):
    """Of the master's logger: hands each line to a logger of the app. Errors of the app's handlers stop nothing here."""

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self._target = target
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Give the line to the app's logger. Never raises: a line that cannot be given is counted in ``dropped``."""
        try:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else None
            give(self._target, level_of(record), record.getMessage(), record.created, record.process, trace)
        except Exception:  # noqa: BLE001 - a log call never hurts its caller
            self.dropped += 1


def give(target: logging.Logger, level: int, message: str, created: float, process: int | None, trace: str | None = None) -> None:
    """Hand one line to a logger of the app, where its level is shown; ``created``: seconds since the epoch."""
    from .plain import one_line
    from .redact import redacted

    if not target.isEnabledFor(level):
        return
    record = target.makeRecord(target.name, level, "pysubtask", 0, one_line(redacted(message)), (), None, "")
    record.created, record.msecs, record.process = created, int(created % 1 * 1000), process
    record.exc_text = None if trace is None else redacted(trace)
    target.handle(record)


class LineFile(logging.Handler):
    """Of a child's logger: appends each line to the file in its state folder. ``dropped`` counts those that cannot be written."""

    def __init__(self, state_dir: str, logger_name: str, task: str) -> None:
        super().__init__()
        self._state_dir = state_dir
        self.dropped = 0
        self.setFormatter(JsonFormatter(logger_name, task, None))

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line. Never raises: a line that cannot be written is counted in ``dropped``."""
        try:
            found = logging.makeLogRecord(record.__dict__ | {"levelname": logging.getLevelName(level_of(record))})
            line = self.format(found).encode("ascii") + b"\n"
            handle = own_files.open_append(self._state_dir, FILE)
            try:
                size = os.fstat(handle).st_size
                os.write(handle, line)
            finally:
                os.close(handle)
            if size + len(line) > ROTATE_BYTES:
                own_files.rename(self._state_dir, FILE, FILE + ".1")
        except Exception:  # noqa: BLE001 - whatever it is, the caller's work is worth more than a line of its log
            self.dropped += 1


class LineReader:
    """The master's end: gives what a child has written since to a logger of the app. It begins behind what is there."""

    def __init__(self, state_dir: str, target: logging.Logger) -> None:
        self.state_dir = state_dir
        self._target = target
        self._place = (0, 0)  # inode and offset
        with contextlib.suppress(OSError):
            found = os.stat(os.path.join(state_dir, FILE))
            self._place = (found.st_ino, found.st_size)

    def read(self, *, everything: bool = False) -> None:
        """Give on what is there: at most some hundred lines, the rest with the next call; ``everything``: all of it."""
        with contextlib.suppress(OSError):
            while self._step() and everything:
                pass

    def _step(self) -> int:
        if os.stat(os.path.join(self.state_dir, FILE)).st_ino != self._place[0]:
            # Put aside: what is left of the one before comes first.
            with contextlib.suppress(OSError):
                if os.stat(os.path.join(self.state_dir, FILE + ".1")).st_ino == self._place[0]:
                    taken = self._take(FILE + ".1")
                    if taken:
                        return taken
            self._place = (os.stat(os.path.join(self.state_dir, FILE)).st_ino, 0)
        return self._take(FILE)

    def _take(self, name: str) -> int:
        with os.fdopen(own_files.open_read(self.state_dir, name), "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            at = self._place[1] if self._place[0] == inode else 0
            file.seek(at)
            data = file.read(_PIECE)
        # A line that is being written has no end yet; one longer than a piece is none of this package's.
        whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == _PIECE else 0)
        self._place = (inode, at + whole)
        for line in data[:whole].splitlines():
            self._give(line)
        return whole

    def _give(self, line: bytes) -> None:
        try:
            found = json.loads(line)
            level = logging.getLevelNamesMapping()[found["level"].upper()]
            created = datetime.fromisoformat(found["at"]).timestamp()
            message, process, trace = str(found["message"]), int(found["pid"]), found.get("trace")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # torn
        try:
            give(self._target, level, message, created, process, trace if isinstance(trace, str) else None)
        except Exception:  # noqa: BLE001 - a handler of the app must not end its timer
            return
