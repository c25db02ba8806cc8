"""What a daemon does by the clock: polls of items, the file of the page, the items about itself."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from .page import FLUSH_SECS

if TYPE_CHECKING:
    from .core import Core
    from .items import Item

OWN_SECS = 60.0
"""Seconds between two reports of uptime, memory and CPU."""


class Polls:
    """The threads that poll: one for each polled item, so that a sensor that hangs keeps no other waiting, and one for the rest."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._threads: dict[str, threading.Thread] = {}
        self._begun = False

    def begin_all(self) -> None:
        """Begin: the daemon is visible."""
        self._begun = True
        threading.Thread(target=self._keep_page, name="page", daemon=True).start()
        for item in list(self._core.items.values()):
            self.begin(item)

    def begin(self, item: Item) -> None:
        """Poll an item, if it has a period and is not polled already."""
        running = self._threads.get(item.name)
        if self._begun and item.spec.poll and (running is None or not running.is_alive()):
            thread = threading.Thread(target=self._poll, args=(item,), name=f"poll {item.name}", daemon=True)
            self._threads[item.name] = thread
            thread.start()

    def _poll(self, item: Item) -> None:
        while item.spec.poll and not self._core.stopping.is_set():
            try:
                item.req_poll()
            except Exception as exc:  # noqa: BLE001 - the daemon's own code; the item's quality has it, too
                self._core.note_error(f"{item.name}: {type(exc).__name__}: {exc}")
            self._core.stopping.wait(item.spec.poll)

    def _keep_page(self) -> None:
        page, next_own, next_check = self._core.page, time.monotonic() + OWN_SECS, 0.0
        while not self._core.stopping.is_set():
            page.changed.wait(min(1.0, OWN_SECS))
            if page.changed.is_set():
                self._core.stopping.wait(FLUSH_SECS)
                page.flush()
            now = time.monotonic()
            if now >= next_own:
                next_own = now + OWN_SECS
                self._core.publish_own()
            if now >= next_check:
                next_check = now + 1
                for item in list(self._core.items.values()):
                    item.check_stale(now)


def own_values(begun: float) -> dict[str, float]:
    """The items about the process itself: ``uptime`` in seconds (``begun``: monotonic seconds of its start), ``memory`` in
    megabytes (the peak, where the system tells no other), ``cpu`` in seconds."""
    times = os.times()
    return {
        "uptime": round(time.monotonic() - begun, 1),
        "memory": round(_memory() / 1e6, 1),
        "cpu": round(times.user + times.system, 2),
    }


def _memory() -> float:
    if sys.platform == "win32":
        return 0.0
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
