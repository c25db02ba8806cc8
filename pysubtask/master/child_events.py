"""For the app: the events of the children as they come, and whether a file is delivered. Both are read from files: no thread,
and no wait but the one of ``wait_delivered``."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..common import own_files
from ..common.events import Event, Tail, read_events
from ..common.receipts import FILE as RECEIPTS
from ..common.receipts import parse

EventCallback = Callable[["ChildEvent"], object]
"""What an app gives to ``on_event``: it is called with each event; its return value is ignored."""

_CALLS_AT_ONCE = 200  # events of one call of the app, so that the call stays short
_POLL_SECS = 0.05  # between two reads of the receipts
_PAGE_POLL_SECS = 0.005  # the event follows the receipt within milliseconds
_PAGE_WAIT_SECS = 2.0  # a child that was killed just then never writes that page


class ChildEvent(NamedTuple):
    """An event, and the child that reports it."""

    extension: str
    """Which child of the task: 'ftp', 'dropbox', or a name of the app's own."""
    event: Event
    """The event, as in ``events.jsonl``."""


class EventPosition(dict[str, tuple[int, int]]):
    """The last event that an app has read of each child (by extension): ``events(since=...)`` goes on behind it."""


def events_since(
    state_dirs: Mapping[str, str], since: Mapping[str, tuple[int, int]] | None
) -> tuple[list[ChildEvent], EventPosition]:
    """The events behind ``since`` as far as the files reach back (None: all), by time, and the position to go on from."""
    since = since or {}
    position, found = EventPosition(since), []
    for extension, state_dir in state_dirs.items():
        for event in read_events(state_dir, since.get(extension, (0, 0))):
            found.append(ChildEvent(extension, event))
            position[extension] = (event.epoch, event.n)
    found.sort(key=lambda one: one.event.at)
    return found, position


class Listeners:
    """The callbacks of the app. ``serve`` calls them with the events since the first callback was added."""

    def __init__(self, state_dirs: Mapping[str, str], log: logging.Logger) -> None:
        self._state_dirs = state_dirs
        self.log = log
        self._tails: dict[str, Tail] = {}
        self._callbacks: list[EventCallback] = []
        self._waiting: list[ChildEvent] = []

    def add(self, callback: EventCallback) -> None:
        """Call ``callback`` with each event from now on."""
        if not self._tails:
            self._tails = {extension: Tail(state_dir) for extension, state_dir in self._state_dirs.items()}
        self._callbacks.append(callback)

    def remove(self, callback: EventCallback) -> None:
        """Call ``callback`` no more. ValueError where it was never added."""
        self._callbacks.remove(callback)

    def serve(self) -> None:
        """Call them, for a limited number of events; the rest comes with the next call."""
        if not self._callbacks:
            return
        if not self._waiting:
            for extension, tail in self._tails.items():
                self._waiting += [ChildEvent(extension, event) for event in tail.read()]
            self._waiting.sort(key=lambda one: one.event.at)
        now, self._waiting = self._waiting[:_CALLS_AT_ONCE], self._waiting[_CALLS_AT_ONCE:]
        for one in now:
            for callback in list(self._callbacks):
                try:
                    callback(one)
                except Exception:
                    # An error in a callback must not end the timer of the app, nor keep the event from the other callbacks.
                    self.log.exception("A callback of on_event failed")


def wait_delivered(path: str, state_dirs: Sequence[str], timeout: float, while_waiting: Callable[[], None]) -> bool:
    """Wait until every destination has a receipt for this file as it is now; False after ``timeout`` seconds, or where
    there is no such file. ``while_waiting`` is called meanwhile."""
    until = time.monotonic() + timeout
    proofs = [_Proof(state_dir, path) for state_dir in state_dirs]
    while True:
        try:
            found = os.stat(path)
        except OSError:
            return False
        if all(proof.last() == (found.st_size, found.st_mtime_ns) for proof in proofs):
            _wait_for_page(proofs, while_waiting)
            return True
        left = until - time.monotonic()
        if left <= 0:
            return False
        while_waiting()
        time.sleep(min(_POLL_SECS, left))


def _wait_for_page(proofs: Sequence[_Proof], while_waiting: Callable[[], None]) -> None:
    """A receipt is written a moment before the event of it: wait for that, so that a status that is asked for now has it."""
    from ..common.page_events import followed
    from ..common.status import read_status

    until = time.monotonic() + _PAGE_WAIT_SECS
    while time.monotonic() < until:
        pages = [(proof.seq, read_status(proof.state_dir)) for proof in proofs]
        if all(
            page is not None and int(followed(proof.state_dir, page).get("receipt") or 0) >= seq
            for proof, (seq, page) in zip(proofs, pages, strict=True)
        ):
            return
        while_waiting()
        time.sleep(_PAGE_POLL_SECS)


class _Proof:
    """The last receipt of one file at one destination; a receipts file is read once and then only where it has grown."""

    def __init__(self, state_dir: str, path: str) -> None:
        self.state_dir = state_dir
        self.seq = 0
        """That of the receipt."""
        self._path = path
        self._place = (0, 0)
        self._last: tuple[int, int] | None = None

    def last(self) -> tuple[int, int] | None:
        """Size and time of the state that was delivered last, None where none was."""
        try:
            with os.fdopen(own_files.open_read(self.state_dir, RECEIPTS), "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._place[0] or found.st_size < self._place[1]:
                    self._place, self._last = (found.st_ino, 0), None
                file.seek(self._place[1])
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._place = (found.st_ino, self._place[1] + len(line))
                    receipt = parse(line)
                    if receipt is not None and receipt.path == self._path:
                        self._last, self.seq = (receipt.size, receipt.mtime_ns), receipt.seq
        except OSError:
            return None
        return self._last
