"""The process that alerts: started beside the children where ``alerts.Command`` is set, and restarted where it has ended.

It is a process of its own so that neither the app nor a child ever waits for the user's program, and so that a child which is dead
or hangs is noticed.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..common.alert_command import check_command
from ..common.alert_handoff import MODULE, AlertHandoff, Watched, write
from ..common.entries import Entry, first_folder
from ..common.restarts import Restarts
from .child import Child, Launch, can_be_started, wait
from .child_config import Plan

_END_SECS = 1.0  # stop() waits at most twice that for the alerter and its program
_LOG_KEYS = ("LogFormat", "LogMaxBytes", "LogKeep", "LogLevel")


class Alerter:
    """Starts, supervises and ends that process. ``settings``: the ``alerts`` section. ConfigError where others may write the
    program."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it is checked again before it is run
            check_command(settings["Command"])
        self.settings = dict(settings)
        self._child: Child | None = None
        self._restarts = Restarts()
        self._renewed = False

    @property
    def pid(self) -> int | None:
        """Of the process, None where it does not run."""
        return None if self._child is None else self._child.pid

    def supervise(self, now: float, launch: Callable[[], tuple[Launch, int]], log: logging.Logger) -> None:
        """Start it where it does not run and is due. ``now``: monotonic seconds; ``launch`` gives how, and the descriptor of its
        hand-off. Never waits, never raises OSError."""
        if self._child is not None:
            ending = self._child.poll()
            if ending is None:
                return
            self._child = None
            if not self._renewed:
                self._restarts = self._restarts.ended(now)
                log.error("What alerts ended by itself (%s): next start in [%g] secs.", ending, self._restarts.wait)
            self._renewed = False
        if self._restarts.due is not None and now < self._restarts.due:
            return
        self._restarts = self._restarts.began(now)
        try:
            how, handoff = launch()
            try:
                self._child = Child(how, handoff)
            finally:
                os.close(handoff)
        except OSError as exc:
            self._restarts = self._restarts.ended(time.monotonic())
            log.error("What alerts cannot be started (%s): next try in [%g] secs.", exc, self._restarts.wait)

    def renew(self) -> None:
        """End the process, since its hand-off is out of date; a later ``supervise`` starts it again. Never waits."""
        if self._child is not None:
            self._renewed = True
            self._child.terminate()

    def end(self) -> None:
        """End it, and the program that it runs; it takes a moment, at most a second. Harmless where it does not run."""
        child, self._child, self._restarts, self._renewed = self._child, None, Restarts(), False
        if child is None:
            return
        child.terminate()
        if wait([child], _END_SECS):
            child.kill()
            wait([child], _END_SECS)

    def forget(self) -> None:
        """In a copy of the app that takes the task over: the process is that of the original, and ends with it."""
        self._child, self._restarts, self._renewed = None, Restarts(), False


def create(settings: Mapping[str, Any]) -> Alerter:
    """An alerter for these settings. ConfigError also where this program cannot start such a process (a frozen one that lacks
    it)."""
    can_be_started(MODULE)
    return Alerter(settings)


def handed(
    plans: Sequence[Plan],
    entries: Sequence[Entry],
    settings: Mapping[str, Any],
    log_file: str | None,
    console: bool,
    master: tuple[int, str],
) -> int:
    """The descriptor of a hand-off about the children with these plans; ``master``: pid and start. OSError."""
    folder = first_folder(entries)
    children = [Watched(plan.task, plan.extension, plan.state_dir, plan.label, folder, plan.config_file) for plan in plans]
    log = {key: plans[0].settings[key] for key in _LOG_KEYS}
    return write(AlertHandoff(dict(settings), children, log_file, console, log, *master, os.environ.get("PYTHONPATH")))
