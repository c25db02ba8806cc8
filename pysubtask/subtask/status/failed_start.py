"""The status page of a child that could not start: the page gives the reason, so that a reader does not only find a dead
child."""

from __future__ import annotations

import contextlib
import os

from ...common import status_group
from ...common.entries import first_folder
from ...common.events import utc
from ...common.handoff import Handoff
from ...common.process import process_start
from ...common.status import read_status, write_status


def tell(handoff: Handoff, why: str, wall: float) -> None:
    """Write the reason to the page that the last child has left; only while holding the lock. Never raises."""
    pid, at = os.getpid(), utc(wall)
    page = (read_status(handoff.state_dir) or {}) | {
        "pid": pid,
        "pid_start": process_start(pid),
        "master_pid": handoff.master_pid,
        "task": handoff.task,
        "extension": handoff.extension,
        "label": handoff.label,
        "folder": first_folder(handoff.entries),
        "config_file": handoff.config_file,
        "state": "failed",
        "state_since": at,
        "why": why,
        "at": at,
        "moving": [],
        "rate": None,
        "last_error": {"at": at, "kind": "cannot_start", "text": why},
    }
    with contextlib.suppress(OSError):  # a full disk: the log has it
        write_status(handoff.state_dir, page, status_group.of(handoff.settings))
