"""Supervises the children of a task: starts them, notices that one has ended, and starts it again with back-off.

Everything happens in calls of the app: no call waits, but that to stop.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common.restarts import Restarts
from .child import Child, Launch, wait
from .child_config import Plan, placed
from .housekeeping import OldFiles
from .launcher import Launcher
from .managed_child import ManagedChild, status_of
from .master_log import MasterLog
from .notifier import Notifier
from .owner import Owner
from .places import Places
from .state_dir import make_ready, remove_handled
from .task_plan import TaskPlan

if TYPE_CHECKING:
    from ..common.read_from import Stamps
    from .alerter import Alerter
    from .managed_child import ChildStatus

_EVERY_SECS = 0.25  # an app may notify thousands of times a second
_FOLDER_SECS = 1.0  # between two checks for a watched folder that is missing
_KILL_WAIT_SECS = 5.0  # SIGKILL takes effect at once, except in a system call that hangs
STOP_MARGIN_SECS = 5.0  # beyond StopWaitSecs, for closing the connection and the queue


class Supervisor:
    """The children of ``task``, and the process that alerts about them, for the process ``owner``."""

    def __init__(
        self, task: TaskPlan, owner: Owner, children: Sequence[ManagedChild], notifier: Notifier, log: MasterLog, started_again: str
    ) -> None:
        self.children = children
        self.running = False
        """Whether the master is between ``start`` and ``stop``."""
        self.alerter: Alerter | None = None
        """The process that alerts; None where nothing is alerted."""
        self.next_check = 0.0
        """Monotonic second from which on the children are checked again."""
        plans = [managed.plan for managed in children]
        self.old_files = OldFiles(task.entries, plans, task.never_sent, log.logger)
        self._is_busy = False
        self.owner = owner
        """The process that the children belong to, and its lock."""
        self._launcher = Launcher(task, owner)
        self._places = Places(task.entries, plans)
        self._notifier = notifier
        self._log = log
        self._started_again = started_again

    # ---- calls of the app

    def start(self, precleanup: bool) -> None:
        """Start the children; ``precleanup``: archive and find files of earlier runs first, and once a day from then on."""
        self.old_files.start(precleanup)
        self._log.logger.info("START!")
        self._log_state_folders()
        self.running = True
        for managed in self.children:
            managed.restarts = Restarts()
            self._spawn(managed)
        self._supervise_alerter(time.monotonic())

    def stop(self, forcekill: bool) -> None:
        """Notify what is held back, and end all processes; without ``forcekill`` each child may go on for StopWaitSecs."""
        self.running = False
        self._notifier.release()
        if self.alerter is not None:
            self.alerter.end()
        self._end_children(forcekill)
        for managed in self.children:
            managed.restarts = managed.restarts.postponed(None)
        self.old_files.left_over = []
        if not forcekill:
            state_dirs = [managed.plan.state_dir for managed in self.children]
            remove_handled(state_dirs, self._notifier.is_watched, self._log.logger)
        self._log.end()
        names = ", ".join(managed.plan.settings["SubtaskDescription"] for managed in self.children)
        self._log.logger.info("***** GOODBYE!: [%s] *****", names)

    def check(self, work: float) -> bool:
        """Do what every call of the app does besides its own work: never waits, and checks the children at most four times a
        second. ``work``: seconds that old files may take. Whether this process continues the app as a daemon, and so has to take
        the task over."""
        now = time.monotonic()
        if now < self.next_check or not self.running:
            return False
        if not self.owner.is_this_process():
            self.next_check = now + _EVERY_SECS
            return self.owner.is_continued()
        if self.owner.lock.acquire(blocking=False):
            try:
                # A signal handler of the app may call in while this very thread is in here.
                if self.running and not self._is_busy:
                    self._is_busy = True
                    try:
                        self._check(now, work)
                    finally:
                        self._is_busy = False
            finally:
                self.owner.lock.release()
        return False

    def statuses(self) -> "tuple[ChildStatus, ...]":
        """The status of each child."""
        now = time.monotonic()
        return tuple(status_of(managed, now, self._places.why) for managed in self.children)

    def has_processes(self) -> bool:
        """Whether there is a process of any child that was not reaped."""
        return any(managed.child is not None for managed in self.children)

    # ---- changes of the config

    def take(self, plans: Sequence[Plan]) -> None:
        """The plans for children that are started from now on, one for each child."""
        for managed, plan in zip(self.children, plans, strict=True):
            if plan != managed.plan and managed.child is not None and managed.child.guard is not None:
                managed.child.guard.plan_changed()
            managed.plan = plan

    def take_read_from(self, stamps: "Stamps") -> None:
        """The files that the settings were read from, read again while the children go on: they must not report them as changed."""
        self._launcher.read_from = stamps
        for managed in self.children:
            self._launcher.note_read_from(managed.plan.state_dir, self._log.logger)

    def take_alerts(self, settings: Mapping[str, Any]) -> None:
        """Apply the ``alerts`` section: the process that alerts is replaced where the section has changed. ConfigError where others
        may write the program."""
        before = {} if self.alerter is None else self.alerter.settings
        after = {} if settings["Command"] is None else dict(settings)
        if before == after:
            return
        if self.alerter is not None:
            self.alerter.end()
        self.alerter = None
        if after:
            from .alerter import Alerter

            self.alerter = Alerter(after)

    # ---- children

    def _check(self, now: float, work: float) -> None:
        self.next_check = now + _EVERY_SECS
        self._log.work(now)
        for managed in self.children:
            self._check_child(managed, now)
        self._supervise_alerter(now)
        self.old_files.work(work)
        self._log.hand_on()

    def _check_child(self, managed: ManagedChild, now: float) -> None:
        if managed.child is not None:
            before = managed.take_ends()
            if before is not None:
                text = "%s ended by itself (%s): its guard starts it again, [%g] secs later."
                self._log.logger.error(text, managed.plan.child_name, before, managed.restarts.wait)
            pid, ending = managed.child.pid, managed.reap(now)
            if ending is not None:
                self._log_end(managed, pid, ending)
            if managed.start_requests:
                managed.start_requests.answer(managed.plan.state_dir, self._log.logger, is_over=managed.stopped)
        elif managed.stopped:
            from ..common.requests import is_start_requested

            if is_start_requested(managed.plan.state_dir):
                self._spawn(managed)
        elif managed.is_due(now):
            self._spawn(managed)

    def _log_end(self, managed: ManagedChild, pid: int, ending: str) -> None:
        logger, name = self._log.logger, managed.plan.child_name
        if managed.stopped:
            logger.warning("%s [%d] was stopped by an order: %s.", name, pid, self._started_again)
        else:
            text = "%s [%d] ended by itself (%s): next start in [%g] secs."
            logger.error(text, name, pid, ending, managed.restarts.wait)

    def _spawn(self, managed: ManagedChild) -> None:
        managed.stopped = False
        if not self._is_usable():
            managed.wait_until(time.monotonic() + _FOLDER_SECS, self._places.why)
            return
        managed.restarts = managed.restarts.began(time.monotonic())
        try:
            child = self._launch(managed)
        except OSError as exc:
            managed.failed(time.monotonic(), exc)
            text = "%s cannot be started (%s): next try in [%g] secs."
            self._log.logger.error(text, managed.plan.child_name, exc, managed.restarts.wait)
            return
        if not self.running:  # a signal handler of the app has called stop in between
            child.kill()
            wait([child], _KILL_WAIT_SECS)
            return
        managed.child = child
        name, pid = self._log.name, self.owner.pid
        self._log.logger.info("%s PID = [%d] %s PID = [%d]", name, pid, managed.plan.child_name, child.pid)

    def _launch(self, managed: ManagedChild) -> Child:
        state_dir = managed.plan.state_dir
        make_ready(state_dir, self._places.folder)
        self._launcher.note_read_from(state_dir, self._log.logger)
        # The child would find them, and answer what it has not carried out.
        managed.start_requests.take(state_dir)
        return self._launcher.start(managed, self.old_files.left_over, is_first=managed is self.children[0])

    def _is_usable(self) -> bool:
        """Whether the folder that the state is in may be used now. Once it has come, work in it begins."""
        waited, usable = bool(self._places.why), self._places.check(self._log.logger)
        if usable and self._places.is_new():
            self._place_again()
        self._notifier.stamps.closed = self._places.closed
        if usable and waited and self.old_files.daily:
            self.old_files.start(True)
        return usable

    def _place_again(self) -> None:
        """The first folder was missing when the master was created: only now it is known whether it may hold the state."""
        before = [managed.plan for managed in self.children]
        plans = [placed(plan, self._places.folder) for plan in before]
        if plans == before:
            return
        self.take(plans)
        self._places.take(plans)
        self.old_files.take(plans)
        if self.alerter is not None:
            self.alerter.renew()
        self._log_state_folders()

    def _log_state_folders(self) -> None:
        for managed in self.children:
            if managed.plan.state_why:
                text = "%s keeps its state in [%s]: %s."
                self._log.logger.info(text, managed.plan.child_name, managed.plan.state_dir, managed.plan.state_why)

    def _end_children(self, forcekill: bool) -> None:
        """End and reap the processes of all children, which takes StopWaitSecs and a margin at most."""
        logger = self._log.logger
        ending = [(managed, managed.child) for managed in self.children if managed.child is not None]
        children = [child for _, child in ending]
        for managed, child in ending:
            logger.info("STOP!: %s attempting to stop %s [%d]...", self._log.name, managed.plan.child_name, child.pid)
        if not forcekill:
            for child in children:
                child.terminate()
            limit = max(managed.plan.settings["StopWaitSecs"] for managed in self.children) + STOP_MARGIN_SECS
            for child in wait(children, limit):
                logger.warning("Process [%d] did not stop in time: killing it.", child.pid)
        for child in children:
            child.kill()
        for child in wait(children, _KILL_WAIT_SECS):
            logger.error("Process [%d] was killed, but the system has not ended it yet.", child.pid)
        for managed, child in ending:
            managed.last_exit, managed.child = child.poll() or "killed", None

    # ---- the process that alerts

    def _supervise_alerter(self, now: float) -> None:
        if self.alerter is not None:
            self.alerter.supervise(now, self._alert_launch, self._log.logger)
            if not self.running:  # a signal handler of the app has called stop in between
                self.alerter.end()

    def _alert_launch(self) -> tuple[Launch, int]:
        assert self.alerter is not None
        return self._launcher.alert_launch([managed.plan for managed in self.children], self.alerter.settings)
