"""The request ``set``: change live settings."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .request_context import RequestContext, who
from .settings_page import KEPT, write_settings_page


def handle(context: RequestContext, request: Request) -> Any:
    """Change all of the settings, or none. Raises ValueError (ConfigError) for one that is unknown, fixed or wrong."""
    requested = request.args.get("settings")
    if not isinstance(requested, dict) or not requested:
        raise ValueError("name at least one setting: KEY=VALUE")
    settings, keep = context.settings, bool(request.args.get("keep"))
    changes = settings.change(requested)
    if keep:
        context.spool_thread.run(context.spool_thread.spool.meta.set, KEPT, settings.keep(requested))
    if changes:
        context.child.settings_changed({change.key for change in changes})
    for change in changes:
        context.events.emit("setting_changed", key=change.key, old=change.old, new=change.new, kept=keep, **who(request))
        context.log.info("SETTING [%s] = [%s], was [%s], by %s", change.key, change.new, change.old, request.who)
    write_settings_page(context)
    return {"changed": [change._asdict() for change in changes], "kept": keep, "live": settings.values()}
