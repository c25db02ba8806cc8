"""The notifies of an app: written at once, held back by burst mode, or written as soon as that is possible."""

import logging
import os

from .burst_holds import Holds
from .notify_writer import Stamps
from .task_plan import TaskPlan


class Notifier:
    """Notifies the files of a task."""

    def __init__(self, task: TaskPlan, logger: logging.Logger) -> None:
        self._watched = task.watched
        self._static = list(task.watched.files.values())
        self._never_sent = task.never_sent
        self._logger = logger
        self.stamps = Stamps(logger)
        """The stamps, written or waiting to be."""
        self.holds = Holds(task.rule, self.stamps, logger)
        """The notifies that burst mode holds back."""

    def notify_all(self) -> bool:
        """Notify every static file at once; whether all are stamped."""
        stamped = [self._stamp(notify) for notify in self._static]
        return all(stamped)

    def notify_index(self, i: int, at_once: bool) -> bool:
        """Notify the static file number ``i``, ``at_once`` or by its burst mode; whether it is stamped or held. Never raises."""
        if not isinstance(i, int) or not 0 <= i < len(self._static):
            self._logger.error("Notify file index [%s] out of range!", i)
            return False
        notify = self._static[i]
        if at_once or notify not in self._watched.bursting or self.stamps.is_closed(notify):
            return self._stamp(notify)
        return self.holds.call(notify)

    def notify_path(self, path: str | bytes | os.PathLike[str], at_once: bool) -> bool:
        """Notify a watched file, ``at_once`` or by its burst mode; whether it is stamped or held. Never raises."""
        try:
            notify = self._watched.notify_of(os.path.abspath(os.fsdecode(path)))
        except (TypeError, ValueError, OSError):
            notify = None
        if notify is None:
            self._logger.error("Notify file [%s] is not watched!%s", path, self._why_never_sent(path))
            return False
        if at_once or not self._watched.bursts(notify) or self.stamps.is_closed(notify):
            return self._stamp(notify)
        return self.holds.call(notify)

    def release(self) -> None:
        """Notify what is held back, and write what waits where that is possible."""
        self.holds.release()
        self.stamps.again()

    def is_watched(self, path: str) -> bool:
        """Whether a data file is watched."""
        return self._watched.has(path)

    def _stamp(self, notify: str) -> bool:
        stamped = self.stamps.stamp(notify)
        if stamped:
            self.holds.clear(notify)
        return stamped

    def _why_never_sent(self, path: str | bytes | os.PathLike[str]) -> str:
        try:
            why = self._never_sent.why(os.path.abspath(os.fsdecode(path)))
        except (TypeError, ValueError, OSError):
            return ""
        return f" It is never sent: {why}." if why else ""
