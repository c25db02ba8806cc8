"""Lines of a log that not every app wants: as JSON, and as systemd's journal takes them."""

from __future__ import annotations

import json
import logging
import os

from .events import utc
from .redact import redacted

VARIABLE = "JOURNAL_STREAM"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: at (UTC), level, task, who, pid, message, and trace where there is one."""

    def __init__(self, logger_name: str, task: str, longest: int | None) -> None:
        super().__init__()
        head, _, pid = logger_name.rpartition(".")
        self._who = head if pid.isdecimal() and head else logger_name
        self._task, self._longest = task, longest

    def format(self, record: logging.LogRecord) -> str:
        """The object of a line, without known secrets from WARNING on."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            message = redacted(message)
        found = {
            "at": utc(record.created),
            "level": record.levelname.lower(),
            "task": self._task,
            "who": self._who,
            "pid": record.process,
            "message": message.encode("utf-8", "backslashreplace").decode("utf-8"),
        }
        if record.exc_info:
            found["trace"] = redacted(self.formatException(record.exc_info))
        line = json.dumps(found)
        # Cut, it is an object still: the trace goes first, then the end of the message.
        while self._longest is not None and len(line) > self._longest and found.get("message"):
            if found.pop("trace", None) is None:
                found["message"] = str(found["message"])[: len(str(found["message"])) * 3 // 4]
            line = json.dumps(found)
        return line


class JournalFormatter(logging.Formatter):
    """Lines for the journal, which has a time of its own: the priority before each, as in sd-daemon(3)."""

    _PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The text with ``<3>`` (error) to ``<7>`` (debug) before each of its lines."""
        priority = next((number for level, number in self._PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in self._inner.format(record).split("\n"))


def is_journal(stream: object) -> bool:
    """Whether what is written to this stream goes to systemd's journal: ``JOURNAL_STREAM`` names its device and inode
    (systemd.exec(5))."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return False
    try:
        found = os.fstat(stream.fileno())  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return False
    return named == f"{found.st_dev}:{found.st_ino}"
