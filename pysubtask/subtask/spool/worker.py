"""A thread that runs the calls it is given, one after the other.

``concurrent.futures`` can do that too, with a future, a condition and two semaphores for each call; the queue is called several
times for each file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Worker:
    """The thread starts with the first call; RuntimeError where the system starts none (see :mod:`pysubtask.common.limits`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Guards ``_thread`` and ``_ended``: of two first calls one starts the thread, and no call comes behind the end.
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False

    def submit(self, call: Callable[[], None]) -> None:
        """Run this call, which must not raise; from any thread. RuntimeError after ``shutdown``."""
        with self._guard:
            if self._ended:
                raise RuntimeError(f"the thread [{self._name}] has ended")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._calls.put(call)

    def shutdown(self) -> None:
        """Run the calls that were submitted, and end; a second call does nothing."""
        with self._guard:
            if not self._ended:
                self._ended = True
                self._calls.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # the objects of this call must not live until the next call
