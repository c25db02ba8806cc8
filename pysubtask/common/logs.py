"""Logs: one logger for each instance, and a log call that never hurts its caller."""

from __future__ import annotations

import itertools
import logging
import os
import select
import sys
import time

_LINE = "%(asctime)s [%(shown)s]: %(levelname)s: %(message)s"
_CONSOLE_LINE = 1000
_numbers = itertools.count(1)


class _Quiet:
    """What both handlers share: a line that cannot be written is dropped and counted, never raised or printed."""

    dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += 1


class _File(_Quiet, logging.FileHandler):
    pass


class _Console(_Quiet, logging.StreamHandler):  # type: ignore[type-arg]
    """Never waits: where stderr is a pipe that nobody reads, or a terminal that was stopped, the line is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        if self._takes_a_line():
            super().emit(record)
        else:
            self.dropped += 1

    def format(self, record: logging.LogRecord) -> str:
        # A pipe that is ready takes 4096 bytes without waiting (POSIX, PIPE_BUF), not more.
        return super().format(record)[:_CONSOLE_LINE]

    def _takes_a_line(self) -> bool:
        if not hasattr(select, "poll"):
            return True
        try:
            poll = select.poll()
            poll.register(self.stream.fileno(), select.POLLOUT)
            return bool(poll.poll(0))
        except (OSError, ValueError, AttributeError):
            return True  # no descriptor behind it: an app's own object, a test's


class _Formatter(logging.Formatter):
    """``2026-11-21 20:37:10.205 [base.BaseSubtask.18205]: INFO: text``, local time, 24 hours."""

    def __init__(self, shown: str) -> None:
        super().__init__(_LINE, defaults={"shown": shown})

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"{clock}.{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A file name may hold a line feed: it must not look like a line of the log.
        record.message = record.message.replace("\n", "\\n").replace("\r", "\\r")
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        # A file name may hold bytes that are no UTF-8; the line is written all the same.
        return super().format(record).encode("utf-8", "backslashreplace").decode("utf-8")


class _Logger(logging.Logger):
    """Belongs to nobody's tree: an app that configures its own logging does not silence it by the way."""

    def isEnabledFor(self, level: int) -> bool:
        # The inherited one remembers its answers and would not hear of a later setLevel.
        return level >= self.level and level > self.manager.disable


def setup_logging(name: str, file: str | None, to_console: bool) -> logging.Logger:
    """A logger of its own for one master or child.

    ``name`` is what stands in the brackets, by custom module.Class.pid. ``file`` is a path whose folders
    are made, or None; ``to_console`` adds stderr. Two calls never share a logger, so no line is written
    twice. A file that cannot be opened costs one warning, and warnings then go to stderr in any case. No
    call of the logger raises or prints because of a full disk or a closed stream; ``dropped_lines``
    counts what was lost.
    """
    logger = _Logger(f"pysubtask.{name}.{next(_numbers)}", logging.INFO)
    logger.propagate = False
    formatter = _Formatter(name)
    problem: OSError | None = None
    handlers: list[logging.Handler] = []
    if file is not None:
        try:
            os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
            handlers.append(_File(file, encoding="utf-8"))
        except OSError as exc:
            problem = exc
    if sys.stderr is not None and (to_console or problem is not None):
        handlers.append(_Console(sys.stderr))
        handlers[-1].setLevel(logging.NOTSET if to_console else logging.WARNING)
    for handler in handlers or [logging.NullHandler()]:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    if problem is not None:
        logger.warning("Log file [%s] cannot be written (%s): logging to the console only.", file, problem.strerror)
    return logger


def set_level(logger: logging.Logger, word: str) -> None:
    """Show what is of this level or above: 'debug', 'info', 'warning' or 'error'."""
    logger.setLevel(word.upper())


def close_logging(logger: logging.Logger) -> None:
    """Close what ``setup_logging`` opened; the logger may still be called and writes nothing."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        try:
            handler.close()
        except (OSError, ValueError):
            continue  # its last line met a full disk: dropped like any other
    logger.addHandler(logging.NullHandler())


def dropped_lines(logger: logging.Logger) -> int:
    """How many lines could not be written since the logger was made (each place counts its own)."""
    return sum(handler.dropped for handler in logger.handlers if isinstance(handler, _Quiet))
