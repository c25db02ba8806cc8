"""What the status page of a child tells from its start on."""

from __future__ import annotations

import os

from ...common.events import utc
from ...common.place import existing
from ...common.process import process_start
from ...common.triggers import when_sent
from ..spool.spool_thread import SpoolThread
from .child_context import ChildContext

_LISTED_ENTRIES = 10
"""Number of entries on the status page, which is written often."""


def fill(context: ChildContext, spool_thread: SpoolThread, destination: str) -> None:
    """Set these facts of the status model, and enter the state 'starting'."""
    handoff, pid = context.handoff, os.getpid()
    listed = [{"path": entry.path, "when": when_sent(entry)} for entry in handoff.entries[:_LISTED_ENTRIES]]
    context.status_model.set(
        pid=pid,
        pid_start=process_start(pid),
        master_pid=handoff.master_pid,
        master_start=handoff.master_start,
        task=handoff.task,
        extension=handoff.extension,
        mark=handoff.mark,
        destination=destination,
        started_at=utc(context.wall()),
        delivered=0,
        bytes_sent=0,
        receipt=spool_thread.run(spool_thread.spool.deliveries.last_seq),
        label=handoff.label,
        folder=context.first,
        config_file=handoff.config_file,
        state_folder=handoff.state_dir,
        state_why=handoff.state_why,
        snapshots=handoff.bak_dir,
        snapshots_elsewhere=_are_snapshots_elsewhere(handoff.bak_dir, context.first),
        watched=listed,
        watched_more=len(handoff.entries) - len(listed),
    )
    context.status_model.state("starting")


def _are_snapshots_elsewhere(bak: str | None, first: str) -> bool:
    """Whether snapshots are on another device than the data, so that the free room of one says nothing about the other."""
    try:
        return bak is not None and os.stat(existing(bak)).st_dev != os.stat(first).st_dev
    except OSError:
        return False
