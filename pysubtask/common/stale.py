"""Whether a child's page is of the present: it may have had no way to write it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from .disk import fault_of
from .events import FILE as EVENTS_FILE
from .receipts import FILE as RECEIPTS_FILE
from .status import FILE as STATUS_FILE

FRESH_SECS = 5.0
"""Seconds; a page is written at most this long after a change."""
_START_SECS = 30.0
"""Seconds after which a child has written its first page."""


def why_stale(state_dir: str, page: Mapping[str, Any] | None, now: float, *, since: float | None = None) -> str:
    """Why the page of a living child may be out of date, '' where it is up to date. ``now`` in seconds since the epoch.

    Age alone is no reason: a child at rest writes no page. A disk that cannot be written is one, and so are newer events and
    receipts of the child. ``since``: when the child took its lock; None where that is not known.
    """
    written = _changed_at(state_dir, STATUS_FILE) if page is not None else None
    if written is not None and 0 <= now - written < FRESH_SECS:
        return ""
    fault = fault_of(state_dir)
    if fault:
        return f"its disk takes no page: {fault}"
    if written is None:
        # A child that has just started has none yet.
        late = since is not None and now - since >= _START_SECS
        return f"there is no page of it that can be read in {state_dir}" if late else ""
    others = [at for name in (EVENTS_FILE, RECEIPTS_FILE) if (at := _changed_at(state_dir, name)) is not None]
    if others and max(others) - written >= FRESH_SECS:
        return f"it has written since, and {os.path.join(state_dir, STATUS_FILE)} could not be replaced"
    return ""


def _changed_at(state_dir: str, name: str) -> float | None:
    with contextlib.suppress(OSError):
        return os.stat(os.path.join(state_dir, name)).st_mtime
    return None
