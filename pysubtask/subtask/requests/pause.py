"""The request ``pause``: send nothing, or some files not, until ``resume``."""

from __future__ import annotations

from typing import Any

from ...common.events import utc
from ...common.requests import Request
from ..spool.queue_admin import EVERYTHING
from .job_names import names_of
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """Pause these files, without names everything; what is in flight is called back. Raises ValueError."""
    names = names_of(context, request) or [EVERYTHING]

    def pause() -> None:
        # On the spool's thread, where a status page is taken, too: it has both the pause and its event, or neither.
        context.spool_thread.spool.queue_admin.pause(names, str(request.who), utc(context.wall()))
        with context.status_model.guard:
            context.events.emit("paused", names=names if names != [EVERYTHING] else None, **who(request))
            context.tell_pauses()

    context.spool_thread.run(pause)
    context.delivery.queue_changed()
    return {"paused": names if names != [EVERYTHING] else "everything"}
