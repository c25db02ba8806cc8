"""The request ``notify``: touch the notify files of data files."""

from __future__ import annotations

import os
from typing import Any

from ...common.errors import ConfigError
from ...common.notify import notify_name
from ...common.requests import Request
from .connection import connect
from .request_context import RequestContext, who


def handle(context: RequestContext, request: Request) -> Any:
    """Notify these files, without names each file that an entry names. Raises ConfigError for a file that is not watched, OSError
    where a notify file cannot be touched."""
    asked = request.args.get("files") or [entry.path for entry in context.entries if entry.kind == "file"]
    paths = [os.path.abspath(os.path.join(str(request.args.get("cwd") or "/"), str(path))) for path in asked]
    for path in paths:
        if not context.watched.has(path):
            raise ConfigError(path, "this task does not watch it", "Name a file of its entries or in its folders.")
    for path in paths:
        context.toucher.touch(notify_name(path))
    context.events.emit("notify_ordered", files=paths, **who(request))
    context.child.queue_changed()
    return {"notified": paths} | connect(context, coming=True)
