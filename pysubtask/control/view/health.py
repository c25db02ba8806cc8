"""The health of tasks for a monitoring system: one line, and a status of the Monitoring Plugins. Pure functions.

The statuses are those of the Monitoring Plugins Development Guidelines, which Nagios, Icinga, Checkmk and others read:
0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; the numbers behind ``|`` are for a graph.
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
"""A child that uploads writes its page every few seconds: one that has written nothing for this time hangs. An idle child writes
nothing, so that its silence means nothing."""
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
"""The level of each state that ``status`` shows; other states are OK."""
_LINK = frozenset(("waiting", "stalled"))
"""The states that a bad link causes: with a limit for the age of files, only the age counts."""
_MOST_LISTED = 3


class Verdict(NamedTuple):
    """The result for all tasks. ``level``: one of the four statuses; ``line``: for a person, with the numbers behind it."""

    level: int
    line: str


class Judged(NamedTuple):
    """The result for one task. ``level``: one of the four statuses; ``text``: a sentence about it, '' for OK; ``state``: as
    ``status`` shows it; ``why``: the reason of the level: 'age' (a file waits for longer than it may), 'state', 'hangs' or ''
    (OK)."""

    level: int
    text: str
    state: str
    why: str


def verdict(task_statuses: Sequence[TaskStatus], most_age: float | None = None) -> Verdict:
    """The verdict on all these tasks: the worst level of any, in the order CRITICAL, WARNING, UNKNOWN, OK. ``most_age``: the age in
    seconds that the oldest unsent file may have (None: its age does not count)."""
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
    """The level of one task; ``most_age`` as for :func:`verdict`."""
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
    """The age of the oldest unsent file in seconds, None where none waits."""
    since = seconds(one.queue.get("oldest"))
    return None if since is None else max(0.0, one.now - since)


def _count(one: TaskStatus, key: str) -> int:
    return int(one.queue.get(key) or 0)


def unknown_line(text: str) -> str:
    """The line for a monitoring system where no task can be judged, with the reason."""
    return f"PYSUBTASK UNKNOWN - {_plain(text)}"


def _plain(text: str) -> str:
    """The text on one line and without ``|``, which would begin the numbers."""
    return " ".join(text.replace("|", "/").split())
