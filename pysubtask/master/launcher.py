"""Starts the processes of a task: the children, and the process that alerts."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import read_from
from ..common.entries import first_folder
from .child import Child, Launch, folders_for
from .child_config import Plan, Shared, handoff
from .managed_child import ManagedChild
from .owner import Owner
from .task_plan import TaskPlan, package_file


class Launcher:
    """Starts processes for ``owner`` with what ``task`` says."""

    def __init__(self, task: TaskPlan, owner: Owner) -> None:
        log = task.log
        own = task.never_sent.files
        self._shared = Shared(task.entries, task.cwd, log.console, owner.pid, owner.start, task.closed, own, log.app is not None)
        self._log_file = log.file
        self.read_from = task.read_from
        """The files that the settings were read from, as they were then."""

    def start(self, managed: ManagedChild, residual: Sequence[str], *, is_first: bool) -> Child:
        """A new process of this child. ``residual``: paths of files of earlier runs. OSError where it cannot be started."""
        from ..common.handoff import write

        plan, shared = managed.plan, self._shared
        handed = handoff(plan, shared, residual, owns_heartbeat=is_first)
        fd = write(handed)
        try:
            launch = Launch(plan.module, managed.folders, shared.cwd, shared.console, handed.log_file, plan.label)
            if plan.settings["Guard"]:
                from .guard import Master

                launch = launch._replace(
                    guarded_for=Master(shared.master_pid, shared.master_start, (plan.state_dir, first_folder(shared.entries)))
                )
            return Child(launch, fd)
        finally:
            os.close(fd)

    def alert_launch(self, plans: Sequence[Plan], settings: Mapping[str, Any]) -> tuple[Launch, int]:
        """How the process that alerts about these children is started, and the descriptor of its hand-off. ``settings``: the
        ``alerts`` section. OSError."""
        from ..common.alert_handoff import MODULE
        from .alerter import handed

        shared = self._shared
        log_file = None if self._log_file is None else os.path.normpath(os.path.join(shared.cwd, self._log_file))
        master = (shared.master_pid, shared.master_start)
        fd = handed(plans, shared.entries, settings, log_file, shared.console, master)
        return Launch(MODULE, folders_for(MODULE, package_file(), ()), shared.cwd, shared.console, log_file, plans[0].label), fd

    def note_read_from(self, state_dir: str, logger: logging.Logger) -> None:
        """Note in a state folder which files the settings were read from, for the reason of a refused login: a file may have been
        corrected since."""
        try:
            read_from.write(state_dir, self.read_from)
        except OSError as exc:
            logger.info("Nobody will be told which files of the config were changed since the start: %s", exc)
