"""The request ``start``, which is for a stopped child: its master carries it out, and answers it."""

from __future__ import annotations

from typing import Any

from ...common.requests import Request
from .request_context import RequestContext


def handle(context: RequestContext, request: Request) -> Any:
    """Nothing has to be done: this child runs."""
    return {"running": True}
