"""A test alert: the user's program is run as for an alert, and a person waits for the result."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from ...common.label import label_of
from ...master.child_config import Plan
from .message import TEST, Message
from .program import Ended, begin
from .watch import environment

_TICK_SECS = 0.02


def test_message(plan: Plan, destination: str, folder: str, kind: str, now: float) -> Message:
    """The message of a test. ``destination``: the URL that the task sends to; ``folder``: the first folder that it watches."""
    label = plan.label or label_of(plan.task, plan.config_file, folder)
    return Message(
        TEST,
        kind,
        label,
        plan.extension,
        destination,
        socket.gethostname(),
        now,
        now,
        "This is a test: nothing is wrong with the task.",
        "Nothing is to be done.",
        dict.fromkeys(("waiting", "sending", "parked", "not_copied", "delivered"), 0),
    )


def run_test(settings: Mapping[str, Any], alert: Message) -> Ended:
    """Run the program of these ``alerts`` settings and wait for its end, which takes TimeoutSecs and the grace time at most."""
    environ = {**environment(os.environ, os.environ.get("PYTHONPATH")), **alert.environment()}
    program = begin(settings["Command"], environ, alert.as_json(), settings["TimeoutSecs"], time.monotonic())
    if isinstance(program, str):
        return Ended(program, "", 0.0)
    try:
        while (ended := program.poll(time.monotonic())) is None:
            time.sleep(_TICK_SECS)
        return ended
    except BaseException:
        program.kill()  # after Ctrl-C, too, no program is left
        raise
