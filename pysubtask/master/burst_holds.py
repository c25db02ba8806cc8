"""The notifies that burst mode holds back: the state of each file, and the hold files that outlive the app."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

from ..common.line_rate import each
from ..common.notify import NOTIFY, data_name, hold_name, remove_signal, write_hold
from . import burst
from .notify_writer import Stamps

# Above this many files those that are quiet are forgotten: a watched folder may see new names for years.
_REMEMBERED = 1000


class Holds:
    """Notifies under burst mode. Files go by the path of their notify file.

    For each held notify there is a hold file beside the data, so that the child sends the data when it is due even if this
    program never calls again. ``clock`` (monotonic) and ``wall`` in nanoseconds.
    """

    def __init__(
        self,
        rule: burst.Rule,
        stamps: Stamps,
        logger: logging.Logger,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._rule = rule
        self._stamps = stamps
        self._logger = logger
        self._clock = clock
        self._wall = wall
        self._bursts: dict[str, burst.Burst] = {}
        self._sizes: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self._reported: set[str] = set()
        self._room = _REMEMBERED
        self._lock = threading.RLock()  # may be taken again: a signal handler of the app may notify at any moment
        self._owner = os.getpid()

    def __len__(self) -> int:
        """How many files are held."""
        return sum(state.pending is not None for state in list(self._bursts.values()))

    def call(self, notify: str) -> bool:
        """The app notifies; whether the file is stamped, or held with a hold file to prove it. Never raises."""
        with self._alone():
            now = self._clock()
            state = self._bursts.get(notify, burst.Burst())
            decision = burst.called(self._rule, state, now, self._grown(notify))
            self._bursts[notify] = decision.state
            if state.prev is None:
                self._files.setdefault(notify, 0)  # an earlier run may have left a hold file
                self._forget(now)
            self._say(decision.line, notify)
            if decision.hold is not None and self._hold(notify, decision.hold, now):
                return True
            return self._notify(notify)

    def check_due(self) -> None:
        """Notify the files whose hold has ended."""
        if not self._bursts:
            return
        with self._alone():
            now = self._clock()
            for notify, state in list(self._bursts.items()):
                decision = burst.looked(state, now)
                if decision is None:
                    continue
                if decision.hold is None:
                    self._say(decision.line, notify)
                    self._notify(notify)
                elif notify not in self._reported:
                    self._reported.add(notify)  # once is enough for a timer that asks often
                    self._say(decision.line, notify)

    def release(self) -> None:
        """Notify everything that is held, and forget every burst."""
        with self._alone():
            for notify, state in list(self._bursts.items()):
                if state.pending is not None:
                    self._notify(notify)
            self._bursts.clear()
            self._sizes.clear()

    def clear(self, notify: str) -> None:
        """The file has been notified without burst mode: its data is held no more."""
        if notify in self._bursts:
            with self._alone():
                self._cleared(notify, True)

    def _hold(self, notify: str, due: int, now: int) -> bool:
        """Write ``due`` to the hold file; False where that fails: then the hold would be in memory alone and end with the app."""
        if self._files.get(notify) == due:
            return True
        try:
            write_hold(hold_name(data_name(notify)), self._wall() + due - now)
        except (OSError, ValueError):
            return False
        self._files[notify] = due
        self._reported.discard(notify)
        return True

    def _notify(self, notify: str) -> bool:
        # First the stamp: killed in between, the child sees one more notify rather than one less.
        stamped = self._stamps.stamp(notify)
        self._cleared(notify, stamped)
        return stamped

    def _cleared(self, notify: str, stamped: bool) -> None:
        if notify in self._bursts:
            self._bursts[notify] = burst.flushed(self._bursts[notify])
        self._reported.discard(notify)
        # Where the stamp cannot be written yet, the hold file stays: it outlives the app.
        if stamped and self._files.pop(notify, None) is not None:
            with contextlib.suppress(OSError, ValueError):  # it is missing, or stays and costs the child one more read
                remove_signal(hold_name(data_name(notify)))

    def _grown(self, notify: str) -> int:
        """How many bytes the data file has more than at the last call; all of them where it was begun again."""
        if not self._rule.size:
            return 0
        try:
            size = os.stat(notify[: -len(NOTIFY)]).st_size
        except (OSError, ValueError):
            size = 0
        before = self._sizes.get(notify, 0)
        self._sizes[notify] = size
        return size - before if size >= before else size

    def _forget(self, now: int) -> None:
        if len(self._bursts) <= self._room:
            return
        for notify, state in list(self._bursts.items()):
            if burst.forgettable(self._rule, state, now):
                del self._bursts[notify]
                self._sizes.pop(notify, None)
                self._files.pop(notify, None)
        self._room = max(_REMEMBERED, 2 * len(self._bursts))

    def _say(self, line: str, notify: str) -> None:
        if line:
            self._logger.info("%s File [%s]", line, data_name(notify), extra=each("burst"))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time. In a forked copy of the app the lock may be held by a thread that does not exist there, so the copy
        gets a lock of its own."""
        if os.getpid() != self._owner:
            self._lock, self._owner = threading.RLock(), os.getpid()
        with self._lock:
            yield
