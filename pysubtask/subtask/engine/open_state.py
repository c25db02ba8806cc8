"""Opens the state of a child that has its lock: queue, events, status page, and what is left of an earlier child."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from ...common import status_group
from ...common.events import EventLog
from ...common.never_sent import NeverSent
from ...common.state_place import SNAPSHOTS
from ..base_subtask import BaseSubtask
from ..snapshot.bak_folder import sweep_former
from ..snapshot.copy_aids import CopyAids
from ..snapshot.retakes import Retakes
from ..snapshot.snapshotter import Snapshotter
from ..spool.excluded_jobs import drop_own
from ..spool.spool_thread import SpoolThread
from ..state_migration import tag_of
from ..status import heartbeat
from ..status.status_writer import StatusWriter
from . import first_page
from .child_context import ChildContext, OpenChild
from .child_heartbeat import ChildHeartbeat
from .dead_time import DeadTime
from .start_report import StartReport
from .user_hooks import UserHooks


class OpenState(NamedTuple):
    """``child``, and the ``snapshotter`` that makes its snapshots; ``tag``: a part of the names of its snapshots."""

    child: OpenChild
    snapshotter: Snapshotter
    tag: str


def open_state(
    subtask: BaseSubtask, context: ChildContext, destination: str, moved_from: list[str], own: NeverSent, report: StartReport
) -> OpenState:
    """Open the queue and what depends on it. ``own``: this program's own files. Raises PysubtaskError, OSError."""
    handoff, settings = context.handoff, context.settings
    # The queue removes snapshots by the snapshotter, whose names need a value that the queue keeps.
    snapshotters: list[Snapshotter] = []
    spool_thread = report.when_there_is_room(
        lambda: SpoolThread(handoff.state_dir, destination, lambda *paths: snapshotters[0].drop(*paths), context.wall)
    )
    tag = str(spool_thread.run(spool_thread.spool.meta.get, "tag", tag_of(handoff.state_dir)))
    aids = CopyAids()
    goes_with_it = handoff.bak_dir == os.path.join(handoff.state_dir, SNAPSHOTS)
    snapshotters.append(
        Snapshotter(
            handoff.bak_dir,
            tag,
            lambda: int(settings.current["MinFreeBytes"]),
            own.why_opened,
            handoff.state_dir if goes_with_it else context.first,
            aids.growing_copies.is_kept,
        )
    )
    events = EventLog(handoff.state_dir, spool_thread.spool.start.epoch, context.wall, context.status_model.guard)
    group = status_group.of(settings.current)
    status_writer = StatusWriter(handoff.state_dir, context.status_model, events, spool_thread, context.wall, group)
    report.status_writer = status_writer
    beat = heartbeat.make(settings.current, context.first, handoff.state_dir, handoff.owns_heartbeat, socket.gethostname)
    child = OpenChild(
        context,
        destination,
        moved_from,
        spool_thread,
        events,
        status_writer,
        UserHooks(subtask, context.log, events, context.status_model),
        ChildHeartbeat(beat, status_writer, context.log, context.clock),
        DeadTime(context.clock),
        Retakes(context.alarm.tick_soon),
        aids,
    )
    return OpenState(child, snapshotters[0], tag)


def take_over(state: OpenState, own: NeverSent) -> None:
    """Report the start, and put in order what an earlier child left: a damaged queue, stale snapshots, another destination."""
    child, context = state.child, state.child.context
    handoff, events, spool_thread = context.handoff, child.events, child.spool_thread
    first_page.fill(context, spool_thread, child.destination)
    events.emit("started", pid=os.getpid(), destination=child.destination)
    for old in child.moved_from:
        events.emit("state_moved", source=old, folder=handoff.state_dir)
    if spool_thread.damaged:
        context.log.error("The queue was damaged and is begun anew; every file is offered again: %s", spool_thread.damaged)
        events.emit("spool_damaged", reason=spool_thread.damaged)
        context.status_model.error("spool_damaged", spool_thread.damaged)
        context.status_model.over("spool_damaged")
    else:
        kept_copies = spool_thread.run(spool_thread.spool.queue.snapshots)
        state.snapshotter.sweep(kept_copies)
        if handoff.config_file:
            sweep_former(context.first, context.settings.current["BakToFolder"], handoff.bak_dir, state.tag, kept_copies)
    if spool_thread.spool.start.moved:
        context.log.warning("The destination changed: what was queued goes to [%s]", child.destination)
        events.emit("destination_changed", destination=child.destination)
    drop_own(spool_thread, own, events, context.log)
