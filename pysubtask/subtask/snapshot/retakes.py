"""Data files of which a snapshot has to be taken again, because theirs is lost or was replaced on the server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Retakes:
    """For any thread. ``wake`` has the pipeline called again soon."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._paths: deque[str] = deque()

    def ask(self, path: str) -> None:
        """Have this file snapshotted again as soon as it is quiet."""
        self._paths.append(path)
        self._wake()

    def take(self) -> list[str]:
        """The files asked for since the last call."""
        return [self._paths.popleft() for _ in range(len(self._paths))]
