"""The state of a reload between the request and the reply to it."""

from __future__ import annotations

from collections.abc import Iterable

from ..config.reload_diff import Changes
from ..config.task_config import TaskConfig

ANSWER_SECS = 15.0
"""Seconds in which a child must reply to its new settings, and again in which tasks must have ended and started. Both
together are shorter than the 60 s that 'pysubtask reload' waits."""


class Reload:
    """A reload that is under way. ``waiting``: the requests to reply to, as (folder, id); ``found``: what has changed; ``labels``:
    from the names of tasks to what people call them; ``until``: when children must have replied, on the clock of ``now``; ``sets``:
    the open requests to children; ``refused``: a line for each that a child has refused."""

    def __init__(self, waiting: list[tuple[str, str]], found: Changes, labels: dict[str, str], now: float) -> None:
        self.waiting = waiting
        self.found = found
        self.labels = labels
        self.until = now + ANSWER_SECS
        self.sets: list[tuple[str, str, str]] = []  # (label, state folder, id)
        self.refused: list[str] = []


def labels(tasks: Iterable[TaskConfig]) -> dict[str, str]:
    """From the name of each task to what people call it: its label, or its name where two tasks have the same label."""
    called = {task.name: task.plans[0].label for task in tasks}
    return {name: label if label and list(called.values()).count(label) == 1 else name for name, label in called.items()}
