"""``pysubtask reload``: have a running ``pysubtask run`` take up what was changed in its config."""

from __future__ import annotations

import os
import time

import click

from ...common.lock import StateLock
from ...common.requests import myself, reply_to, send
from .. import tasks
from ..exits import FAILED, NO_ANSWER, NO_TASK, OK, CommandError
from ..output import say
from ..runner import RELOAD
from ..running import RUN_LOCK, task_folder
from ..steer import command_line, task_option

_PATIENCE_SECS = 60.0
_LOOK_SECS = 0.05


@click.command(short_help="Have 'pysubtask run' take up what was changed in its config.")
@task_option
def command(task: str | None) -> int:
    """Have 'pysubtask run' read its config again and apply what changed, and only that: live settings at once, others by
    starting the tasks anew that they are for. A config with a problem changes nothing, and the problem is told.

    \b
    pysubtask reload
    """
    runners: dict[int, tuple[str, str]] = {}
    for child in tasks.find([task] if task else []):
        folder = task_folder(child.state_dir)
        holder = StateLock(os.path.join(folder, RUN_LOCK)).holder()
        if holder is not None:
            runners.setdefault(holder.pid, (child.task, folder))
    if not runners:
        what = f"The task {task!r} is not run" if task else "No task is run"
        raise CommandError(f"{what} by 'pysubtask run', so there is nothing to reload: an app reads its own config.", NO_TASK)
    worst = OK
    for name, folder in runners.values():
        worst = max(worst, _reload(name, folder))
    return worst


def _reload(name: str, folder: str) -> int:
    id = send(folder, RELOAD, {}, myself(command_line()))
    until = time.monotonic() + _PATIENCE_SECS
    while (reply := reply_to(folder, id)) is None:
        if StateLock(os.path.join(folder, RUN_LOCK)).holder() is None:
            raise CommandError(f"{name}: 'pysubtask run' has just ended; it reads the config when it is started again.", NO_ANSWER)
        if time.monotonic() >= until:
            raise CommandError(f"{name}: no answer within {_PATIENCE_SECS:g} s. The log of 'pysubtask run' says why.", NO_ANSWER)
        time.sleep(_LOOK_SECS)
    if not reply.ok:
        say([f"pysubtask: {reply.error}"], error=True)
        return FAILED
    for line in reply.result:
        say([line])
    return OK
