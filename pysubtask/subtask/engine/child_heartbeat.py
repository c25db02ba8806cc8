"""The heartbeat of a child: when one is due, and its files."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..status.heartbeat import Heartbeat
from ..status.status_writer import StatusWriter


class ChildHeartbeat:
    """``clock``: monotonic seconds."""

    def __init__(self, heartbeat: Heartbeat, status_writer: StatusWriter, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._heartbeat = heartbeat
        self._status_writer = status_writer
        self._log = log
        self._clock = clock

    def begin(self) -> None:
        """Remove the files of an earlier child, and log what will be."""
        self._heartbeat.remove()
        if self._heartbeat.interval > 0:
            self._log.info("Heartbeat: File [%s] every [%s] secs.", self._heartbeat.file, self._heartbeat.interval)

    def end(self) -> None:
        """Remove the local files."""
        self._heartbeat.remove()

    def due_file(self, now: float) -> str | None:
        """The path of the heartbeat file where a heartbeat is due, which counts as asked for then; else None."""
        if not self._heartbeat.is_due(now):
            return None
        self._heartbeat.asked(now)
        return self._heartbeat.file

    def next_at(self) -> float | None:
        """When the next heartbeat is due (monotonic seconds); None where none is."""
        return self._heartbeat.next_at()

    def change(self, interval: float) -> None:
        """Take another interval, in seconds; 0 for no heartbeat."""
        self._heartbeat.change(interval, self._clock())

    def millis(self) -> float | None:
        """Milliseconds since the last heartbeat; None where none was sent."""
        last = self._heartbeat.last
        return None if last is None else (self._clock() - last) * 1000

    def write(self) -> list[str]:
        """Write the files as of now; the paths of those that are to be sent. Raises OSError. From any thread."""
        before = self._heartbeat.problem
        paths = self._heartbeat.write(self._clock(), self._status_writer.summary() if self._heartbeat.status else {})
        if self._heartbeat.problem and self._heartbeat.problem != before:
            self._log.warning(
                "Heartbeat file [%s] cannot be written (%s): only what is sent is.", self._heartbeat.file, self._heartbeat.problem
            )
        return paths
