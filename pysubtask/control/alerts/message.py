"""The input of the user's program: a JSON object on stdin, and the same in environment variables. Pure.

A message contains no secret: its texts are those of ``status``, and pass through the filter for all errors (``redacted``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.events import utc
from ...common.plain import plain
from ...common.redact import redacted
from ...common.text import span
from ..view.task_status import TaskStatus
from .incident import BEGINS, LASTS, OVER

TEST = "test"
EVENTS = (BEGINS, LASTS, OVER, TEST)
PREFIX = "ALERT_"
_VERSION = 1
_COUNTS = ("waiting", "sending", "parked")
_LONGEST = 2000
"""The limit of a text in characters, as the system limits the environment of a program."""


class Message(NamedTuple):
    """``event``: one of EVENTS. ``kind``: one of KINDS. ``task``: the label of the task. ``extension``: the child, "ftp" or
    "dropbox". ``destination``: its server. ``host``: the name of this machine. ``since``: when the condition began; ``at``:
    when the task was read; both in seconds since the epoch. ``why`` and ``remedy``: sentences, as ``status`` shows them.
    ``counts``: how many files are waiting, sending, parked, not_copied and delivered. ``oldest``: since when the oldest file
    waits (UTC), '' where none does."""

    event: str
    kind: str
    task: str
    extension: str
    destination: str
    host: str
    since: float
    at: float
    why: str
    remedy: str
    counts: Mapping[str, int]
    oldest: str = ""

    @property
    def subject(self) -> str:
        """One line: the machine, the task, the condition and its duration."""
        lasted = span(max(0.0, self.at - self.since))
        phrase = {
            BEGINS: self.kind,
            LASTS: f"still {self.kind}, for {lasted}",
            OVER: f"no longer {self.kind}, after {lasted}",
            TEST: "this is a test",
        }[self.event]
        return _line(f"pysubtask on {self.host}: {self.task}/{self.extension}: {phrase}")

    def fields(self) -> dict[str, Any]:
        """The message as a JSON object."""
        return {
            "version": _VERSION,
            "event": self.event,
            "kind": self.kind,
            "task": self.task,
            "extension": self.extension,
            "destination": _line(self.destination),
            "host": self.host,
            "since": utc(self.since),
            "at": utc(self.at),
            "subject": self.subject,
            "why": _line(self.why),
            "remedy": _line(self.remedy),
            "counts": dict(self.counts),
            "oldest": self.oldest,
        }

    def as_json(self) -> bytes:
        """The message as one line of ASCII."""
        return json.dumps(self.fields()).encode("ascii") + b"\n"

    def environment(self) -> dict[str, str]:
        """The variables ``ALERT_EVENT`` and so on; each count has its own, as ``ALERT_WAITING``."""
        fields = self.fields()
        texts = {key: str(value) for key, value in fields.items() if key != "counts"}
        numbers = {key: str(value) for key, value in self.counts.items()}
        found = {PREFIX + key.upper(): _line(value) for key, value in (texts | numbers).items()}
        # In UTF-8, independent of the locale: a character that the locale lacks must not prevent the start of the program.
        return {key: os.fsdecode(value.encode("utf-8")) for key, value in found.items()}


def message(event: str, kind: str, one: TaskStatus, host: str, since: float | None, *, task: str, extension: str) -> Message:
    """The message about an observed task."""
    counts = {key: int(one.queue.get(key) or 0) for key in _COUNTS}
    counts |= {key: int(one.page.get(key) or 0) for key in ("not_copied", "delivered")}
    return Message(
        event,
        kind,
        _line(task),
        extension,
        one.destination,
        _line(host),
        one.now if since is None else since,
        one.now,
        one.why,
        one.remedy,
        counts,
        str(one.queue.get("oldest") or ""),
    )


def _line(text: str) -> str:
    """The text as one line without secrets and control characters, at most ``_LONGEST`` long."""
    found = plain(redacted(text))
    return found if len(found) <= _LONGEST else found[: _LONGEST - 3] + "..."
