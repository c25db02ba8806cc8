"""The result of a request in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common.text import span

_WORDS = {
    "connecting": "connecting now",
    "paused": "the task is paused, 'pysubtask resume' lets it go on",
    "stopping": "the task is being stopped",
}


def connection_first(result: Mapping[str, Any], rest: str) -> str:
    """``rest``, with the state of the connection before it where the result has one (a child of an older version gives none)."""
    connection = result.get("connection")
    if not isinstance(connection, Mapping):
        return rest
    state, secs = connection.get("state"), connection.get("secs") or 0
    if state == "held":
        words = f"the login was refused and is tried again in {span(secs)} (one extra try a minute, so that no account gets locked)"
    elif state == "busy":
        words = f"the server asked for a pause, next try in {span(secs)}"
    else:
        words = _WORDS.get(str(state), "")
    return f"{words}; {rest}" if words else rest
