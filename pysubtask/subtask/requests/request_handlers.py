"""Which function carries out which request: each is in the module of its name, as its command is in ``control/commands/``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ...common.requests import Request
from . import drop, get, notify, pause, queue, reset, resume, retry, start, stop
from . import set as set_settings
from .request_context import RequestContext
from .request_server import Handler
from .settings_page import recall_kept, write_settings_page

HANDLERS: Mapping[str, Callable[[RequestContext, Request], Any]] = {
    "set": set_settings.handle,
    "get": get.handle,
    "pause": pause.handle,
    "resume": resume.handle,
    "retry": retry.handle,
    "drop": drop.handle,
    "queue": queue.handle,
    "notify": notify.handle,
    "stop": stop.handle,
    "reset": reset.handle,
    "start": start.handle,
}
"""By the names of the requests. They are carried out between two ticks of the child."""


def handlers_of(context: RequestContext) -> Mapping[str, Handler]:
    """The handlers of a child that starts: settings kept over restarts are applied, its settings and pauses are shown."""
    recall_kept(context)
    write_settings_page(context)
    context.tell_pauses()
    return {name: functools.partial(handle, context) for name, handle in HANDLERS.items()}
