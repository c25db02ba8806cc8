"""The only wait of the child's main thread: ended by time, by another thread, or by a signal."""

from __future__ import annotations

import contextlib
import selectors
import socket


class WakeEvent:
    """``wait`` sleeps until its time is over or ``set`` is called; a ``set`` before ``wait`` is not lost.

    A socket pair rather than a threading.Event, because it can be set from a signal handler and works on every platform.
    """

    def __init__(self) -> None:
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inner, selectors.EVENT_READ)

    def set(self) -> None:
        """Wake the waiter. Cheap, never blocks; for any thread or signal handler."""
        # A full buffer means that the waiter is awake already, a closed socket that there is none any more.
        with contextlib.suppress(OSError):
            self._outer.send(b"\0")

    def wait(self, secs: float) -> bool:
        """Sleep up to ``secs`` seconds; whether it was woken."""
        if not self._selector.select(max(0.0, secs)):
            return False
        with contextlib.suppress(BlockingIOError):
            while self._inner.recv(4096):
                pass
        return True

    def close(self) -> None:
        """Close both sockets."""
        self._selector.close()
        self._inner.close()
        self._outer.close()
