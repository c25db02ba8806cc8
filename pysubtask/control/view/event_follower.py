"""Follows a child from its present state on: its status page once, then each event behind the page, with no gap and no
repetition."""

from __future__ import annotations

from typing import Any

from ...common.events import Event, Tail
from ...common.status import read_status

PATIENCE_SECS = 5.0
"""Seconds to wait for a page that covers missing events; after that the events go on with a gap."""


class EventFollower:
    """Follows the child of a state folder: first comes its page (a dict), if there is one, and then Events.

    Where event numbers are missing, or a new child has begun a new epoch, another page comes and then the events behind it.
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
        """The pages and events since the last call, in order. ``now``: monotonic seconds."""
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
