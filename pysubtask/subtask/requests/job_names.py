"""The names of jobs that a request gives, by remote names or paths."""

from __future__ import annotations

from ...common.requests import Request
from .request_context import RequestContext


def names_of(context: RequestContext, request: Request) -> list[str]:
    """The names in the queue; empty where the request gives none. Raises ValueError for one that is neither in the queue nor
    paused."""
    asked = request.args.get("names") or []
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        raise ValueError("names must be a list of texts")
    spool_thread = context.spool_thread
    try:
        return list(spool_thread.run(spool_thread.spool.queue_admin.names_of, asked, str(request.args.get("cwd") or "")))
    except KeyError as exc:
        raise ValueError(f"{exc.args[0]!r} is neither in the queue nor paused; 'pysubtask queue' shows what is") from None
