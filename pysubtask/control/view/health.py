"""Whether all is well with some tasks, as a monitoring system asks: one line, and a status of the Monitoring Plugins.

Pure. The statuses are those of the Monitoring Plugins Development Guidelines, which Nagios, Icinga, Checkmk and others read:
0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; behind ``|`` stand numbers for a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...common.text import files, seconds, span
from .status_view import state_of
from .task_status import TaskStatus

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
SILENT_SECS = 300.0
"""A child with a file on its way writes its page every few seconds; one that has written nothing for so long hangs. One that has
nothing to do writes nothing."""
_WORST_FIRST = (CRITICAL, WARNING, UNKNOWN, OK)
_LEVELS = {
    "dead": CRITICAL,
    "failed": CRITICAL,
    "held": CRITICAL,
    "missing": CRITICAL,
    "frozen": CRITICAL,
    "disk low": CRITICAL,
    "stopped": WARNING,
    "paused": WARNING,
    "parked": WARNING,
    "unreadable": WARNING,
    "stalled": WARNING,
    "waiting": WARNING,
    "never run": UNKNOWN,
}
"""Of the states that ``status`` shows; the others are well."""
_LINK = frozenset(("waiting", "stalled"))
"""What a bad link brings: with a greatest age, only the age counts."""
_MOST_LISTED = 3


class Verdict(NamedTuple):
    """``level``: one of the four; ``line``: for a person, and the numbers behind it."""

    level: int
    line: str


class Judged(NamedTuple):
    """One task. ``level``: one of the four; ``text``: what is said of it, '' where it is well; ``state``: as ``status`` shows it;
    ``why``: what the level is for: 'age' (a file waits for longer than it may), 'state', 'hangs' or '' (well)."""

    level: int
    text: str
    state: str
    why: str


def verdict(task_statuses: Sequence[TaskStatus], most_age: float | None = None) -> Verdict:
    """Of all these tasks together. ``most_age``: the oldest file that waits to be sent may be so many seconds old; None: its age
    does not count."""
    if not task_statuses:
        return Verdict(UNKNOWN, "PYSUBTASK UNKNOWN - no task is known here")
    judged = sorted(((judge(one, most_age), one) for one in task_statuses), key=lambda pair: _WORST_FIRST.index(pair[0].level))
    level = judged[0][0].level
    bad = [f"{one.label} {found.text}" for found, one in judged if found.level != OK]
    problems = "; ".join(bad[:_MOST_LISTED]) + (f"; and {len(bad) - _MOST_LISTED} more" if len(bad) > _MOST_LISTED else "")
    tasks = f"{len(task_statuses)} task{'s' if len(task_statuses) > 1 else ''}"
    queued = sum(_count(one, "waiting") + _count(one, "sending") for one in task_statuses)
    parked = sum(_count(one, "parked") for one in task_statuses)
    oldest = max((age for one in task_statuses if (age := _age(one)) is not None), default=0.0)
    well = f"{tasks}, " + (f"{files(queued)} to send, the oldest for {span(oldest)}" if queued else "nothing to send")
    limit = f";;{most_age:.0f}" if most_age is not None else ""
    numbers = f"queued={queued} parked={parked} oldest={oldest:.0f}s{limit} not_well={len(bad)}"
    return Verdict(level, f"PYSUBTASK {WORDS[level]} - {_plain(problems or well)} | {numbers}")


def judge(one: TaskStatus, most_age: float | None = None) -> Judged:
    """Of one task; ``most_age`` as for :func:`verdict`."""
    state, age = state_of(one), _age(one)
    if most_age is not None and age is not None and age > most_age:
        text = f"({state}): the oldest file waits for {span(age)}, more than {span(most_age)}. {one.why}"
        return Judged(CRITICAL, text, state, "age")
    level = _LEVELS.get(state, OK)
    if most_age is not None and state in _LINK:
        level = OK
    at_work = one.pid is not None and one.last_sign is not None and bool(one.page.get("moving"))
    silent = one.now - one.last_sign if at_work and one.last_sign is not None else 0.0
    if silent > SILENT_SECS and level != CRITICAL:
        text = f"({state}): its child has written nothing for {span(silent)}, and hangs. {one.why}"
        return Judged(CRITICAL, text, state, "hangs")
    return Judged(level, f"({state}): {one.why}", state, "state") if level != OK else Judged(OK, "", state, "")


def _age(one: TaskStatus) -> float | None:
    """How long the oldest file that is not sent waits, in seconds."""
    since = seconds(one.queue.get("oldest"))
    return None if since is None else max(0.0, one.now - since)


def _count(one: TaskStatus, key: str) -> int:
    return int(one.queue.get(key) or 0)


def unknown_line(text: str) -> str:
    """The line for a monitoring system where no task can be judged, with the reason."""
    return f"PYSUBTASK UNKNOWN - {_plain(text)}"


def _plain(text: str) -> str:
    """On one line, and without what begins the numbers."""
    return " ".join(text.replace("|", "/").split())
