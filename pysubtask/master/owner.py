"""Which process a master's children belong to: a forked copy of the app has the same objects."""

import logging
import os
import threading

from ..common.process import is_alive, process_start


class Owner:
    """The process that makes this object: it alone starts and stops the children."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.start = process_start(self.pid) or ""
        """When the process was started (``process_start``)."""
        self.lock = threading.RLock()  # may be taken again: a signal handler of the app may call in at any moment
        """Held by the thread that starts, checks or stops the children."""
        self._session = _session()
        self._is_reported = False

    def is_this_process(self) -> bool:
        """Whether the process that calls is the owner."""
        return os.getpid() == self.pid

    def is_alive(self) -> bool:
        """Whether the owner lives."""
        return is_alive(self.pid, self.start)

    def is_continued(self) -> bool:
        """Whether this forked copy continues the app as a daemon: the original has ended, and this copy has left its session. A
        worker that outlives its app is still in that session, and takes nothing over."""
        return _session() != self._session and not self.is_alive()

    def report_copy(self, logger: logging.Logger) -> None:
        """Log once that this process is a copy."""
        if not self._is_reported:
            self._is_reported = True
            text = "Process [%d] is a copy of [%d]: it may notify, but does not start or stop children."
            logger.warning(text, os.getpid(), self.pid)


def _session() -> int | None:
    """The session that this process is in; None on a system without."""
    return os.getsid(0) if hasattr(os, "getsid") else None
