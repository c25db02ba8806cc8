"""The request ``retry``: offer refused and waiting files again at once."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .connection import connect
from .job_names import names_of
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """Offer these files again, without names all. Raises ValueError."""
    names = names_of(context, request)

    def retry() -> int:
        # On the spool's thread, where a status page is taken, too: it has both the change and its event, or neither.
        count = context.spool_thread.spool.queue_admin.retry(names or None)
        context.events.emit("retry_ordered", names=names or None, count=count, **who(request))
        return count

    count = context.spool_thread.run(retry)
    context.child.queue_changed()
    return {"offered": count} | connect(context)
