"""A thread that does what it is given, one thing after the other.

``concurrent.futures`` has that too, with a future, a condition and two semaphores for each call; the queue is asked several times
for each file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Worker:
    """The thread begins with the first call; RuntimeError where the system starts none (see :mod:`pysubtask.common.limits`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False

    def submit(self, call: Callable[[], None]) -> None:
        """Have this done, which must not raise; from any thread. RuntimeError after ``shutdown``."""
        with self._guard:
            if self._ended:
                raise RuntimeError(f"the thread [{self._name}] has ended")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._calls.put(call)

    def shutdown(self) -> None:
        """Do what was submitted, and end; harmless twice."""
        with self._guard:
            if not self._ended:
                self._ended = True
                self._calls.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # what it holds must not live until the next one comes
