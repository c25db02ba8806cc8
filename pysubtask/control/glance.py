"""What can be told of a task at this moment, whatever has died: from its page, its lock, its last lines and its queue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..common import why as reasons
from ..common.disk import fault_of, repair_of
from ..common.events import FILE as EVENTS_FILE
from ..common.events import Tail, utc
from ..common.process import is_alive
from ..common.read_from import told
from ..common.remedy import says_more
from ..common.requests import waiting
from ..common.settings_file import read_settings_page
from ..common.stale import why_stale
from ..common.status import FILE as STATUS_FILE
from .tasks import Task

_READING = frozenset(("queue", "get"))
"""Orders that change nothing."""


class Glance(NamedTuple):
    """One child. ``page``: what it last wrote about itself, and for a dead one with what it did after that; ``pid`` of the living
    child, None where there is none; ``queue``: waiting, sending, parked, bytes, oldest; ``limit``: RateLimit; ``why`` in one
    sentence; ``remedy``: what can be done, empty where nothing is wrong;
    ``missing``: what keeps its folder from being used; ``stale``: why the page of a living child may not be of the present;
    ``elsewhere``: it lives where it cannot be seen from here. Times are seconds since the epoch."""

    label: str
    destination: str
    page: Mapping[str, Any]
    pid: int | None
    last_sign: float | None
    now: float
    queue: Mapping[str, Any]
    why: str
    frozen: bool = False
    remedy: str = ""
    missing: str = ""
    stale: str = ""
    elsewhere: bool = False

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "child": self.label, "destination": self.destination, "alive": self.pid is not None or self.elsewhere, "pid": self.pid,
            "last_sign": None if self.last_sign is None else utc(self.last_sign), "why": self.why, "remedy": self.remedy,
            "queue": dict(self.queue), "stale": self.stale,
            "page": dict(self.page),
        }  # fmt: skip


def glance(task: Task, now: float, name: str = "") -> Glance:
    """Look at a task, to be called ``name`` (empty: its label); ``now`` in seconds since the epoch."""
    page, holder, last_sign = task.page(), task.holder(), task.last_sign()
    queue: Mapping[str, Any] = (page or {}).get("queue") or {}
    elsewhere = holder is None and task.is_elsewhere()
    if holder is None and not elsewhere and _beginning_anew(page) is None:
        queue = _left(task.state_dir) or queue
        if page is not None:
            page = _with_what_followed(task.state_dir, page)
    pid = _beginning_anew(page) if holder is None else holder.pid
    frozen = pid is not None and _is_frozen(pid)
    missing = task.why_waiting() if pid is None and not elsewhere else ""
    fault = fault_of(task.state_dir)
    stale = why_stale(task.state_dir, page, now, since=task.locked_at()) if holder is not None and not frozen else ""
    sentence = reasons.why(
        page, pid=pid, last_sign=last_sign, now=now, queue=queue, limit=_limit(task.state_dir), frozen=frozen,
        missing=missing, stale=stale if pid is not None else fault, elsewhere=elsewhere,
    )
    more = says_more(str((page or {}).get("config_file") or ""))
    remedy = reasons.remedy(page or {}, pid=pid, queue=queue, more=more)
    if stale or (fault and pid is None and not missing):
        remedy = reasons.sentence(repair_of(fault) if fault else "", more)
    elif pid is not None:
        remedy = reasons.first(unread(task, page or {}), remedy)
    if pid is None and not elsewhere:
        remedy = reasons.first(_ordered(task.state_dir), remedy)
    return Glance(name or task.label, task.destination, page or {}, pid, last_sign, now, queue, sentence, frozen, remedy, missing,
                  stale, elsewhere)  # fmt: skip


def unread(task: Task, page: Mapping[str, Any]) -> str:
    """Of a child that has no connection: which file was changed since it was read, and what takes it up; '' for none."""
    state = page.get("state")
    if state in ("held", "waiting") or (state in ("connecting", "starting") and page.get("problem")):
        return told(task.state_dir, task.config_file)
    return ""


def _ordered(state_dir: str) -> str:
    """The orders that the next child will carry out; '' where there are none."""
    ops = [f"{order.op} (by {order.who.user})" for order in waiting(state_dir) if not order.problem and order.op not in _READING]
    if not ops:
        return ""
    return f"{'an order waits' if len(ops) == 1 else 'orders wait'} for the next child: {', '.join(ops)}"


def _beginning_anew(page: Mapping[str, Any] | None) -> int | None:
    """The pid of a child that begins anew as the same process, and has let go of its lock for a moment; else None."""
    found = page or {}
    pid, start = found.get("pid"), found.get("pid_start")
    if found.get("state") != "starting" or not isinstance(pid, int) or not isinstance(start, str):
        return None
    return pid if is_alive(pid, start) else None


def _left(state_dir: str) -> dict[str, Any] | None:
    """The queue that a dead child left, in numbers."""
    from ..subtask.look import look

    found = look(state_dir, 0)
    if found is None:
        return None
    oldest = found.counts.oldest
    return found.counts._asdict() | {"oldest": None if oldest is None else utc(oldest)}


def _with_what_followed(state_dir: str, page: dict[str, Any]) -> dict[str, Any]:
    """A child that was killed had no time for a last page, but its events are there."""
    page = page | {"moving": [], "rate": None}
    mark = page.get("epoch"), page.get("n")
    if not (isinstance(mark[0], int) and isinstance(mark[1], int)):
        return page
    try:
        events, written = (os.stat(os.path.join(state_dir, name)) for name in (EVENTS_FILE, STATUS_FILE))
    except OSError:
        return page
    if events.st_mtime_ns < written.st_mtime_ns:
        return page
    tail = Tail(state_dir, after=(mark[0], mark[1]))
    while found := tail.read():
        for event in found:
            if event.epoch != mark[0] or event.kind != "delivered":
                continue
            page["delivered"] = page.get("delivered", 0) + 1
            for key in ("bytes_sent", "bytes_new"):
                page[key] = (page.get(key) or 0) + (event.fields.get(key) or 0)
            page["last_delivery"] = {"at": event.at, "name": event.fields.get("name"), "size": event.fields.get("size")}
    return page


def _limit(state_dir: str) -> float:
    try:
        return float(read_settings_page(state_dir)["settings"].get("RateLimit") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0.0


def _is_frozen(pid: int) -> bool:
    """Whether a signal keeps the process from running (proc(5), /proc/pid/stat field 3)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return False
    return stat[stat.rfind(b")") + 2 :][:1] in (b"T", b"t")
