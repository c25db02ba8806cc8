"""Logs: one logger for each instance, one format for all, and a log call that never hurts its caller."""

from __future__ import annotations

import itertools
import logging
import os
import select
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypedDict

    # For type checkers alone: creating a TypedDict is slow, and every app that imports this package would pay for it.
    class LogOptions(TypedDict):
        """The settings of a log, as ``setup_logging`` takes them: ``form`` (``LogFormat``), ``max_bytes`` (``LogMaxBytes``) and
        ``keep`` (``LogKeep``), how many old files are kept."""

        form: str
        max_bytes: int
        keep: int


_LINE = "%(asctime)s [%(logger_name)s]: %(levelname)s: %(message)s"
_JOURNAL_LINE = "[%(logger_name)s]: %(message)s"
_CONSOLE_LINE = 1000  # characters: at most 4,000 bytes in UTF-8, which a ready pipe takes whole (PIPE_BUF)
_JOURNAL_VARIABLE = "JOURNAL_STREAM"
_numbers = itertools.count(1)


def is_output(number: int) -> bool:
    """Whether a descriptor is an output that this process was given. A file that an app opened after it had closed its outputs, as
    a daemon does, has the number of one: it is the app's own, and like all that Python opens it is not inherited (PEP 446)."""
    try:
        return number > 2 or os.get_inheritable(number)
    except OSError:
        return False


class _Console(logging.StreamHandler):  # type: ignore[type-arg]
    """Never waits: where stderr is a pipe without a reader, or a terminal that was stopped, the line is dropped."""

    dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += 1

    def emit(self, record: logging.LogRecord) -> None:
        if self._takes_a_line():
            super().emit(record)
        else:
            self.dropped += 1

    def _takes_a_line(self) -> bool:
        if not hasattr(select, "poll"):
            return True
        try:
            number = self.stream.fileno()
            if not is_output(number):
                return False
            if sys.platform == "win32":
                return True
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            return bool(poll.poll(0))
        except (OSError, ValueError, AttributeError):
            return True  # no descriptor behind it: an app's own object, a test's


class _Text(logging.Formatter):
    """``2026-11-21 20:37:10.205 [base.BaseSubtask.18205]: INFO: text``, local time, 24 hours. A line of more than
    ``longest`` characters is cut."""

    def __init__(self, logger_name: str, longest: int | None, line: str = _LINE) -> None:
        super().__init__(line, defaults={"logger_name": logger_name})
        self._longest = longest

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"{clock}.{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A file name may hold a line feed: the rest must not pass for a line of the log.
        record.message = _line(_masked(record.message) if record.levelno >= logging.WARNING else record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(line for part in traceback.format_exception(*ei) for line in _trace_lines(_masked(part)))

    def format(self, record: logging.LogRecord) -> str:
        # A file name may hold bytes that are no UTF-8; the line is written all the same.
        return super().format(record).encode("utf-8", "backslashreplace").decode("utf-8")[: self._longest]


def _line(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    from .plain import one_line

    return one_line(text)


def _masked(text: str) -> str:
    from .redact import redacted

    return redacted(text)


def _trace_lines(part: str) -> Iterator[str]:
    """The lines of a frame or an error of a traceback. An error may quote a text with a line feed: the rest is
    indented, so that it cannot pass for a line of the log."""
    between = part.startswith("\n")  # "During handling of ..."
    for number, line in enumerate(part.removesuffix("\n").split("\n")):
        yield _line(line if number == 0 or between or line.startswith(" ") else f"    {line}")


def _formatter(name: str, task: str, form: str, *, console: bool) -> logging.Formatter:
    # A pipe that is ready takes 4096 bytes without waiting (POSIX, PIPE_BUF), not more.
    longest = _CONSOLE_LINE if console else None
    if form != "json" and not (console and _JOURNAL_VARIABLE in os.environ):
        return _Text(name, longest)
    from . import log_lines

    journal = console and log_lines.is_journal(sys.stderr)
    inner = (
        log_lines.JsonFormatter(name, task, longest)
        if form == "json"
        else _Text(name, longest, _JOURNAL_LINE if journal else _LINE)
    )
    return log_lines.JournalFormatter(inner) if journal else inner


class _Logger(logging.Logger):
    """A logger outside of the tree of loggers: an app that configures its own logging does not silence it by accident."""

    def findCaller(self, stack_info: bool = False, stacklevel: int = 1) -> tuple[str, int, str, str | None]:
        # No format here has the place in the code, and finding that place is half of the cost of a line.
        return ("pysubtask", 0, "", None) if not stack_info else super().findCaller(stack_info, stacklevel + 1)

    def isEnabledFor(self, level: int) -> bool:
        # The inherited one remembers its answers and would not hear of a later setLevel.
        return level >= self.level and level > self.manager.disable


def setup_logging(
    name: str,
    file: str | None,
    to_console: bool,
    *,
    task: str = "",
    form: str = "text",
    max_bytes: int = 0,
    keep: int = 1,
    own_output: bool = False,
    own_process: bool = False,
) -> logging.Logger:
    """A logger of its own for one master or child.

    ``name`` is the text in the brackets, by custom module.Class.pid. ``file`` is a path whose folders
    are made, or None; ``to_console`` adds stderr, in the journal's own form where that is the journal. ``form`` is
    'text' or 'json', ``task`` what a JSON line says of it. ``max_bytes``, ``keep``, ``own_output``,
    ``own_process``: see ``LogFile``.

    Two calls never share a logger, so no line is written
    twice. A file that cannot be opened costs one warning, and warnings then go to stderr in any case. No
    call of the logger raises or prints because of a full disk or a closed stream; ``dropped_lines``
    counts what was lost.
    """
    logger = _Logger(f"pysubtask.{name}.{next(_numbers)}", logging.INFO)
    logger.propagate = False
    problem: OSError | None = None
    if file is not None:
        from .log_file import LogFile

        try:
            logger.addHandler(LogFile(file, max_bytes, keep, own_output=own_output, own_process=own_process))
            logger.handlers[-1].setFormatter(_formatter(name, task, form, console=False))
        except OSError as exc:
            problem = exc
    if sys.stderr is not None and (to_console or problem is not None):
        console = _Console(sys.stderr)
        console.setLevel(logging.NOTSET if to_console else logging.WARNING)
        console.setFormatter(_formatter(name, task, form, console=True))
        logger.addHandler(console)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    if problem is not None:
        logger.warning("Log file [%s] cannot be written (%s): logging to the console only.", file, problem.strerror)
    return logger


def info_each(logger: logging.Logger, text: str, rows: Iterable[tuple[object, ...]], kind: str) -> None:
    """``logger.info(text, *row)`` for each of many rows, cheaper: they are one moment's, and a file gets them in few writes.
    Where lines of this ``kind`` come fast, most are counted (see :mod:`.line_rate`)."""
    from .line_rate import each

    if not logger.isEnabledFor(logging.INFO):
        return
    first, records = logger.makeRecord(logger.name, logging.INFO, "pysubtask", 0, text, (), None, extra=each(kind)), []
    for row in rows:
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(first.__dict__, args=row)
        if logger.filter(record):
            records.append(record)
    for handler in logger.handlers:
        if handler.level > logging.INFO:
            continue
        if (handle_all := getattr(handler, "handle_all", None)) is not None:
            handle_all(records)
        else:
            for record in records:
                handler.handle(record)


def log_options(settings: Mapping[str, Any]) -> LogOptions:
    """The resolved settings LogFormat, LogMaxBytes and LogKeep."""
    return {"form": settings["LogFormat"], "max_bytes": settings["LogMaxBytes"], "keep": settings["LogKeep"]}


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


def follow(logger: logging.Logger) -> None:
    """Have its file be the one that has the name now, see ``LogFile.follow``; called now and then where nothing is logged."""
    for handler in logger.handlers:
        found = getattr(handler, "follow", None)
        if found is not None:
            found()


def dropped_lines(logger: logging.Logger) -> int:
    """How many lines could not be written since the logger was made (each place counts its own)."""
    return sum(getattr(handler, "dropped", 0) for handler in logger.handlers)
