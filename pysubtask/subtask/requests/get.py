"""The request ``get``: the present settings."""

from __future__ import annotations

from typing import Any

from ...common.config import masked
from ...common.requests import Request
from .request_context import RequestContext


def handle(context: RequestContext, request: Request) -> Any:
    """All settings without their secrets, those that can be changed, and the keys of those that are kept."""
    settings = context.settings
    return {"settings": masked(settings.current), "live": settings.values(), "kept": sorted(settings.kept)}
