"""Polls several children at once: those of this user in this process, those of other users in a process with that user's rights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...common.as_user import Stream
from ..terminal import say
from .owners import Owner
from .task import Task

Step = Callable[[], Any]
"""A function that returns the changes of a child since its last call, as a value of JSON: it may cross a pipe."""
_FIRST_SECS = 20.0
"""Seconds that the first call waits for another user's process, which first reads the records and pages there."""


class Feeds:
    """``begin`` returns the step of a task, which is called with each ``take``, and every ``pause_secs`` in the processes of other
    users."""

    def __init__(self, tasks: Sequence[Task], begin: Callable[[Task], Step], pause_secs: float) -> None:
        self._own: list[tuple[int, Step]] = []
        self._streams: list[tuple[Owner, Stream]] = []
        self._first = True
        others: dict[Owner, list[tuple[int, Task]]] = {}
        for at, task in enumerate(tasks):
            if task.owner is not None and task.owner.is_acted_for:
                others.setdefault(task.owner, []).append((at, task))
            else:
                self._own.append((at, begin(task)))
        for owner, mine in others.items():
            self._streams.append((owner, owner.stream(lambda mine=mine: _steps(mine, begin, pause_secs))))  # type: ignore[misc]

    def take(self) -> list[tuple[int, Any]]:
        """The results of all steps since the last call, as (index of the task, result). The first call waits for one result of each
        task. A user whose process has ended is reported on stderr and polled no more."""
        found = [(at, step()) for at, step in self._own]
        for _, stream in self._streams:
            found += [(at, value) for rows in stream.take(_FIRST_SECS if self._first else 0.0) for at, value in rows]
        ended = [owner for owner, stream in self._streams if stream.ended]
        say([f"pysubtask: the tasks of {owner.name} cannot be followed any more" for owner in ended], error=True)
        self._streams = [one for one in self._streams if not one[1].ended]
        self._first = False
        return found


def _steps(tasks: Sequence[tuple[int, Task]], begin: Callable[[Task], Step], pause_secs: float) -> Iterator[list[tuple[int, Any]]]:
    steps = [(at, begin(task)) for at, task in tasks]
    while True:
        yield [(at, step()) for at, step in steps]
        time.sleep(pause_secs)
