"""The page of a daemon: all items, the calls that run, and who it is, as of event (epoch, n).

A change is a line in ``events.jsonl`` at once, and on the page at once for whoever asks the daemon. The file ``status.json``
follows within a moment: replacing it costs twenty times a line, and only readers of a dead daemon need it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ..common.events import EventLog
from ..common.status import read_status, write_status

if TYPE_CHECKING:
    from .core import Core
    from .items import Item

FLUSH_SECS = 0.05
"""How long a change may wait until the file of the page has it."""


class Page:
    """The page of one daemon and its events. ``lock`` is held while something changes, together with the event that tells of it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.lock = threading.RLock()
        self.changed = threading.Event()
        self.followers = Followers()
        self._log: EventLog | None = None
        self._folder = ""
        self._written_n = -1

    def open(self, folder: str) -> None:
        """Be seen from now on: events are written to this folder. Each start has a higher epoch."""
        before = read_status(folder, any_owner=False) or {}
        last = before.get("epoch")
        with self.lock:
            self._folder = folder
            self._log = EventLog(folder, max((last if isinstance(last, int) else 0) + 1, int(time.time())), guard=self.lock)
        self.followers.begin()

    @property
    def is_open(self) -> bool:
        """Whether clients see it."""
        return self._log is not None

    def tell(self, kind: str, **fields: Any) -> None:
        """Write an event and wake the followers; nothing before the daemon is visible."""
        with self.lock:
            if self._log is None:
                return
            self._log.emit_all([(kind, fields)])
        self.changed.set()
        self.followers.wake()

    def tell_item(self, item: Item, old: Any, by: dict[str, Any] | None) -> None:
        """Tell of an item that has just changed. ``old``: its value before; ``by``: who has set it, None for the daemon itself."""
        row = item.as_page()
        if old != item.value:
            row["old"] = old
        if by is not None:
            row["by"] = by
        self.tell("item", key=item.name, **{("value_at" if key == "at" else key): value for key, value in row.items()})

    def as_dict(self) -> dict[str, Any]:
        """The page as it is now."""
        with self.lock:
            log = self._log
            return {
                "epoch": log.epoch if log else 0,
                "n": log.n if log else 0,
                **self._core.identity(),
                "items": {name: item.as_page() for name, item in self._core.items.items()},
                "calls": [call.as_page() for call in self._core.calls.running()],
            }

    def flush(self) -> None:
        """Have the file say what the page says. A disk that is full costs the file, never the daemon."""
        self.changed.clear()
        if not self._folder:
            return
        page = self.as_dict()
        if page["n"] != self._written_n:
            with contextlib.suppress(OSError):
                write_status(self._folder, page)
                self._written_n = page["n"]

    def close(self) -> None:
        """Write the page for the last time, and let the followers go."""
        self.flush()
        self.followers.end()


class Followers:
    """The sockets of those who follow. One byte says that there is something new in the file of events: who reads slowly, or not
    at all, costs nothing and misses nothing."""

    def __init__(self) -> None:
        self._sockets: dict[Any, dict[str, Any]] = {}
        self._new = threading.Event()
        self._ended = False

    def begin(self) -> None:
        """Start the thread that wakes them."""
        threading.Thread(target=self._run, name="followers", daemon=True).start()

    def add(self, client: Any, who: dict[str, Any]) -> None:
        """One more follower; ``client``: its socket."""
        self._sockets[client] = who

    def remove(self, client: Any) -> None:
        """This one is gone; harmless where it was none."""
        self._sockets.pop(client, None)

    def known(self) -> list[dict[str, Any]]:
        """Who follows: user, host and pid of each."""
        return [{key: who.get(key) for key in ("user", "host", "pid")} for who in list(self._sockets.values())]

    def wake(self) -> None:
        """There is something new."""
        if self._sockets and not self._new.is_set():
            self._new.set()

    def end(self) -> None:
        """The thread ends."""
        self._ended = True
        self._new.set()

    def _run(self) -> None:
        pause = threading.Event()
        while not self._ended:
            self._new.wait()
            self._new.clear()
            for client in list(self._sockets):
                with contextlib.suppress(OSError):  # full: it will be read anyway; gone: its own thread finds out
                    client.send(b"\n", _DONT_WAIT)
            pause.wait(_WAKE_SECS)


_WAKE_SECS = 0.002
"""Between two wakings of the followers: many changes are read at one go."""
_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
