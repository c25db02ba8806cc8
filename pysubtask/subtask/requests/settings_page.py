"""The settings of a child in a file of its state folder, for commands that ask while no child lives."""

from __future__ import annotations

import contextlib
import json
import os

from ...common import own_files
from ...common.config import masked
from ...common.entries import to_json
from ...common.settings_file import FILE
from .request_context import RequestContext

KEPT = "kept"
"""Key of the settings that ``set --keep`` has kept, in the small values of the queue."""


def recall_kept(context: RequestContext) -> None:
    """Apply the settings that were kept over restarts, and log what they change."""
    spool_thread = context.spool_thread
    changes, overruled = context.settings.recall(str(spool_thread.run(spool_thread.spool.meta.get, KEPT) or ""))
    for change in changes:
        context.log.info("Setting [%s] is [%s], as kept (the config says [%s])", change.key, change.new, change.old)
    for key in overruled:
        context.log.info("Setting [%s] is as in the config, which was changed since another value was kept", key)


def write_settings_page(context: RequestContext) -> None:
    """Write the file; on a full disk it keeps the settings of before."""
    page = {
        "settings": masked(context.settings.current),
        "live": sorted(context.settings.values()),
        "kept": sorted(context.settings.kept),
        "watched": {"entries": to_json(context.entries), "closed": list(context.left_out)},
        "cwd": _cwd(),
    }
    with contextlib.suppress(OSError):
        own_files.replace(context.state_dir, FILE, json.dumps(page).encode("ascii"))


def _cwd() -> str:
    """The folder that relative paths of settings start from, '' where it is gone."""
    with contextlib.suppress(OSError):
        return os.getcwd()
    return ""
