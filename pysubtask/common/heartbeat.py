"""Heartbeat files: a sign of life that anybody can check with a listing and one number.

``<name>.heartbeat`` holds the number of seconds within which the next one is expected, and nothing else; its
modification time is when it was sent. A station is past due when now is later than that time plus the number.
"""

import os
import time

from .notify import HEARTBEAT

TRANSFER_SECS = 10
"""Allowance for the transfer, part of the number in the file."""


def heartbeat_name(name: str) -> str:
    """The heartbeat file of a station."""
    return name + HEARTBEAT


def content(interval_secs: float) -> str:
    """The content of the file: the interval rounded up, plus the allowance (60 gives ``70``)."""
    return f"{int(-(-interval_secs // 1)) + TRANSFER_SECS}\n"


def is_past_due(file: str, now: float | None = None) -> bool:
    """Whether the station behind a heartbeat file is offline.

    ``file``: path of the file where it arrives; ``now``: seconds since the epoch by the clock that set the file's
    time (default: this machine's). Raises OSError where there is no such file, ValueError where it holds no number.
    """
    with open(file, encoding="ascii") as beat:
        expected = int(beat.read(32))
        sent = os.fstat(beat.fileno()).st_mtime
    return (time.time() if now is None else now) > sent + expected
