"""Runs one long task at a time, beside the main thread of the child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ...common.limits import is_limit

K = TypeVar("K")
T = TypeVar("T")


class OneTaskThread(Generic[K, T]):
    """``wake`` is called, from the thread, when a task is done. The thread is a daemon, so it does not delay the end of the
    process."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._key: K | None = None
        self._future: Future[T] | None = None

    @property
    def key(self) -> K | None:
        """The key of the task that runs, or waits to be fetched."""
        return self._key

    def begin(self, key: K, work: Callable[[], T]) -> None:
        """Start a task. Only while no other one runs or waits to be fetched."""
        assert self._future is None
        self._key, self._future = key, Future()
        future = self._future
        try:
            threading.Thread(target=self._run, args=(future, work), name="background", daemon=True).start()
        except RuntimeError as exc:
            if not is_limit(exc):
                raise
            self._run(future, work)  # the system starts no thread: running the task here is slower, but correct

    def fetch(self, *, wait: bool = False) -> tuple[K, Future[T]] | None:
        """The finished task, once; None where there is none yet. ``wait``: wait for its end."""
        key, future = self._key, self._future
        if key is None or future is None:
            return None
        if wait:
            future.exception()
        elif not future.done():
            return None
        self._key = self._future = None
        return key, future

    def _run(self, future: Future[T], work: Callable[[], T]) -> None:
        try:
            value = work()
        except BaseException as exc:  # noqa: BLE001 - raised again where the result is read
            future.set_exception(exc)
        else:
            future.set_result(value)
        self._wake()
