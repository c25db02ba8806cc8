"""The log of a child."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from ..common.handoff import Handoff
from ..common.line_rate import limit
from ..common.logs import log_options, setup_logging


def open_log(handoff: Handoff, settings: Mapping[str, Any], subtask: str) -> logging.Logger:
    """The log as hand-off and settings want it. ``subtask``: the name of the class of the child."""
    name = f"{handoff.extension}.{subtask}.{os.getpid()}"
    log = setup_logging(
        name,
        handoff.log_file,
        handoff.log_to_console,
        task=handoff.task,
        own_output=not handoff.log_to_console,
        own_process=True,
        **log_options(settings),
    )
    limit(log)
    if handoff.log_lines:
        from ..common import app_log

        lines = app_log.LineFile(handoff.state_dir, name, handoff.task)
        lines.addFilter(app_log.rate(log))
        log.addHandler(lines)
    return log
