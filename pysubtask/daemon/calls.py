"""What clients order of a daemon: calls of methods and sets of items, each taken once, begun in the order of their arrival.

There is one queue for each daemon. What takes longer than ``SLOW_SECS`` keeps no other from its turn: it goes on on the thread of
its client's connection while the next one begins.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..common.events import utc
from . import errors
from .errors import Cancelled, DaemonError, Refused
from .journal import CANCELLED, DONE, ENDED, FAILED, TAKEN, Journal

if TYPE_CHECKING:
    from .core import Core

SLOW_SECS = 0.02
"""Seconds after which the next order has its turn, though this one is not done."""
Listener = Callable[["Call"], None]


class Call:
    """One order: ``id``, ``op`` ('call' or 'set'), ``name`` (the method, or the items), ``args``, ``by`` (who); ``state`` is
    'taken', 'done', 'failed' or 'cancelled', ``result`` its result and ``error`` why it failed. ``fraction`` and ``text``: its
    progress."""

    def __init__(self, id: str, op: str, name: str, args: dict[str, Any], by: dict[str, Any]) -> None:
        self.id, self.op, self.name, self.args, self.by = id, op, name, args, by
        self.state = TAKEN
        self.outcome: dict[str, Any] = {}
        self.number = 0
        self.progress: tuple[float, str] = (0.0, "")
        self.cancel = threading.Event()
        self.ended = threading.Event()
        self.listeners: list[Listener] = []

    def as_page(self) -> dict[str, Any]:
        """The row of a call on the page."""
        fraction, text = self.progress
        return {
            "id": self.id,
            "op": self.op,
            "name": self.name,
            "state": self.state,
            "by": self.by,
            "fraction": fraction,
            "text": text,
        }

    def tell(self) -> None:
        """Have those who wait know its state and progress."""
        for listener in list(self.listeners):
            listener(self)


class Turns:
    """Gives turns in the order of arrival; one that is slow does not keep the next one waiting."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._queue: deque[object] = deque()
        self._current: object | None = None
        self._begun = 0.0

    def queue(self) -> object:
        """Stand in the queue; the place there."""
        place = object()
        with self._free:
            self._queue.append(place)
        return place

    def wait(self, place: object) -> None:
        """Wait for the turn of this place."""
        with self._free:
            while True:
                left = self._begun + SLOW_SECS - time.monotonic() if self._current is not None else 0.0
                if self._queue[0] is place and left <= 0:
                    break
                self._free.wait(left if self._queue[0] is place else None)
            self._queue.popleft()
            self._current, self._begun = place, time.monotonic()
            self._free.notify_all()

    def leave(self, place: object) -> None:
        """The turn is over."""
        with self._free:
            if self._current is place:
                self._current = None
                self._free.notify_all()


class Calls:
    """The orders of one daemon. ``requested`` and ``handled``: how many were taken, and how many came to their end."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = core.page.lock  # one for both: the page shows the calls, and a call's event is part of its change
        self._turns = Turns()
        self._running: dict[str, Call] = {}
        self._journal: Journal | None = None
        self._here = threading.local()
        self.requested = 0
        self.handled = 0

    def open(self, folder: str) -> None:
        """Remember the ids of earlier runs. An order that was begun when the daemon ended has failed, and is not begun again."""
        self._journal = Journal(folder)
        for id in self._journal.load():
            error = {"error": "Failed", "reason": "the daemon ended while it ran; whether it was done is not known", "kind": ""}
            self._journal.write({"id": id, "state": FAILED, "error": error, "at": utc(time.time())})

    def running(self) -> list[Call]:
        """The calls that are not over, oldest first."""
        with self._lock:
            return list(self._running.values())

    def current(self) -> Call | None:
        """The order that this thread carries out."""
        return getattr(self._here, "call", None)

    def state_of(self, id: str) -> dict[str, Any]:
        """The last known state of an id, also of an earlier run. Refused where it is not known."""
        with self._lock:
            call = self._running.get(id)
            if call is not None:
                return call.as_page()
            row = self._journal.rows.get(id) if self._journal else None
        if row is None:
            raise Refused(f"no call {id!r} is known here", part="result")
        return dict(row)

    def cancel(self, id: str) -> bool:
        """Ask a call to end at its next ``progress`` or ``sleep``; False where it is over. Refused where it is not known."""
        with self._lock:
            call = self._running.get(id)
        if call is None:
            self.state_of(id)
            return False
        call.cancel.set()
        return True

    def cancel_all(self) -> None:
        """The daemon stops."""
        for call in self.running():
            call.cancel.set()

    def take(self, call: Call, work: Callable[[], Any], listener: Listener | None, single: bool) -> tuple[Call, Callable[[], None]]:
        """Take an order, once for each id: the order that goes by this id, and what carries it out (nothing where it was taken
        before). Raises Refused for an id that is too old to tell."""
        with self._lock:
            assert self._journal is not None
            known = self._known(call, single)
            if known is not None:
                if listener is not None:
                    known.listeners.append(listener)
                return known, _nothing
            if self._journal.is_too_old(call.id):
                raise Refused("its id is older than all that are remembered: give it a new one", part=call.name)
            self.requested += 1
            call.number = self.requested
            row = {"id": call.id, "op": call.op, "name": call.name, "by": call.by, "number": call.number}
            self._journal.write({**row, "state": TAKEN, "at": utc(time.time())})
            self._running[call.id] = call
            if listener is not None:
                call.listeners.append(listener)
            place = self._turns.queue()
            if call.op == "call":
                self._tell(call, args=call.args)
        return call, lambda: self._run(call, work, place)

    def _known(self, call: Call, single: bool) -> Call | None:
        found = self._running.get(call.id)
        if found is None and single:
            found = next((one for one in self._running.values() if (one.name, one.args) == (call.name, call.args)), None)
        if found is not None:
            return found
        row = self._journal.rows.get(call.id) if self._journal else None
        if row is None:
            return None
        call.state = row["state"]
        call.outcome = {key: row[key] for key in ("result", "error") if key in row}
        call.ended.set()
        return call

    def _run(self, call: Call, work: Callable[[], Any], place: object) -> None:
        self._turns.wait(place)
        self._here.call, before = call, self.current()
        try:
            if call.cancel.is_set():
                raise Cancelled("it was cancelled before it began", part=call.name)
            outcome, state = {"result": work()}, DONE
        except BaseException as exc:  # noqa: BLE001 - the daemon's own code may raise anything; the caller gets it
            outcome, state = {"error": errors.to_json(exc, call.name)}, CANCELLED if isinstance(exc, Cancelled) else FAILED
            if not isinstance(exc, DaemonError):
                self._core.note_error(f"{call.name}: {type(exc).__name__}: {exc}")
        finally:
            self._here.call = before
        self._end(call, state, outcome)
        self._turns.leave(place)

    def _end(self, call: Call, state: str, outcome: dict[str, Any]) -> None:
        with self._lock:
            assert self._journal is not None
            call.state, call.outcome = state, outcome
            self.handled += 1
            try:
                self._journal.write({"id": call.id, "state": state, "at": utc(time.time()), **outcome})
            except OSError as exc:
                self._core.note_error(f"the result of {call.name} cannot be written: {exc}")
                self._journal.rows[call.id] = {**self._journal.rows.get(call.id, {}), "id": call.id, "state": state, **outcome}
            del self._running[call.id]
            if call.op == "call":
                self._tell(call, **outcome)
            call.ended.set()
        call.tell()

    def report(self, call: Call, fraction: float, text: str) -> None:
        """A call has come this far."""
        call.progress = (fraction, text)
        self._tell(call, fraction=fraction, text=text)
        call.tell()

    def _tell(self, call: Call, **fields: Any) -> None:
        self._core.page.tell("call", id=call.id, method=call.name, state=_word(call), by=call.by, **fields)


def _word(call: Call) -> str:
    return "progress" if call.state == TAKEN and call.progress != (0.0, "") else call.state


def _nothing() -> None:
    """An order that was taken before."""


def is_over(state: str) -> bool:
    """Whether a call of this state is over."""
    return state in ENDED
