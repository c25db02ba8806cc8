"""The request ``resume``: end pauses."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from ..spool.queue_admin import EVERYTHING
from .connection import connect
from .job_names import names_of
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """End the pauses of these files; without names all pauses, those of single files too. Raises ValueError."""
    queue_admin = context.spool_thread.spool.queue_admin
    names = names_of(context, request) or sorted(queue_admin.paused)

    def resume() -> list[str]:
        # On the spool's thread, where a status page is taken, too: it has both the change and its event, or neither.
        ended = queue_admin.resume(names)
        with context.status_model.guard:
            context.events.emit("resumed", names=[name for name in ended if name] or None, **who(request))
            context.tell_pauses()
        return ended

    ended = context.spool_thread.run(resume)
    context.child.queue_changed()
    listed = ["everything" if name == EVERYTHING else name for name in ended]
    return {"resumed": listed} | connect(context)
