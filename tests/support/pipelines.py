"""A snapshot pipeline as a child has it, without a child: its names are relative to a folder, and nothing reads its queue."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from pysubtask.common.entries import Entry
from pysubtask.common.events import EventLog
from pysubtask.subtask.snapshot.copy_aids import CopyAids
from pysubtask.subtask.snapshot.interfaces import PathNames
from pysubtask.subtask.snapshot.pipeline import SnapshotPipeline
from pysubtask.subtask.snapshot.retakes import Retakes
from pysubtask.subtask.snapshot.snapshot_context import SnapshotContext
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
from pysubtask.subtask.spool.jobs import QueuedSnapshot
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.subtask.watch.watcher import Due, Watcher


class RelativeNames(PathNames):
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def name_of(self, due: Due) -> str:
        return os.path.relpath(due.path, self._folder)


class NoReader:
    def expect(self) -> None:
        pass

    def jobs_added(self, entries: Sequence[QueuedSnapshot]) -> None:
        pass


def pipeline_of(
    entries: Sequence[Entry],
    watch: Watcher,
    snapshotter: Snapshotter,
    spool_thread: SpoolThread,
    status_model: StatusModel,
    folder: str,
    wake: Callable[[], None] = lambda: None,
    aids: CopyAids | None = None,
) -> SnapshotPipeline:
    events, log = EventLog(spool_thread.state_dir, 1), logging.getLogger("quiet")
    return SnapshotPipeline(
        SnapshotContext(spool_thread, status_model, events, log, time.time, "more"),
        entries,
        watch,
        snapshotter,
        RelativeNames(folder),
        NoReader(),
        aids or CopyAids(),
        Retakes(wake),
        between=lambda: None,
        wake=wake,
    )
