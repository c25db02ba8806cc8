"""Connects at once, because a person who makes a request does not want to wait for the next try."""

from __future__ import annotations

from typing import Any

from ..spool.queue_admin import EVERYTHING
from .request_context import RequestContext


def connect(context: RequestContext, *, coming: bool = False) -> dict[str, Any]:
    """Connect at once; the outcome for the reply, empty where there is nothing to send, unless something is ``coming``."""
    spool = context.spool_thread.spool
    paused = EVERYTHING in spool.queue_admin.paused
    if not coming and not paused and context.spool_thread.run(spool.queue.next_due) is None:
        return {}
    connection = context.delivery.connect_now()
    return {} if connection is None else {"connection": connection}
