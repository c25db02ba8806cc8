"""One task that ``pysubtask run`` has started: its master, and the lock that keeps out a second runner."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ...common import effective_user, requests
from ...common.entries import first_folder
from ...common.errors import AlreadyRunning
from ...common.lock import Holder, StateLock, process_start
from ...common.place import existing
from ...common.read_from import Stamps
from ...common.requests import Request
from ...common.state_files import LOCK
from ...common.status import read_status
from ...common.trust import user_name
from ...master.child_config import Plan, placed
from ...master.state_dir import make_ready
from ...master.task_master import TaskMaster
from ...master.task_plan import ConfigOrigin, check_state
from ..config.task_config import TaskConfig
from ..exit_status import LOCKED, CommandError

if TYPE_CHECKING:
    from ...common.entry_types import WatchEntry

RUN_LOCK = "run.lock"
"""The name of the lock file in the folder of a task, held by the runner of the task."""


def task_folder(state_dir: str) -> str:
    """The folder of a task, given the state folder of one of its children. It holds the lock of the runner and the requests to
    it."""
    return os.path.dirname(state_dir)


class RunMaster(TaskMaster):
    """A master whose children the runner can inspect, hurry, and give new plans."""

    _started_again = "'pysubtask start' starts it again as long as 'pysubtask run' goes on"

    def __init__(self, config: TaskConfig) -> None:
        self._origin = ConfigOrigin(config.file, config.beside, config.closed, config.read_from)
        super().__init__(cast("list[WatchEntry]", config.watch), config.config)

    def take(self, plans: Sequence[Plan]) -> None:
        """Set the plans for children that are started from now on; they differ from the present ones in live settings alone."""
        self._supervisor.take(plans)

    def read_again(self, stamps: Stamps) -> None:
        """Note that the config files were read again and that the children go on: they must not report the files as changed."""
        self._supervisor.take_read_from(stamps)

    def take_alerts(self, settings: Mapping[str, Any]) -> None:
        """Apply the ``alerts`` section: the alerter is replaced where the section has changed. ConfigError where others may write
        the program."""
        self._supervisor.take_alerts(settings)

    def has_child(self, state_dir: str) -> bool:
        """Whether the child with this state folder lives or is just being started, and so has the plan of its start."""
        return any(managed.child is not None for managed in self._supervisor.children if managed.plan.state_dir == state_dir)

    def is_in_order(self) -> bool:
        """Whether each child lives, is about to be started again, or was stopped by a request."""
        children = self._supervisor.children
        return all(managed.child is not None or managed.stopped or managed.restarts.due is not None for managed in children)

    def is_stopped(self) -> bool:
        """Whether every child was stopped by a request."""
        return all(managed.stopped for managed in self._supervisor.children)

    def hurry(self, *, kill: bool) -> None:
        """Have children that are being stopped end without further uploads; with ``kill`` they are killed. May be called from any
        thread."""
        for managed in self._supervisor.children:
            child = managed.child
            if child is not None:
                if kill:
                    child.kill()
                else:
                    child.terminate()


class RunningTask:
    """A task and its master. CommandError where another process runs the task (LOCKED), or where its folder cannot be used.

    ``lock``: the lock of the task's folder, where this process holds it already. It is held until ``release`` is called, even after
    the children have ended, because its holder is the process that replies to requests for the task.
    """

    def __init__(self, config: TaskConfig, lock: StateLock | None = None) -> None:
        # Since the config was read, the folder may have come, and a move of the state may have been finished.
        first = first_folder(config.entries)
        config = config._replace(plans=tuple(placed(plan, first) for plan in config.plans))
        check_state(config.plans)
        self.config = config
        self.next: TaskConfig | None = None
        """The config that is started in its place when it has ended, None for none."""
        self.folder = task_folder(config.plans[0].state_dir)
        self._ending: threading.Thread | None = None
        self._lock = lock or StateLock(os.path.join(self.folder, RUN_LOCK))
        try:
            make_ready(config.plans[0].state_dir, first, fresh=False)
            if lock is None:
                self._take_lock()
        except OSError as exc:
            raise CommandError(
                f"The task {config.name!r} cannot keep its state in {self.folder} ({exc.strerror or exc})"
                f"{_of_another(self.folder)}. Let this user write there, or begin [[watch]] with a folder of his own."
            ) from exc
        try:
            self.master = RunMaster(config)
            self.master.start(precleanup_old_files=config.archives)
        except BaseException:
            if lock is None:
                self._lock.release()
            raise

    def _take_lock(self) -> None:
        name, pid = self.config.name, os.getpid()
        for state_dir in [path for plan in self.config.plans for path in (plan.state_dir, *plan.state_elsewhere)]:
            holder = StateLock(os.path.join(state_dir, LOCK)).holder()
            # A child whose master is dead goes on for a while, and the new master ends it: such a child does not count.
            if holder is not None and holder.has_living_master():
                other = StateLock(self._lock.path).holder()
                if other is not None and other.pid == holder.master_pid:
                    raise CommandError(_refusal(self.config, other.pid), LOCKED)
                whose = f"of process {holder.master_pid}" if holder.master_pid is not None else "that was started by hand"
                raise CommandError(
                    f"The task {name!r} runs already: child {holder.pid} {whose}. Stop that one, or give this task another "
                    "TaskName.",
                    LOCKED,
                )
        try:
            self._lock.acquire(Holder(pid, process_start(pid) or "", None, None), patience=1.0)
        except AlreadyRunning as exc:
            found = self._lock.holder()
            raise CommandError(_refusal(self.config, found.pid if found else None), LOCKED) from exc

    @property
    def is_ending(self) -> bool:
        """Whether it was asked to end and a child of it lives still."""
        return self._ending is not None and self._ending.is_alive()

    @property
    def is_leaving(self) -> bool:
        """Whether it was asked to end; it may have ended since."""
        return self._ending is not None

    @property
    def lock(self) -> StateLock:
        """The lock of the task's folder, which is handed to the task that is started in its place."""
        return self._lock

    def read_again(self, config: TaskConfig) -> None:
        """Note that the config was read again and has changed in live settings and alerts at most. ConfigError where others may
        write the program that alerts."""
        if self.next is not None:
            self.next = config
        elif not self.is_leaving:
            self.master.read_again(config.read_from)
            alerts = config.plans[0].alerts
            self.config = self.config._replace(plans=tuple(plan._replace(alerts=alerts) for plan in self.config.plans))
            self.master.take_alerts(alerts)

    def release(self) -> None:
        """Release the lock: this process does not reply to requests for the task any longer."""
        self._lock.release()

    def end(self) -> None:
        """Begin to stop the children, in a thread, as they may send what is due for StopWaitSecs. A second call does nothing."""
        if self._ending is None:
            stop = self.master.stop
            self._ending = threading.Thread(target=lambda: stop(forcekill=False), name=f"end of {self.config.name}", daemon=True)
            self._ending.start()

    @property
    def has_ended(self) -> bool:
        """Whether it was asked to end and all of its children have ended."""
        return self._ending is not None and not self._ending.is_alive()

    def waiting_requests(self) -> list[Request]:
        """The requests in the folder of the task that are for the runner itself."""
        return requests.waiting(self.folder)

    @property
    def stop_wait_secs(self) -> float:
        """The seconds for which its children may send what is due before they end: the longest of their StopWaitSecs."""
        return float(max(plan.settings["StopWaitSecs"] for plan in self.config.plans))


def _refusal(config: TaskConfig, pid: int | None) -> str:
    who = f"process {pid}" if pid is not None else "another process"
    files = [str((read_status(plan.state_dir) or {}).get("config_file") or "") for plan in config.plans]
    other = next((file for file in files if file and file != config.file), "")
    run = f"pysubtask run {shlex.quote(other)}" if other else "pysubtask run"
    return f"The task {config.name!r} is run already, by {who} ({run}). Stop that one first, or give this task another TaskName."


def _of_another(folder: str) -> str:
    """A clause that names the owner of a folder, or of the nearest folder above it, where that is another user; '' otherwise."""
    there = existing(folder)
    try:
        owner = os.stat(there).st_uid
    except OSError:
        return ""
    if effective_user.now() in (-1, owner) or owner is None:
        return ""
    return f": {there} belongs to {user_name(owner)}, and 'pysubtask doctor' has the line that gives it back"
