"""Joins a child's story in the middle: the page once, then each event behind it, without a gap or a repeat."""

from __future__ import annotations

from typing import Any

from ...common.events import Event, Tail
from ...common.status import read_status

PATIENCE_SECS = 5.0
"""For so long a page is waited for that includes what is missing; then the events go on without."""


class Following:
    """Follows the child of a state folder.

    The first thing told is its page (a dict), if there is one; then Events. After a gap in their numbers, or when a new
    child has begun a new epoch, a page is told again, and the events behind it.
    """

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._cursor = (0, 0)
        self._held: list[Event] = []
        self._since: float | None = None
        self._first = read_status(state_dir)
        if self._first is not None:
            self._cursor = _cursor_of(self._first)
        self._tail = Tail(state_dir, after=self._cursor)

    def read(self, now: float) -> list[dict[str, Any] | Event]:
        """What is new; ``now`` is monotonic."""
        updates: list[dict[str, Any] | Event] = []
        if self._first is not None:
            updates.append(self._first)
            self._first = None
        self._held += self._tail.read()
        while self._held:
            event = self._held[0]
            if (event.epoch, event.n) <= self._cursor:
                del self._held[0]
            elif (event.epoch, event.n) == (self._cursor[0], self._cursor[1] + 1):
                updates.append(self._held.pop(0))
                self._cursor = (event.epoch, event.n)
            else:
                page = read_status(self._state_dir)
                if page is not None and _cursor_of(page) >= (event.epoch, event.n - 1):
                    updates.append(page)
                    self._cursor = _cursor_of(page)
                elif self._since is None:
                    self._since = now
                    break
                elif now - self._since < PATIENCE_SECS:
                    break
                else:
                    self._cursor = (event.epoch, event.n - 1)
            self._since = None
        return updates


def _cursor_of(page: dict[str, Any]) -> tuple[int, int]:
    epoch, n = page.get("epoch"), page.get("n")
    return (epoch, n) if isinstance(epoch, int) and isinstance(n, int) else (0, 0)
