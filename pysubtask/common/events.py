"""What happened, one JSON line each, in ``events.jsonl`` of the state folder.

A line carries ``epoch`` (which run of the child), ``n`` (1, 2, 3 ... within it), ``at`` (UTC), ``kind`` and
its own fields. The status page says up to which (epoch, n) it has counted, so a late reader takes the
page first and the lines after it: no gap, no repeat. A new epoch or a gap means: read the page again.
"""

import contextlib
import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from . import own_files
from .redact import redacted
from .state_files import EVENTS

if TYPE_CHECKING:
    from .event_types import EventFields

FILE = EVENTS
ROTATE_BYTES = 1024 * 1024  # about 5,000 events; as many again in events.jsonl.1
_PIECE = 256 * 1024  # bytes that one read of a follower takes, the rest follows
_LONGEST_LINE = 4 * 1024 * 1024  # bytes; a longer line is no event
to_json = json.JSONEncoder().encode
"""As ``json.dumps`` without options, which looks for them each time."""


def utc(wall: float) -> str:
    """Seconds since the epoch as ``2026-11-21T20:37:10.205Z``."""
    return f"{_second(wall // 1)}.{int(wall % 1 * 1000):03d}Z"


@functools.lru_cache(maxsize=8)
def _second(wall: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))


class Event(NamedTuple):
    """One line of ``events.jsonl``."""

    epoch: int
    """Number of the start of the child that reported the event; each start has a higher one."""
    n: int
    """Number of the event in its epoch: 1, 2, 3 ...; a gap means that events are missing."""
    at: str
    """When the event was written, UTC, as ``2026-11-21T20:37:10.205Z``."""
    kind: str
    """What happened; docs/config.md lists the kinds."""
    fields: "EventFields"
    """What is particular to the kind."""


def happened(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An event to be written together with others."""
    return kind, fields


class EventLog:
    """The writing end, used by the child's threads. A line that cannot be written is counted, its number
    is spent, and so the reader sees the gap; nothing is ever raised for it. ``guard`` is a lock that may be taken
    twice by one thread: what changes with an event is changed while it is held."""

    def __init__(
        self, state_dir: str, epoch: int, wall: Callable[[], float] = time.time, guard: AbstractContextManager[Any] | None = None
    ) -> None:
        self._state_dir = state_dir
        self._wall = wall
        self._guard = threading.RLock() if guard is None else guard
        self.epoch = epoch
        self.n = 0
        self.lost = 0

    def emit(self, kind: str, **fields: Any) -> int:
        """Write one event; its number."""
        return self.emit_all([(kind, fields)])

    def emit_all(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
        """Write events of these kinds with these fields, in one go; the number of the last."""
        with self._guard:
            at, lines = utc(self._wall()), []
            for kind, fields in events:
                self.n += 1
                line = {"epoch": self.epoch, "n": self.n, "at": at, "kind": kind, **fields}
                if isinstance(line.get("reason"), str):
                    line["reason"] = redacted(line["reason"])
                lines.append(to_json(line).encode("ascii") + b"\n")
            try:
                if lines:
                    self._append(b"".join(lines))
            except OSError:
                self.lost += len(lines)
            return self.n

    def _append(self, line: bytes) -> None:
        size = own_files.append_lines(self._state_dir, FILE, line)
        if size + len(line) > ROTATE_BYTES:
            own_files.rename(self._state_dir, FILE, FILE + ".1")


class Tail:
    """Follows the events of a state folder: each :meth:`read` gives what came since, through a rotation too.

    It begins behind what is there; ``after`` (epoch, n) begins behind that event, as far back as the files reach.
    """

    def __init__(self, state_dir: str, after: tuple[int, int] | None = None) -> None:
        self._state_dir = state_dir
        self._path = os.path.join(state_dir, FILE)
        self._after = (0, 0) if after is None else after
        self._place: tuple[int, int] = (0, 0)  # inode and offset
        if after is None:
            with contextlib.suppress(OSError):
                found = os.stat(self._path)
                self._place = (found.st_ino, found.st_size)

    def read(self, most: int = _PIECE) -> list[Event]:
        """The next events, oldest first, of at most about ``most`` bytes; none only where there are none yet."""
        events: list[Event] = []
        with contextlib.suppress(OSError):
            while not events and self._step(most, events):
                pass
        return events

    def _step(self, most: int, events: list[Event]) -> int:
        """Read one piece; how many bytes it was."""
        if os.stat(self._path).st_ino != self._place[0]:
            # Rotated, or never read: what is left of the one before comes first.
            with contextlib.suppress(OSError):
                if self._place[0] in (0, os.stat(self._path + ".1").st_ino):
                    taken = self._take(FILE + ".1", most, events)
                    if taken:
                        return taken
            self._place = (os.stat(self._path).st_ino, 0)
        return self._take(FILE, most, events)

    def _take(self, name: str, most: int, events: list[Event]) -> int:
        with os.fdopen(own_files.open_read(self._state_dir, name, any_owner=True), "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            at = self._place[1] if self._place[0] == inode else 0
            file.seek(at)
            data = file.read(most)
        # A line that is being written has no end yet; one longer than a piece is no event.
        whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == most else 0)
        self._place = (inode, at + whole)
        for line in data[:whole].splitlines():
            event = parse(line)
            if event is not None and (event.epoch, event.n) > self._after:
                self._after = (event.epoch, event.n)
                events.append(event)
        return whole


def read_events(state_dir: str, after: tuple[int, int] = (0, 0)) -> Iterator[Event]:
    """The events behind (epoch, n), oldest first; lines that are no events are passed over."""
    for name in (FILE + ".1", FILE):
        for line in lines_of(state_dir, name):
            event = parse(line)
            if event is not None and (event.epoch, event.n) > after:
                yield event


def lines_of(state_dir: str, name: str, *, any_owner: bool = True) -> Iterator[bytes]:
    """The lines of a file of the state folder as they are, one of more than four megabytes in pieces; none of a file that cannot be
    opened. ``any_owner``: a file of another user is read too, for display; a caller that acts on the content passes False."""
    with contextlib.suppress(OSError), os.fdopen(own_files.open_read(state_dir, name, any_owner=any_owner), "rb") as file:
        while line := file.readline(_LONGEST_LINE):
            yield line


def parse(line: bytes) -> Event | None:
    """One line as an Event; None for anything else (a torn line, garbage)."""
    try:
        found = json.loads(line)
        epoch, n, at, kind = found.pop("epoch"), found.pop("n"), found.pop("at"), found.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if not (type(epoch) is int and type(n) is int and isinstance(at, str) and isinstance(kind, str)):
        return None
    return Event(epoch, n, at, kind, found)
