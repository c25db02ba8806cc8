"""``pysubtask reload``: have a running ``pysubtask run`` take up what was changed in its config.

CommandError where no ``pysubtask run`` is found (NO_TASK), where several are and none is named, and where the reply does not
come in time (NO_ANSWER).
"""

from __future__ import annotations

import contextlib
import os

import click

from ...common.as_user import MOST_SECS
from ...common.lock import Holder, StateLock
from ...common.process import is_alive
from ...common.requests import Reply, Who, myself, reply_to, send, withdraw
from ..exit_status import FAILED, NO_ANSWER, NO_TASK, OK, CommandError
from ..run.run_record import Run, runs
from ..run.running_task import RUN_LOCK, task_folder
from ..run.task_runner import RELOAD
from ..tasks import find
from ..tasks.owners import Owner, others
from ..tasks.send_request import command_line, task_option
from ..tasks.task_choice import grouped, several
from ..terminal import say

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
    living = [(None, run) for run in runs()] + [(owner, run) for owner in others() for run in _runs_of(owner)]
    candidates = grouped(find.find([task] if task else [], missing=True))
    # process -> its user (None: this one), the folder for its requests, the tasks by which it was named
    runners: dict[Holder, tuple[Owner | None, str, list[list[find.Task]]]] = {}
    for children in candidates:
        owner, folder = children[0].owner, task_folder(children[0].state_dir)
        holder = _holder(children[0], folder)
        if holder is None:
            # The lock is in the folder of the task: where the folder is missing, only the record of the run tells who runs it.
            run = next((run for whose, run in living if folder in run.tasks and _uid(whose) == _uid(owner)), None)
            if run is None:
                continue
            holder, folder = run.holder, run.folder
        runners.setdefault(holder, (owner, folder, []))[2].append(children)
    if not task:
        for owner, run in living:
            runners.setdefault(run.holder, (owner, run.folder, []))
    if not runners:
        what = f"The task {task!r} is not run" if task else "No task is run"
        raise CommandError(f"{what} by 'pysubtask run', so there is nothing to reload: an app reads its own config.", NO_TASK)
    if len(runners) > 1:
        meant = [children for _, _, found in runners.values() for children in found]
        raise several(task, meant, "tasks of several 'pysubtask run'")
    ((runner, (owner, folder, found)),) = runners.items()
    name, who = found[0][0].called.rpartition("/")[0] if found else "pysubtask run", myself(command_line())
    if owner is None:
        return _outcome(name, runner, *_reload(folder, runner, who))
    reply, there = owner.ask(lambda: _reload(folder, runner, who), patience=_PATIENCE_SECS + MOST_SECS)
    return _outcome(name, runner, None if reply is None else Reply(*reply), there)


def _uid(owner: Owner | None) -> int:
    return -1 if owner is None else owner.uid


def _runs_of(owner: Owner) -> list[Run]:
    """The runs of another user, read with that user's rights; none where this process is not root's."""
    if not owner.is_acted_for:
        return []
    with contextlib.suppress(OSError):
        return [Run(Holder(*holder), folder, tuple(names)) for holder, folder, names in owner.ask(runs)]
    return []


def _holder(task: find.Task, folder: str) -> Holder | None:
    found = task.ask(lambda: StateLock(os.path.join(folder, RUN_LOCK)).holder())
    return None if found is None else Holder(*found)


def _reload(folder: str, runner: Holder, who: Who) -> tuple[Reply | None, bool]:
    """Send the request and wait for the reply; the reply (None: none came), and whether the runner still lives."""
    id = send(folder, RELOAD, {}, who)
    # The process is checked and not its locks, because a reload releases and takes the locks of tasks.
    reply, there = find.answered(lambda: reply_to(folder, id), lambda: is_alive(runner.pid, runner.start), _PATIENCE_SECS)
    if not there:
        # The request is withdrawn, since a runner that is started now reads the new config anyway. It may have replied before that.
        withdraw(folder, id)
        reply = reply_to(folder, id)
    return reply, there


def _outcome(name: str, runner: Holder, reply: Reply | None, there: bool) -> int:
    if reply is None:
        reason = (
            f"no answer within {_PATIENCE_SECS:g} s. The log of 'pysubtask run' says why"
            if there
            else f"'pysubtask run' (process {runner.pid}) has ended without an answer; it reads the config when it is started again"
        )
        raise CommandError(f"{name}: {reason}.", NO_ANSWER)
    for line in reply.result or []:
        say([line])
    if not reply.ok:
        say(f"pysubtask: {reply.error}".split("\n"), error=True)  # a config may have several problems, each on a line of its own
        return FAILED
    return OK
