"""The request ``reset``: drop the connection and start over."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .request_context import RequestContext, who
from .request_server import Later


def handle(context: RequestContext, request: Request) -> Any:
    """Start over. Raises Later: the process that replaces this one answers, as a request that was waiting at its start is done by
    that start."""
    if request.id not in context.at_start:
        context.child.start_over()
        raise Later
    context.events.emit("reset_ordered", **who(request))
    return {"begun anew": True}
