"""One long piece of work at a time, beside the child's main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ...common.limits import is_limit

K = TypeVar("K")
T = TypeVar("T")


class OneTaskThread(Generic[K, T]):
    """``wake`` is called, from the thread, when a piece of work is done. A daemon: it holds no process back."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._key: K | None = None
        self._future: Future[T] | None = None

    @property
    def key(self) -> K | None:
        """What is being worked on, or waits to be fetched."""
        return self._key

    def begin(self, key: K, work: Callable[[], T]) -> None:
        """Start; only while nothing else is under way."""
        assert self._future is None
        self._key, self._future = key, Future()
        future = self._future
        try:
            threading.Thread(target=self._run, args=(future, work), name="background", daemon=True).start()
        except RuntimeError as exc:
            if not is_limit(exc):
                raise
            self._run(future, work)  # no thread is to be had: here and now is slower, not wrong

    def fetch(self, *, wait: bool = False) -> tuple[K, Future[T]] | None:
        """What is finished, once; None where there is nothing yet. ``wait`` for it."""
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
        except BaseException as exc:  # noqa: BLE001 - whoever fetches it shall see it
            future.set_exception(exc)
        else:
            future.set_result(value)
        self._wake()
