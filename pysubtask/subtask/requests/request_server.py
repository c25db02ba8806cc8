"""Requests from people and masters: each is read once, carried out, and answered."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...common import own_files, own_folders, requests
from ...common.config import nearest
from ...common.errors import PysubtaskError
from ...common.requests import Request
from ..watch.event_inbox import EventInbox
from ..watch.file_events import FileEvents

Handler = Callable[[Request], Any]
"""Carries a request out and returns its result (JSON). An exception that it raises on purpose (PysubtaskError, ValueError,
OSError) becomes the reply. Carrying the same request out twice must do no harm, because a crash may come between the work and the
reply."""


_EMPTY_SECS = 2.0
"""Seconds after which an empty folder of requests is listed again, whatever its modification time."""
_NO_EVENT_SECS = 1.0
"""Seconds after which the folder is checked though no file event came. Ticks may follow one another within milliseconds."""
_SAME_TIME_SECS = 2.0
READING = frozenset(("queue", "get"))
"""Requests that change nothing: they are not logged."""


class Later(Exception):
    """The request stays in the folder, to be answered by the process that replaces this one."""


class RequestServer:
    """Serves the requests in ``state_dir``; ``handlers`` by the name of the operation."""

    def __init__(self, state_dir: str, handlers: Mapping[str, Handler], log: logging.Logger, wall: Callable[[], float]) -> None:
        self._state_dir = state_dir
        self._handlers = handlers
        self._log = log
        self._wall = wall
        self._unanswered: dict[str, tuple[Any, str]] = {}
        self._empty = (float("-inf"), 0.0)
        self._inbox: EventInbox | None = None
        requests.sweep(state_dir, wall())

    def listen(self, events: FileEvents | None, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, from another thread, when a request comes; without file ``events`` the timer finds it."""
        folder = os.path.join(self._state_dir, requests.REQUESTS)
        try:
            own_folders.make_folder(folder)
        except own_folders.NotOurs as exc:
            self._log.error("Orders cannot be taken: %s", exc)
            return
        except OSError as exc:
            self._log.debug("The folder of orders is made by whoever gives the first one: %s", exc)
        if events is not None:
            self._inbox = events.subscribe(folder, lambda name, created: created and name.endswith(".json"), wake)

    def poll(self, named: os.stat_result | None = None) -> bool:
        """Carry out the waiting requests, oldest first; whether there were any. ``named``: the stat of the state folder a moment
        ago, where the caller has it."""
        now = self._wall()
        new = None if self._inbox is None else self._inbox.take()
        if new is not None and not (new.paths or new.lost) and 0 <= now - self._empty[0] < _NO_EVENT_SECS:
            return False
        if self._is_empty(named, now):
            return False
        waiting = requests.waiting(self._state_dir)
        is_ending = False
        for request in waiting:
            if request.op == "start" and is_ending:
                continue  # the master carries it out, and answers it
            # On a full disk the reply is written later; the request is not carried out again.
            try:
                done = self._unanswered.get(request.id) or self._carry_out(request)
            except Later:
                self._log.info("ORDER [%s] of %s is begun", request.op, request.who)
                break
            is_ending = is_ending or (request.op == "stop" and not done[1])
            try:
                requests.answer(self._state_dir, request.id, result=done[0], error=done[1], wall=self._wall())
                self._unanswered.pop(request.id, None)
            except OSError as exc:
                if request.id not in self._unanswered:
                    self._log.error("Order [%s] of %s cannot be answered: %s", request.op, request.who, exc)
                self._unanswered[request.id] = done
        return bool(waiting)

    def _is_empty(self, named: os.stat_result | None, now: float) -> bool:
        """Whether the folder of requests has not changed since it was found empty a moment ago. It is listed where it has changed
        so recently that a coarse clock may give the next change the same time."""
        try:
            changed = own_files.changed_at(self._state_dir, requests.REQUESTS, named)
        except OSError:
            return False
        if changed == self._empty[1] and 0 <= now - self._empty[0] < _EMPTY_SECS:
            return True
        listed = not self._unanswered and now - changed > _SAME_TIME_SECS and not requests.names(self._state_dir)
        self._empty = (now, changed) if listed else (float("-inf"), 0.0)
        return listed

    def _carry_out(self, request: Request) -> tuple[Any, str]:
        """The result and the error of a request; one of them is empty."""
        handler = self._handlers.get(request.op)
        if request.problem:
            error = request.problem
        elif handler is None:
            near = nearest(request.op, self._handlers)
            error = f"{request.op!r} is not known here. " + (
                f"Did you mean {near!r}?" if near else f"Known: {', '.join(sorted(self._handlers))}."
            )
        else:
            try:
                result = handler(request)
                if request.op not in READING:
                    self._log.info("ORDER [%s] of %s", request.op, request.who)
                return result, ""
            except (PysubtaskError, ValueError, TypeError, KeyError, OSError) as exc:
                error = str(exc) or type(exc).__name__
        if request.op not in READING:
            self._log.warning("ORDER [%s] of %s is refused: %s", request.op, request.who, error)
        return None, error
