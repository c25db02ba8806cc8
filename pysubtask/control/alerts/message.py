"""What the user's program is told: a JSON object on its stdin, and the same in variables of its environment. Pure.

No secret is in it: it holds what ``status`` shows, and passes the filter that every error passes.
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
"""Characters of a sentence: the whole environment of a program has a limit."""


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
        """One line: what, where, since when."""
        lasted = span(max(0.0, self.at - self.since))
        phrase = {
            BEGINS: self.kind,
            LASTS: f"still {self.kind}, for {lasted}",
            OVER: f"no longer {self.kind}, after {lasted}",
            TEST: "this is a test",
        }[self.event]
        return _line(f"pysubtask on {self.host}: {self.task}/{self.extension}: {phrase}")

    def fields(self) -> dict[str, Any]:
        """As JSON."""
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
        """A line of ASCII."""
        return json.dumps(self.fields()).encode("ascii") + b"\n"

    def environment(self) -> dict[str, str]:
        """``ALERT_EVENT`` and so on; each of the counts has one of its own, as ``ALERT_WAITING``."""
        fields = self.fields()
        texts = {key: str(value) for key, value in fields.items() if key != "counts"}
        numbers = {key: str(value) for key, value in self.counts.items()}
        found = {PREFIX + key.upper(): _line(value) for key, value in (texts | numbers).items()}
        # In UTF-8, whatever the locale of the app is: a sign that it does not have must not keep the program from being run.
        return {key: os.fsdecode(value.encode("utf-8")) for key, value in found.items()}


def message(event: str, kind: str, one: TaskStatus, host: str, since: float | None, *, task: str, extension: str) -> Message:
    """Of a look at a task."""
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
    """Without a secret, a line feed, and what a shell or terminal may stumble over."""
    found = plain(redacted(text))
    return found if len(found) <= _LONGEST else found[: _LONGEST - 3] + "..."
