"""The request ``queue``: the jobs that wait, and why."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .request_context import RequestContext

_MOST_ROWS = 1000


def handle(context: RequestContext, request: Request) -> Any:
    """The rows of the queue, oldest first, each with the seconds until its next try."""
    limit = request.args.get("limit", _MOST_ROWS)
    most = limit if isinstance(limit, int) and limit > 0 else _MOST_ROWS
    rows = context.spool_thread.run(context.spool_thread.spool.queue_admin.rows, most)
    now = context.clock()
    return [
        {key: value for key, value in row._asdict().items() if key != "due"} | {"next_try_secs": round(max(0.0, row.due - now), 1)}
        for row in rows
    ]
