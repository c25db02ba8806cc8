"""The conditions of a task that cause alerts, by the judgement of ``status --check``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.text import seconds
from ..view.health import CRITICAL, judge
from ..view.task_status import TaskStatus

HELD, PARKED, DISK_LOW, SILENT = KINDS = ("held", "parked", "disk low", "silent")
_AT_WORK = frozenset(("idle", "resting", "sending", "stalled", "parked", "unreadable", "disk low"))
"""States of a child that has reached its server and would report a problem there."""
_NOT_KNOWN = frozenset(("starting", "stopping", "elsewhere"))
"""States that say nothing about the conditions of a task."""
_OF_THEIR_OWN = frozenset((HELD, DISK_LOW))
"""Critical states that have an alert of their own kind."""
_NO_PAGE = frozenset(("never run", "unknown"))


class Seen(NamedTuple):
    """One condition in one observation. ``there``: whether the task has it, None where the observation cannot say. ``since``:
    its beginning in seconds since the epoch; None where unknown, and then it counts from the first observation.
    ``lasts_secs``: how long the condition has to last before it is reported, None for SettleSecs."""

    there: bool | None
    since: float | None = None
    lasts_secs: float | None = None


UNKNOWN = Seen(None)
ABSENT = Seen(False)


def seen(one: TaskStatus, silent_secs: float) -> dict[str, Seen]:
    """Each kind with its condition in an observation of a task; ``silent_secs``: the setting SilentSecs."""
    state = judge(one).state
    fresh = _is_fresh(one, state)
    parked = _count(one, PARKED) if fresh or one.pid is None else 0
    low = bool(one.page.get("disk_low"))
    return {
        HELD: Seen(True, seconds(one.page.get("problem_since"))) if state == HELD else ABSENT if _settled(one, state) else UNKNOWN,
        PARKED: Seen(True) if parked else ABSENT if _settled(one, state) else UNKNOWN,
        DISK_LOW: UNKNOWN if not fresh else Seen(True) if low else ABSENT,
        SILENT: _silent(one, silent_secs),
    }


def _is_fresh(one: TaskStatus, state: str) -> bool:
    """Whether the page describes the present: its child is alive, and wrote it recently."""
    return one.pid is not None and not one.frozen and not one.stale and one.page.get("pid") == one.pid and state not in _NOT_KNOWN


def _settled(one: TaskStatus, state: str) -> bool:
    return _is_fresh(one, state) and state in _AT_WORK


def _silent(one: TaskStatus, silent_secs: float) -> Seen:
    """A file waits for too long and none was delivered meanwhile; or the child cannot work, for as long."""
    level, _, state, _ = judge(one)
    delivered = _last_delivery(one.page)
    oldest = seconds(one.queue.get("oldest"))
    if state == HELD or state in _NOT_KNOWN:
        return UNKNOWN  # a held task delivers nothing, and the kind HELD reports it
    if judge(one, silent_secs).why == "age" and _count(one, "waiting") + _count(one, "sending"):
        since = max(filter(None, (oldest, delivered)), default=None)
        if since is None or one.now - since >= silent_secs:
            # The oldest file may be a parked one, and then the age of the oldest waiting file is unknown.
            return Seen(True, since) if not _count(one, PARKED) else Seen(True, None, silent_secs)
    if state in _NO_PAGE or (level == CRITICAL and state not in _OF_THEIR_OWN):
        return Seen(True, one.last_sign, silent_secs)
    return ABSENT


def _count(one: TaskStatus, key: str) -> int:
    return int(one.queue.get(key) or 0)


def _last_delivery(page: Mapping[str, Any]) -> float | None:
    found = page.get("last_delivery")
    return seconds(found.get("at")) if isinstance(found, Mapping) else None
