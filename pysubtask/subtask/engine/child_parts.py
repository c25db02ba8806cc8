"""The parts of a child, made at its start: disk checks, watch, snapshots, delivery and requests."""

from __future__ import annotations

import os
from typing import NamedTuple

from ...common.never_sent import NeverSent, of_task
from ...common.notify import Toucher
from ...common.requests import waiting
from ...common.state_place import own_folders
from ...common.watched import Watched
from ..base_subtask import BaseSubtask, serve
from ..requests.request_context import RequestContext
from ..requests.request_handlers import handlers_of
from ..requests.request_server import RequestServer
from ..snapshot.known_stamps import KnownStamps
from ..snapshot.pipeline import SnapshotPipeline
from ..snapshot.snapshot_context import SnapshotContext
from ..snapshot.snapshotter import Snapshotter
from ..watch.watcher import Watcher
from .child_context import ChildContext, OpenChild
from .child_control import ChildControl
from .deliveries import delivery_of, destination_of
from .delivery import Delivery
from .disk_checks import DiskChecks, state_folders_of
from .open_state import open_state, take_over
from .services import SubtaskServices
from .start_report import StartReport
from .state_folder import StateFolder


class ChildParts(NamedTuple):
    """Of a ``child`` whose state is open: ``disk_checks`` tells which folders are there, the ``watch`` finds due files, the
    ``pipeline`` puts snapshots of them into the queue, the ``delivery`` takes them from there; ``request_server`` carries out
    requests by ``control``."""

    child: OpenChild
    disk_checks: DiskChecks
    watch: Watcher
    pipeline: SnapshotPipeline
    delivery: Delivery
    control: ChildControl
    request_server: RequestServer


def open_parts(
    subtask: BaseSubtask, context: ChildContext, state_folder: StateFolder, last_sign: float | None, report: StartReport
) -> ChildParts:
    """Open the state and make the parts; nothing runs yet. ``last_sign``: when the last child was alive (seconds since the epoch),
    None where that is not known. Raises PysubtaskError, OSError."""
    handoff = context.handoff
    moved_from = state_folder.settle(report.write)
    own = of_task(handoff.own, handoff.entries)
    state_folders = state_folders_of(context)
    destination = destination_of(subtask, context.settings.current)
    state = open_state(subtask, context, destination, moved_from, own, report)
    child = state.child
    disk_checks = DiskChecks(context, child.spool_thread, state_folders)
    take_over(state, own)
    delivery = delivery_of(subtask, child, report)
    watch = _watch_of(child, disk_checks, own, last_sign)
    watch.offer(handoff.residual)
    pipeline = _pipeline_of(child, watch, state.snapshotter, delivery)
    control = ChildControl(child, delivery, disk_checks, subtask.settings)
    request_server = _request_server_of(child, control, delivery, own)
    control.settings_changed(set(context.settings.current))
    serve(subtask, SubtaskServices(child, delivery))
    state_folder.announce()
    return ChildParts(child, disk_checks, watch, pipeline, delivery, control, request_server)


def _watch_of(child: OpenChild, disk_checks: DiskChecks, own: NeverSent, last_sign: float | None) -> Watcher:
    context, handoff, first = child.context, child.context.handoff, child.context.first
    skip = [folder for folder in (handoff.bak_dir, *own_folders(handoff.state_dir, first)) if folder]
    archive = os.path.normpath(os.path.join(first, context.settings.current["ArchiveToFolder"] or "."))
    if archive != first:
        skip.append(archive)
    nested = list(handoff.left_out)
    if handoff.log_file:
        skip.append(handoff.log_file)
        nested.append(os.path.dirname(handoff.log_file))
    if child.destination.startswith("file://"):
        skip.append(child.destination.removeprefix("file://"))
    return Watcher(
        handoff.entries,
        KnownStamps(child.spool_thread),
        skip,
        context.alarm.tick_soon,
        nested=nested,
        longest_hold=float(handoff.burst["expire_milli"]) / 1000,
        own=own,
        last_sign=last_sign,
        unmounted=disk_checks.disks,
    )


def _pipeline_of(child: OpenChild, watch: Watcher, snapshotter: Snapshotter, delivery: Delivery) -> SnapshotPipeline:
    context = child.context
    return SnapshotPipeline(
        SnapshotContext(child.spool_thread, context.status_model, child.events, context.log, context.wall, context.more),
        context.handoff.entries,
        watch,
        snapshotter,
        delivery.names,
        delivery,
        child.aids,
        child.retakes,
        between=child.write_page,
        wake=context.alarm.tick_soon,
    )


def _request_server_of(child: OpenChild, control: ChildControl, delivery: Delivery, own: NeverSent) -> RequestServer:
    context, handoff = child.context, child.context.handoff
    request_context = RequestContext(
        handoff.state_dir,
        handoff.entries,
        handoff.left_out,
        Watched(handoff.entries, set(handoff.left_out), own),
        context.settings,
        child.spool_thread,
        context.status_model,
        child.events,
        context.log,
        control,
        delivery,
        Toucher(),
        frozenset(request.id for request in waiting(handoff.state_dir)),
        context.clock,
        context.wall,
    )
    return RequestServer(handoff.state_dir, handlers_of(request_context), context.log, context.wall)
