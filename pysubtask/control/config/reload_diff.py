"""The difference between the tasks that run and those of a config that was read again. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...defaults_config import SETTINGS
from ...master.child_config import Plan
from .task_config import TaskConfig

_LIVE = {row.key for rows in SETTINGS.values() for row in rows if row.live}


class Changes(NamedTuple):
    """What a reload has to do. ``start``: names of tasks that are new; ``stop``: names of tasks that are gone; ``restart``: name ->
    why its children must be started again; ``live``: name -> state folder of a child -> settings that the running child takes;
    ``same``: names of tasks whose children go on unchanged; ``alerts``: names out of ``live`` and ``same`` whose ``alerts`` section
    has changed, which the master applies and no child."""

    start: tuple[str, ...]
    stop: tuple[str, ...]
    restart: dict[str, str]
    live: dict[str, dict[str, dict[str, Any]]]
    same: tuple[str, ...]
    alerts: frozenset[str] = frozenset()


def compare(running: Mapping[str, TaskConfig], loaded: Sequence[TaskConfig]) -> Changes:
    """The changes that lead from the ``running`` tasks (by name) to those that were ``loaded``."""
    names = {task.name for task in loaded}
    restart, live, same, alerts = {}, {}, [], set()
    for task in loaded:
        now = running.get(task.name)
        if now is None:
            continue
        why = _why_anew(now, task)
        values = {new.state_dir: found for old, new in zip(now.plans, task.plans, strict=False) if (found := _differing(old, new))}
        if not why and now.plans[0].alerts != task.plans[0].alerts:
            alerts.add(task.name)
        if why:
            restart[task.name] = why
        elif values:
            live[task.name] = values
        else:
            same.append(task.name)
    return Changes(
        tuple(task.name for task in loaded if task.name not in running),
        tuple(name for name in running if name not in names),
        restart,
        live,
        tuple(same),
        frozenset(alerts),
    )


def _why_anew(now: TaskConfig, task: TaskConfig) -> str:
    """The changed settings that running children cannot take, without their values, which may be secret; '' where there are
    none."""
    reasons = []
    if now.entries != task.entries:
        reasons.append("watch")
    if [plan.extension for plan in now.plans] != [plan.extension for plan in task.plans]:
        reasons.append("destinations")
    else:
        for old, new in zip(now.plans, task.plans, strict=True):
            reasons += [f"{new.extension}.{key}" for key in _differing(old, new, live=False)]
            if old.state_dir != new.state_dir and not reasons and old.task == new.task:
                reasons.append("where its state is kept")
    if now.plans[0].burst != task.plans[0].burst:
        reasons.append("burst_mode")
    if now.archives != task.archives:
        reasons.append("base.ArchiveToFolder")
    return ", ".join(dict.fromkeys(reasons))


def _differing(old: Plan, new: Plan, *, live: bool = True) -> dict[str, Any]:
    return {key: value for key, value in new.settings.items() if (key in _LIVE) is live and old.settings.get(key) != value}
