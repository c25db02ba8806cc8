"""Removes jobs from the queue that an earlier release queued though they are no data: files of this program and secrets of
its user."""

from __future__ import annotations

import logging

from ...common.events import EventLog, happened
from ...common.never_sent import NeverSent
from .spool_thread import SpoolThread


def drop_own(spool_thread: SpoolThread, own: NeverSent, events: EventLog, log: logging.Logger) -> None:
    """Drop such jobs from the queue. Called at the start, before anything is sent."""
    if not own:
        return
    found = {row.name: why for row in spool_thread.run(spool_thread.spool.queue_admin.rows, -1) if (why := own.why(row.path))}
    if not found:
        return
    names, _, garbage = spool_thread.run(spool_thread.spool.queue_admin.drop, list(found))
    events.emit_all([happened("dropped", name=name, reason=f"it is never sent: {found[name]}") for name in names])
    spool_thread.drop(garbage)
    for name in names:
        log.warning("[%s] was queued and is dropped: it is never sent, being %s", name, found[name])
