"""A reload that goes on: who waits for it, and what is still open."""

from __future__ import annotations

from collections.abc import Iterable

from ..config.reload_diff import Changes
from ..config.task_config import TaskConfig

ANSWER_SECS = 15.0


class Reload:
    """A reload that goes on: who waits for it, what is still open, what it has come to, and what people call the tasks."""

    def __init__(self, waiting: list[tuple[str, str]], found: Changes, labels: dict[str, str], now: float) -> None:
        self.waiting = waiting
        self.found = found
        self.labels = labels
        self.until = now + ANSWER_SECS
        self.sets: list[tuple[str, str, str]] = []  # (label, state folder, id)
        self.refused: list[str] = []


def labels(tasks: Iterable[TaskConfig]) -> dict[str, str]:
    """What people call each of these tasks: by its name where two have one label."""
    called = {task.name: task.plans[0].label for task in tasks}
    return {name: label if label and list(called.values()).count(label) == 1 else name for name, label in called.items()}
