"""What a version before has queued though it is no data: files of this program and secrets of its user."""

from __future__ import annotations

import logging

from ...common.events import EventLog, happened
from ...common.never_sent import NeverSent
from .spool_thread import Store


def drop_own(store: Store, own: NeverSent, events: EventLog, log: logging.Logger) -> None:
    """Take such versions out of the queue, at the start, before anything of it is sent."""
    if not own:
        return
    found = {row.name: why for row in store.run(store.spool.backlog.rows, -1) if (why := own.why(row.path))}
    if not found:
        return
    names, _, garbage = store.run(store.spool.backlog.drop, list(found))
    events.emit_all([happened("dropped", name=name, reason=f"it is never sent: {found[name]}") for name in names])
    store.drop(garbage)
    for name in names:
        log.warning("[%s] was queued and is dropped: it is never sent, being %s", name, found[name])
