"""Following a daemon: its page first, then each change behind it, with no gap and none twice, over restarts of either side."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..common.events import Event, Tail
from . import errors, records
from .errors import DaemonError, NoSuchDaemon

if TYPE_CHECKING:
    from .connection import Connection, Wire

log = logging.getLogger("pysubtask.client")
PAGE, GONE, SILENT = "page", "gone", "silent"
RETRY_SECS = 0.1
"""Seconds between two tries to find a daemon that is gone."""
CHECK_SECS = 15.0
"""Seconds without a word after which a follower asks for the page: two reports of a daemon that is idle are further apart, and one
whose process is stopped says nothing at all."""
POLL_SECS = 0.05
"""Seconds between two looks at the file of events where the daemon has no socket that would say that something is new."""


class Change(NamedTuple):
    """Something that a follower sees. ``kind``: 'page' (read everything anew: ``fields`` is the page), 'item' (``key``, ``value``
    and ``fields`` with ``quality``, ``old`` and ``by``), 'call', 'gone' (the daemon runs no more), 'silent' (it lives and does not
    answer), or an event of the daemon's own. ``epoch`` and ``n``: where it stands among all events; ``at``: UTC."""

    kind: str
    epoch: int
    n: int
    at: str
    fields: dict[str, Any]

    @property
    def key(self) -> str:
        """The item that has changed; '' for any other kind."""
        return str(self.fields.get("key", "")) if self.kind == "item" else ""

    @property
    def value(self) -> Any:
        """The item's value now; None for any other kind."""
        return self.fields.get("value") if self.kind == "item" else None


class Follower:
    """Follows one daemon; made by ``proxy.follow()``. Iterate over it, or call ``next(timeout)``; a ``with`` closes it.

    ``after``: the ``position`` of an earlier follower, to go on behind it; where the events do not reach back that far a page comes
    first. ``position``: (epoch, n) of what was seen last.
    """

    def __init__(self, connection: Connection, after: tuple[int, int] | None = None) -> None:
        self._connection = connection
        self.position: tuple[int, int] = after or (0, 0)
        self._wire: Wire | None = None
        self._tail: Tail | None = None
        self._held: list[Change] = []
        self._is_gone = self._is_silent = False
        self._closed = threading.Event()
        self._begin()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change]:
        while (change := self.next()) is not None:
            yield change

    def close(self) -> None:
        """Follow no more; an iteration that waits ends."""
        self._closed.set()
        wire, self._wire = self._wire, None
        if wire is not None:
            with contextlib.suppress(OSError):
                wire.client.shutdown(2)
            wire.close()

    def next(self, timeout: float | None = None) -> Change | None:
        """The next change; None where none came within ``timeout`` seconds, or it was closed."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set():
            if self._held:
                change = self._held.pop(0)
                self.position = (change.epoch, change.n)
                log.debug("Handled event of type: %s", change.kind)
                return change
            self._read()
            if not self._held and not self._wait(until):
                return None
        return None

    # ---- inside

    def _begin(self) -> None:
        """Have the page and the place in the events behind it. Raises NoSuchDaemon."""
        record = self._connection.record()
        wire, page = self._first_page()
        log.debug("Follower %d of %s (PID %d)", os.getpid(), record.name, page["pid"])
        self._wire, self._is_gone = wire, False
        there = (int(page["epoch"]), int(page["n"]))
        if self.position[0] == there[0] and self.position <= there:
            tail = Tail(record.folder, after=self.position)
            found = _all(tail)
            if self.position == there or (found and found[0].n == self.position[1] + 1):
                self._tail = tail
                self._take(found)
                return
        self._tail = Tail(record.folder, after=there)
        self._held.append(_page_change(page))

    def _first_page(self) -> tuple[Wire | None, dict[str, Any]]:
        """The connection, None for a daemon without a socket, and the page. Raises NoSuchDaemon."""
        wire = self._connection.open()
        if wire is None:
            return None, self._connection.ask("page", {})
        try:
            wire.send({"op": "follow", "args": {}, "who": self._connection.who()})
            reply = json.loads(wire.line(time.monotonic() + 10))
            return wire, reply["result"] if reply["ok"] else _refused(reply, self._connection.name)
        except (OSError, EOFError, KeyError, ValueError) as exc:
            wire.close()
            raise NoSuchDaemon(f"it does not answer ({type(exc).__name__}: {exc})", daemon=self._connection.name) from exc

    def _read(self) -> None:
        if self._tail is not None:
            self._take(_all(self._tail))

    def _take(self, events: list[Event]) -> None:
        last = (self._held[-1].epoch, self._held[-1].n) if self._held else self.position
        for event in events:
            if (event.epoch, event.n) <= last:
                continue
            if (event.epoch, event.n) != (last[0], last[1] + 1):
                self._lose()  # a gap, or another run of the daemon: the page says how things stand
                return
            last = (event.epoch, event.n)
            self._held.append(Change(event.kind, event.epoch, event.n, event.at, dict(event.fields)))

    def _lose(self) -> None:
        wire, self._wire, self._tail = self._wire, None, None
        if wire is not None:
            wire.close()

    def _wait(self, until: float | None) -> bool:
        """Wait for something new; whether there may be."""
        left = CHECK_SECS if until is None else min(CHECK_SECS, until - time.monotonic())
        if left <= 0:
            return False
        wire = self._wire
        if wire is None:
            return self._poll(left) if self._tail is not None else self._return(left)
        try:
            ready = select.select([wire.client], [], [], left)[0]
            if ready and not wire.client.recv(65536):
                raise EOFError
        except (OSError, EOFError, ValueError):
            self._read()  # what it wrote last
            self._lose()
            return not self._closed.is_set()
        if not ready and left == CHECK_SECS:
            self._check()
        return True

    def _poll(self, left: float) -> bool:
        """Look at the file of events until there is something, or ``left`` seconds are over: the daemon has no socket."""
        until = time.monotonic() + left
        while not self._held and self._tail is not None and (pause := until - time.monotonic()) > 0:
            if self._closed.wait(min(pause, POLL_SECS)):
                return False
            gone = records.holder_of(self._connection.name) is None
            self._read()  # after the look at the holder: what it wrote last, too
            if gone:
                self._lose()
        if not self._held and self._tail is not None and left == CHECK_SECS:
            self._check()
        return True

    def _check(self) -> None:
        """Nothing was heard for long: ask how things stand, so that nobody waits for ever for a daemon that has gone deaf."""
        try:
            page = self._connection.ask("page", {}, timeout=CHECK_SECS)
        except (DaemonError, OSError):
            if records.holder_of(self._connection.name) is None:
                self._lose()
            elif not self._is_silent:
                self._is_silent = True
                self._held.append(Change(SILENT, *self.position, "", {}))
            return
        self._is_silent = False
        self._read()
        last = (self._held[-1].epoch, self._held[-1].n) if self._held else self.position
        if (page["epoch"], page["n"]) > last:
            self._lose()

    def _return(self, left: float) -> bool:
        """Find the daemon again, or say once that it is gone."""
        try:
            self._begin()
        except (DaemonError, OSError):
            if not self._is_gone:
                self._is_gone = True
                self._held.append(Change(GONE, *self.position, "", {}))
            else:
                self._closed.wait(min(left, RETRY_SECS))
        return True


def _refused(reply: dict[str, Any], daemon: str) -> dict[str, Any]:
    raise errors.of_json(reply, daemon)


def _page_change(page: dict[str, Any]) -> Change:
    return Change(PAGE, int(page["epoch"]), int(page["n"]), "", page)


def _all(tail: Tail) -> list[Event]:
    found: list[Event] = []
    while batch := tail.read():
        found += batch
    return found
