"""Why due files are not in the queue: errors of single files, and a disk that takes nothing. Each is reported once."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...common.errors import DiskLow, SourceChanged, SourceError, SourceMissing
from ...common.events import happened
from ...common.notify import Stamp
from ..watch.watcher import Due
from .read_errors import CHANGING, CLASH, MISSING, READ, ReadErrors
from .snapshot_context import SnapshotContext


class SnapshotProblems:
    """Reports in the log, on the status page and as events; times are monotonic seconds. ``was_low``, ``is_low``: whether the disk
    was too full in the last turn of the pipeline, and is so in the present one."""

    def __init__(self, context: SnapshotContext) -> None:
        self._context = context
        self._read_errors = ReadErrors()
        self.was_low = self.is_low = False

    # -- files --------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._read_errors)

    def __contains__(self, path: object) -> bool:
        return path in self._read_errors

    def waits(self, due: Due, now: float) -> bool:
        """Whether the file has to wait for its next try."""
        return self._read_errors.waits(due.path, now, _signals(due))

    def next_at(self) -> float | None:
        """When a file that could not be read is tried again."""
        return self._read_errors.next_at()

    def clash(self, due: Due, reason: str, now: float) -> None:
        """The file may not have its name in the queue."""
        self._context.status_model.error("clash", f"{due.path}: {reason}", due.path)
        if self._read_errors.add(due.path, reason, now, _signals(due), CLASH):
            self._context.log.error("PARKED [%s]: %s; %s", due.path, reason, self._context.more)
            self._context.events.emit("clash", path=due.path, reason=reason)

    def unreadable(self, due: Due, exc: SourceError, now: float) -> None:
        """The file could not be copied."""
        # A file that changes while it is copied is the usual case of a busy writer, which is not an error.
        # However often such a file is notified, the copy is not tried all the time.
        moved = isinstance(exc, SourceChanged)
        if not moved:
            self._context.status_model.error("source_error", str(exc), due.path)
        asked = None if moved else _signals(due)
        if self._read_errors.add(due.path, str(exc), now, asked, CHANGING if moved else READ) and not moved:
            self._context.log.error("Cannot snapshot [%s]: %s; %s", due.path, exc, self._context.more)
            self._context.events.emit("source_error", path=due.path, reason=str(exc))

    def missing(self, due: Due, exc: SourceMissing, now: float) -> None:
        """The file was notified and is not there."""
        self._context.status_model.error("source_missing", f"{due.path} was notified and is not there", due.path)
        if self._read_errors.add(due.path, str(exc), now, _signals(due), MISSING):
            self._context.log.error("File [%s] notified but does not exist!", due.path)
            self._context.events.emit("source_missing", path=due.path)

    def lost(self, paths: Iterable[str]) -> None:
        """Report files that were due and are gone before they could be copied: no version of them is left to send."""
        lost = [path for path in paths if not os.path.lexists(path)]
        if lost:
            self._context.log.warning(
                "Deleted before %s could be copied: [%s]%s",
                "it" if len(lost) == 1 else "they",
                lost[0],
                f" and {len(lost) - 1} more" if len(lost) > 1 else "",
            )
            self._context.events.emit_all([happened("deleted_before_copy", path=path) for path in lost])

    def over(self, path: str) -> None:
        """The errors of this file are over."""
        if path in self._read_errors:
            self._read_errors.clear(path)
            self._context.status_model.over("source_error", "source_missing", "clash", about=path)

    def listing(self) -> list[dict[str, str]]:
        """The first of the files with errors, for the status page."""
        return self._read_errors.listing()

    # -- the disk -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A turn of the pipeline begins: the disk is tried again."""
        self.was_low, self.is_low = self.is_low, False

    def disk_low(self, exc: SourceError) -> None:
        """The disk does not take a snapshot, or the queue: nothing that is not in the queue is handled."""
        context = self._context
        if not (self.was_low or self.is_low):
            if problem := getattr(exc, "problem", ""):
                text = "DISK FAULT! Nothing is copied, and notifies stay due, until the disk takes it: %s (%s); %s"
                context.log.error(text, exc, problem, context.more)
            else:
                context.log.error("DISK LOW! Notifies stay due until there is room: %s; %s", exc, context.more)
            with context.status_model.guard:
                context.events.emit("disk_low", reason=str(exc))
                context.status_model.set(disk_low=True)
        self.is_low = True
        if isinstance(exc, DiskLow):
            problem_fact = {"problem": exc.problem} if exc.problem else {}
            context.status_model.set(disk={"free": exc.free, "least": exc.least, **problem_fact})
        context.status_model.error("disk_low", str(exc))

    def end(self, *, tried: bool) -> None:
        """A turn of the pipeline ends; ``tried``: a file was due, so that the disk was tried."""
        if self.was_low and not self.is_low and tried:
            self._context.log.info("The disk takes what is copied again")
            with self._context.status_model.guard:
                self._context.events.emit("disk_ok")
                self._context.status_model.set(disk_low=False)
                self._context.status_model.over("disk_low")


def _signals(due: Due) -> tuple[Stamp | None, Stamp | None]:
    """The stamps that distinguish a new notify from one whose snapshot failed."""
    return due.stamp, due.hold
