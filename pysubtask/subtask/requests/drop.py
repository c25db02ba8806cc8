"""The request ``drop``: take files out of the queue."""

from __future__ import annotations

from typing import Any

from ...common.events import happened
from ...common.requests import Request
from .job_names import names_of
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """Drop these files. Raises ValueError where none is named, or one is being sent."""
    names = names_of(context, request)
    if not names:
        raise ValueError("name the files to drop")

    def drop() -> tuple[list[str], list[str]]:
        # On the spool's thread, where a status page is taken, too: it has both the change and its events, or neither.
        dropped, moving, garbage = context.spool_thread.spool.queue_admin.drop(names)
        with context.status_model.guard:
            context.events.emit_all([happened("dropped", name=name, **who(request)) for name in dropped])
            context.tell_pauses()
        context.spool_thread.drop(garbage)
        return dropped, moving

    dropped, moving = context.spool_thread.run(drop)
    context.child.queue_changed()
    if moving:
        raise ValueError(f"{', '.join(moving)}: on its way just now. Pause it first, then drop it.")
    return {"dropped": dropped}
