"""The request ``stop``: send what is queued, for StopWaitSecs at most, and end."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """End the child after this tick."""
    context.events.emit("stop_ordered", **who(request))
    context.child.stop(str(request.who))
    return {"stopping": True}
