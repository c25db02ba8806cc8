"""The present status of a task, alive or dead: from its page, its lock, its last events and receipts, and its queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...common import why as reasons
from ...common.disk import repair_of
from ...common.events import utc
from ...common.present import present
from ...common.read_from import change_text
from ...common.remedy import says_more
from ...common.requests import waiting
from ..tasks.owners import Owner
from ..tasks.task import Task

_READING = frozenset(("queue", "get"))
"""The requests that change nothing, and so need no mention while they wait."""


class TaskStatus(NamedTuple):
    """One child as ``pysubtask status`` sees it. ``label``: what it is called here; ``destination``: a URL without secrets;
    ``last_sign``: when it last wrote its page, an event or a receipt; ``now``: when it was read; ``frozen``: stopped by a signal
    (SIGSTOP). ``page``: what it last wrote about itself, and for a dead one with what it did after that; ``pid`` of the living
    child, None where there is none; ``queue``: waiting, sending, parked, bytes, oldest; ``limit``: RateLimit; ``why`` in one
    sentence; ``remedy``: what can be done, empty where nothing is wrong; ``missing``: what keeps its folder from being used;
    ``stale``: why the page of a living child may not be of the present; ``elsewhere``: it lives where it cannot be seen from here;
    ``user``: whose it is, '' for one of this user's. Times are seconds since the epoch."""

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
    user: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that ``pysubtask status --json`` prints for the child."""
        return {
            "child": self.label,
            "user": self.user,
            "destination": self.destination,
            "alive": self.pid is not None or self.elsewhere,
            "pid": self.pid,
            "last_sign": None if self.last_sign is None else utc(self.last_sign),
            "why": self.why,
            "remedy": self.remedy,
            "queue": dict(self.queue),
            "stale": self.stale,
            "page": dict(self.page),
        }


def of_all(tasks: Sequence[Task], now: float, names: Sequence[str]) -> list[TaskStatus]:
    """The status of each task, under its name in ``names``. For root, the tasks of one other user are read together in one process
    with that user's rights, since each process costs time. ``now``: seconds since the epoch."""
    found: dict[int, TaskStatus] = {}
    by_owner: dict[Owner | None, list[int]] = {}
    for at, task in enumerate(tasks):
        by_owner.setdefault(task.owner if task.owner is not None and task.owner.is_acted_for else None, []).append(at)
    for owner, places in by_owner.items():
        found.update(zip(places, _of_one(owner, [(tasks[at], names[at]) for at in places], now), strict=True))
    return [found[at] for at in range(len(tasks))]


def _of_one(owner: Owner | None, called: Sequence[tuple[Task, str]], now: float) -> list[TaskStatus]:
    if owner is None:
        return [task_status(task, now, name) for task, name in called]
    try:
        rows = owner.ask(lambda: [task_status(task, now, name)._asdict() for task, name in called])
    except OSError as exc:
        why = f"It cannot be looked at with the rights of {owner.name}: {exc.strerror or exc}."
        return [TaskStatus(name, task.record.destination, {}, None, None, now, {}, why, user=owner.name) for task, name in called]
    return [TaskStatus(**row) for row in rows]


def task_status(task: Task, now: float, name: str = "") -> TaskStatus:
    """The status of a task under ``name`` ('': its label). ``now``: seconds since the epoch."""
    if task.owner is not None and task.owner.is_acted_for:
        return of_all([task], now, [name])[0]
    if task.is_page_only:
        return _by_page(task, now, name)
    found = present(task.state_dir, now, why_missing=task.why_waiting, left=_left)
    page, pid, stale, fault = found.page, found.pid, found.stale, found.fault
    more = says_more(str((page or {}).get("config_file") or ""))
    remedy = reasons.remedy(page or {}, pid=pid, queue=found.queue, more=more)
    if stale or (fault and pid is None and not found.missing):
        remedy = reasons.sentence(repair_of(fault) if fault else "", more)
    elif pid is not None:
        remedy = reasons.first(unread(task, page or {}), remedy)
    if pid is None and not found.elsewhere:
        remedy = reasons.first(_waiting_requests(task.state_dir), remedy)
    return TaskStatus(
        name or task.label,
        task.destination,
        page or {},
        pid,
        found.last_sign,
        now,
        found.queue,
        found.why,
        found.frozen,
        remedy,
        found.missing,
        stale,
        found.elsewhere,
        task.user,
    )


def _by_page(task: Task, now: float, name: str) -> TaskStatus:
    """The status of a task of another user, of which this user may read the status page alone."""
    page, holder = task.page() or {}, task.holder()
    queue, pid = page.get("queue") or {}, None if holder is None else holder.pid
    sentence = reasons.why(page or None, pid=pid, last_sign=task.last_sign(), now=now, queue=queue, limit=0.0)
    if not page:
        sentence = f"Its page cannot be read: {task.user} lets no group of yours see it."
    return TaskStatus(name or task.called, task.destination, page, pid, task.last_sign(), now, queue, sentence, user=task.user)


def unread(task: Task, page: Mapping[str, Any]) -> str:
    """For a child without a connection: a line about a file that was changed since it was read, with the command that has it read
    again; '' for none. ``page``: of the child."""
    state = page.get("state")
    if state in ("held", "waiting") or (state in ("connecting", "starting") and page.get("problem")):
        return change_text(task.state_dir, task.config_file)
    return ""


def _waiting_requests(state_dir: str) -> str:
    """A line about the requests that the next child will carry out; '' where there are none."""
    ops = [
        f"{request.op} (by {request.who.user})"
        for request in waiting(state_dir)
        if not request.problem and request.op not in _READING
    ]
    if not ops:
        return ""
    return f"{'an order waits' if len(ops) == 1 else 'orders wait'} for the next child: {', '.join(ops)}"


def _left(state_dir: str) -> dict[str, Any] | None:
    """The counts of the queue that a dead child left; None where it cannot be read."""
    from ...subtask.offline.offline_queue import read_queue

    found = read_queue(state_dir, 0)
    if found is None:
        return None
    oldest = found.counts.oldest
    return found.counts._asdict() | {"oldest": None if oldest is None else utc(oldest)}
