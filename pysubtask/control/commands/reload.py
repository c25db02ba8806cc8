"""``pysubtask reload``: have a running ``pysubtask run`` take up what was changed in its config."""

from __future__ import annotations

import os

import click

from ...common.lock import Holder, StateLock
from ...common.process import is_alive
from ...common.requests import myself, reply_to, send, withdraw
from .. import tasks
from ..exits import FAILED, NO_ANSWER, NO_TASK, OK, CommandError
from ..output import say
from ..run_record import runs
from ..runner import RELOAD
from ..running import RUN_LOCK, task_folder
from ..steer import command_line, task_option
from ..which import grouped, several

_PATIENCE_SECS = 60.0


@click.command(short_help="Have 'pysubtask run' take up what was changed in its config.")
@task_option
def command(task: str | None) -> int:
    """Have 'pysubtask run' read its config again and apply what changed, and only that: live settings at once, others by
    starting the tasks anew that they are for. A config with a problem changes nothing, and the problem is told. The answer
    comes when all of that is done. With several 'pysubtask run', -t names a task of the one that is meant.

    \b
    pysubtask reload
    """
    living = runs()
    candidates = grouped(tasks.find([task] if task else [], missing=True))
    runners: dict[Holder, tuple[str, list[list[tasks.Task]]]] = {}  # -> its folder for orders, the tasks that are meant
    for children in candidates:
        folder = task_folder(children[0].state_dir)
        holder = StateLock(os.path.join(folder, RUN_LOCK)).holder()
        if holder is None:
            # Where the folder of the task is missing, so is its lock.
            run = next((run for run in living if folder in run.tasks), None)
            if run is None:
                continue
            holder, folder = run.holder, run.folder
        runners.setdefault(holder, (folder, []))[1].append(children)
    if not task:
        for run in living:
            runners.setdefault(run.holder, (run.folder, []))
    if not runners:
        what = f"The task {task!r} is not run" if task else "No task is run"
        raise CommandError(f"{what} by 'pysubtask run', so there is nothing to reload: an app reads its own config.", NO_TASK)
    if len(runners) > 1:
        meant = [children for _, found in runners.values() for children in found]
        raise several(task, meant, "tasks of several 'pysubtask run'")
    ((runner, (folder, found)),) = runners.items()
    return _reload(found[0][0].name if found else "pysubtask run", folder, runner)


def _reload(name: str, folder: str, runner: Holder) -> int:
    id = send(folder, RELOAD, {}, myself(command_line()))
    # Who answers is that process: its locks come and go with its tasks.
    reply, there = tasks.answered(
        lambda: reply_to(folder, id), lambda: is_alive(runner.pid, runner.start), _PATIENCE_SECS
    )  # fmt: skip
    if not there:
        # Another one that is started meanwhile has nothing to take up: it has read the config just now, and may say so.
        withdraw(folder, id)
        reply = reply_to(folder, id)
    if reply is None:
        said = (f"no answer within {_PATIENCE_SECS:g} s. The log of 'pysubtask run' says why" if there else
                f"'pysubtask run' (process {runner.pid}) has ended without an answer; it reads the config when it is started "
                "again")  # fmt: skip
        raise CommandError(f"{name}: {said}.", NO_ANSWER)
    for line in reply.result or []:
        say([line])
    if not reply.ok:
        say([f"pysubtask: {reply.error}"], error=True)
        return FAILED
    return OK
