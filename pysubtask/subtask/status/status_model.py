"""The present state of the child; the status page is written from it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ...common.events import utc

_AFTER_STOPPING = ("stopping", "stopped", "failed", "starting")


class StatusModel:
    """Facts by name, set from the child's threads. ``changed`` tells whether the page is out of date. ``guard``: held while
    a fact is changed and its event is written, so that a page has both or none; one thread may take it twice. ``moved``:
    how many file bytes have gone over the link.

    ``state`` is one of: starting, watching, connecting, connected, resting, waiting, held, paused, stopping, stopped, failed.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.guard = threading.RLock()
        self.moved = 0
        self._facts: dict[str, Any] = {}
        self._moving: dict[int, dict[str, Any]] = {}
        self._counted: dict[int, int] = {}
        self._built_upon: set[int] = set()
        self.changed = True

    def set(self, **facts: Any) -> None:
        """Set facts; setting what is there already changes nothing."""
        with self.guard:
            for key, value in facts.items():
                if key not in self._facts or self._facts[key] != value:
                    self._facts[key] = value
                    self.changed = True

    def state(self, state: str, why: str = "") -> None:
        """Enter a state; ``why`` in plain words where nothing is sent. A child in state stopping stays in it, whatever happens to
        the connection meanwhile."""
        with self.guard:
            if self._facts.get("state") == "stopping" and state not in _AFTER_STOPPING:
                return
            if self._facts.get("state") != state:
                self._facts["state_since"] = utc(self._wall())
                self.changed = True
            if self._facts.get("why") != why:
                self.changed = True
            self._facts.update(state=state, why=why)

    def leave(self, old: str, new: str) -> None:
        """Enter the state ``new``, unless the state is not ``old`` any more."""
        with self.guard:
            if self._facts.get("state") == old:
                self.state(new)

    def error(self, kind: str, text: str, about: str = "", **facts: str) -> None:
        """Note the last error, of any kind; ``about``: the file that it concerns, empty where it concerns all; ``facts``: see
        :func:`~pysubtask.common.errors.facts_of`."""
        row = {"at": utc(self._wall()), "kind": kind, "text": text, **({"about": about} if about else {}), **facts}
        self.set(last_error=row)

    def over(self, *kinds: str, about: str = "") -> None:
        """The errors of these kinds (and this file) are over: the page still names the last error, but not as a present one."""
        with self.guard:
            last = self._facts.get("last_error")
            if last is not None and last["kind"] in kinds and last.get("about", "") == about and not last.get("over"):
                self.set(last_error={**last, "over": True})

    def add(self, **amounts: int) -> None:
        """Add to facts that are counters."""
        with self.guard:
            for key, amount in amounts.items():
                self._facts[key] = self._facts.get(key, 0) + amount
            self.changed = True

    def get(self, key: str, default: Any = None) -> Any:
        """One fact."""
        with self.guard:
            return self._facts.get(key, default)

    def begin(self, job: int, name: str, size: int, *, anew: bool = True) -> None:
        """A file is being sent from now on; ``anew``: from its first byte, as the server has nothing of it."""
        with self.guard:
            self._moving[job] = {"name": name, "size": size, "done": 0, "since": utc(self._wall())}
            self._counted[job] = 0
            if not anew:
                self._built_upon.add(job)
            self.changed = True

    def progress(self, job: int, done: int) -> None:
        """The server has acknowledged ``done`` bytes of the file."""
        with self.guard:
            row = self._moving.get(job)
            if row is not None:
                # The first report of a resumed upload includes the bytes that the server had already; those have not moved now.
                new_bytes = 0 if job in self._built_upon else max(0, done - row["done"])
                self._built_upon.discard(job)
                self._counted[job] += new_bytes
                self.moved += new_bytes
                row["done"] = done
                self.changed = True

    def end(self, job: int, sent: int = 0) -> None:
        """The file is not being sent any more; ``sent`` of its bytes were sent, where that is known."""
        with self.guard:
            if self._moving.pop(job, None) is not None:
                self.moved += max(0, sent - self._counted.pop(job))
                self._built_upon.discard(job)
                self.changed = True

    def page_of(self, *keys: str) -> dict[str, Any]:
        """Some facts, None for those not known; does not count as writing the page."""
        with self.guard:
            return {key: self._facts.get(key) for key in keys}

    def page(self) -> dict[str, Any]:
        """All facts, as a page; from now on the page counts as up to date."""
        with self.guard:
            self.changed = False
            return {**self._facts, "moving": [dict(row) for row in self._moving.values()]}
