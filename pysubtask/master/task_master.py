"""The master: starts and supervises one child for each destination, and notifies them of changed files.

It runs in the app of the user. No call waits on the network, raises because of it, or starts a thread; only
``stop`` waits, for its children and with a limit, and ``wait_delivered``, which is there for that. A child that
died is started again, with back-off, by the next call of anything.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..common.entries import Entry, first_folder
from .child_config import UPLOADERS, Plan, own_module, script_of_app, with_sections
from .managed_child import ChildStatus as ChildStatus
from .managed_child import ManagedChild
from .managed_child import MasterStatus as MasterStatus
from .state_dir import make_ready

if TYPE_CHECKING:
    from typing import Unpack

    from ..common.config_types import Config
    from ..common.entry_types import WatchEntry
    from ..common.settings_types import BaseSettings, LiveSettings
    from .alerter import Alerter
    from .child_events import ChildEvent, EventCallback, EventPosition, Listeners
    from .notifier import Notifier
    from .supervisor import Supervisor
    from .task_plan import ConfigOrigin, TaskPlan

# Seconds that a call may spend on old files: check_pending_notifications, which is called on a timer, and any other call.
_TIMER_SECS = 0.05
_WORK_SECS = 0.005

# Modules that only an instance or a single call needs are loaded there: importing this module must cost an app next to nothing.


class BaseMaster:
    """A master with one child that runs ``SubtaskModuleName``.

    ``WatchFilesDirs``: entries, see :mod:`pysubtask.common.entries`. ``pconfig``: the base section, or a
    config with sections; it is never changed. ``LogFileName``: '' takes ``Master_Log_FileName`` of the
    settings, None logs to no file. ``Logger``: a logger of the app, or its name, to hand all lines to, those of the master to
    ``<name>.master`` and those of a child to ``<name>.<extension>``; nothing goes to stderr then, and no log file is made unless
    one is named. Everything is checked here: ConfigError names key and remedy. Nothing is started, and no file made but the log.
    """

    display_name = "BaseTaskMaster"
    display_module = "base"
    _origin: "ConfigOrigin | None" = None
    """Where the config comes from; None for an app's own config."""
    _started_again = "'pysubtask start' or reset() starts it again"
    """For the log: what starts a child that was stopped by an order."""
    _listeners: "Listeners | None" = None
    """The callbacks of the app, once it has given one."""
    _task: "TaskPlan"
    _notifier: "Notifier"
    _supervisor: "Supervisor"

    def __init__(
        self,
        WatchFilesDirs: "Sequence[WatchEntry] | Sequence[object]",
        pconfig: "BaseSettings | Config | object" = None,
        SubtaskModuleName: str = "pysubtask.base",
        LogFileName: str | None = "",
        LogToConsole: bool = True,
        Logger: "logging.Logger | str | None" = None,
    ) -> None:
        module = own_module(SubtaskModuleName, script_of_app())
        extension = module.rpartition(".")[2]
        from .checked_config import entries_and_plans

        config = with_sections(pconfig)
        need_one = extension in UPLOADERS
        entries, plans = entries_and_plans(WatchFilesDirs, config, {extension: module}, need_one=need_one)
        self._prepare(entries, plans, LogFileName, LogToConsole, Logger, config)

    def _prepare(
        self,
        entries: list[Entry],
        plans: Sequence[Plan],
        log_file: str | None,
        console: bool,
        app_logger: "logging.Logger | str | None" = None,
        config: Any = None,
    ) -> None:
        from .start_requests import StartRequests
        from .task_plan import ConfigOrigin, LogPlan, check_start, task_plan

        log = LogPlan(log_file, console)
        if app_logger is not None:
            from .app_lines import logger_of, without_default_logs

            log = LogPlan(log_file, False, logger_of(app_logger))
            plans = [without_default_logs(each, config) for each in plans]
        entries = check_start(entries, plans)
        alerter: Alerter | None = None
        if plans[0].alerts["Command"] is not None:
            from .alerter import create

            alerter = create(plans[0].alerts)
        self._task = task_plan(entries, plans, log, self._origin or ConfigOrigin())
        pairs = zip(self._task.plans, self._task.folders, strict=True)
        self._own([ManagedChild(each, folders, StartRequests()) for each, folders in pairs], alerter)
        if not entries:
            self.logger.error("No Watch files or dirs specified!")

    def _own(self, children: Sequence[ManagedChild], alerter: "Alerter | None") -> None:
        """This process supervises the children from here on."""
        from .master_log import MasterLog
        from .owner import Owner

        owner = Owner()
        log = MasterLog(self.display_name, self.display_module, owner.pid, self._task.log, children)
        self.logger = log.logger
        # What the log loads needs room for a moment: the rest is loaded after it.
        from .notifier import Notifier
        from .supervisor import Supervisor

        self._notifier = Notifier(self._task, self.logger)
        self._supervisor = Supervisor(self._task, owner, children, self._notifier, log, self._started_again)
        self._supervisor.alerter = alerter

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be given to another process: it minds children of this one. Make it in the process "
            "that shall have it, or notify from the other process with pysubtask.base.notify_file(path)."
        )

    def __enter__(self) -> Self:
        if not self._supervisor.running:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(forcekill=False)

    # ---- life

    def start(self, precleanup_old_files: bool = False) -> None:
        """Start the children. A child that cannot be started now is tried again, with back-off, by later calls.

        ``precleanup_old_files`` first archives old files (see ``archive_expired_files``), and from then on
        once a day, and has files of earlier runs delivered (see ``copy_residual_files``).

        In a forked copy of the app whose original has ended this takes the task over. A copy that has become a daemon meanwhile
        (setsid) takes it over at its next call of any method.
        """
        if not self._is_owner(take_over=True):
            return
        with self._supervisor.owner.lock:
            if self._supervisor.running:
                self.logger.warning("START!: %s is running already.", self.display_name)
                return
            if self._supervisor.has_processes():
                self.stop(forcekill=True)  # an earlier stop was interrupted
            self._supervisor.start(precleanup_old_files)

    def stop(self, forcekill: bool = True) -> None:
        """Notify what a burst holds back, then stop the children and reap them.

        ``forcekill=True`` kills at once; what was notified is delivered after the next start. With False
        each child may go on for ``StopWaitSecs`` to deliver what is due, and the ``.notify`` and ``.hold``
        files that every destination has handled are removed. Harmless before a start, and twice.
        """
        if not self._is_owner():
            return
        with self._supervisor.owner.lock:
            if self._supervisor.running or self._supervisor.has_processes():
                self._supervisor.stop(forcekill)

    def reset(self) -> None:
        """Kill the children and start new ones."""
        if not self._is_owner():
            return
        names = " and ".join([self.display_name, *(managed.plan.child_name for managed in self._supervisor.children)])
        self.logger.info("RESET: %s (Timer)!", names)
        daily = self._supervisor.old_files.daily
        self.stop(forcekill=True)
        self.start()
        self._supervisor.old_files.daily = daily

    # ---- notify

    def notify_all_files(self) -> bool:
        """Notify every static file, burst or not (folders are watched by themselves); whether all are stamped."""
        stamped = self._notifier.notify_all()
        self._supervise()
        return stamped

    def notify_file_by_index(self, i: int, ignore_burst_mode: bool = False) -> bool:
        """Notify one static file, counted from 0 in the order of the list; whether it is stamped (or held).

        A file with ``burstmode`` may be held back for a while: see ``burst_mode`` in the settings. False
        where there is no such file, or the stamp cannot be written now: it is then kept and written by the
        next call that can.
        """
        stamped = self._notifier.notify_index(i, ignore_burst_mode)
        self._supervise()
        return stamped

    def notify_file(self, path: str | bytes | os.PathLike[str], ignore_burst_mode: bool = False) -> bool:
        """Notify a static file, or a file inside a watched folder, by its path; whether it is stamped (or held).

        A relative path starts at the present working folder. In a folder with ``burstmode`` each file has
        its own bursts. False, and an error in the log, for a file that is not watched, or left out by its folder's patterns.
        """
        stamped = self._notifier.notify_path(path, ignore_burst_mode)
        self._supervise()
        return stamped

    def check_pending_notifications(self) -> None:
        """Handle what waits: held data that is due, stamps that could not be written, dead children, old files, and the
        app's callbacks for events.

        Call it on a timer.
        """
        self._notifier.holds.check_due()
        self._supervise(_TIMER_SECS)
        if self._listeners is not None:
            self._listeners.serve()

    # ---- old files

    def archive_expired_files(self) -> int:
        """Move old files into ``ArchiveToFolder``/YYYYMM/DD, by their time; how many were moved at once.

        Scanned are all files directly in the first entry's folder and in the watched folders, last changed
        before the local midnight of ``ArchiveAfterDaysOld`` days ago. What this task uploads is moved only
        once every destination has confirmed it as it is. Logs, signal files, hidden files, and what this
        program has loaded or open stay. Where there are thousands of files, later calls move the rest.
        """
        if not self._is_owner():
            return 0
        with self._supervisor.owner.lock:
            return self._supervisor.old_files.archive()

    def copy_residual_files(self) -> list[str]:
        """Have files of earlier runs delivered: those beside the first static file with an ending of any static file.

        They go out under their own names, each once unless it changes; what was delivered as it is does not
        go again. (The children find files in watched folders in any case.) Running children take them within
        ``TimerIntervalSecs``; before a start they are kept for it. Returns their paths.
        """
        if self._is_owner():
            with self._supervisor.owner.lock:
                self._supervisor.old_files.scan()
                if self._supervisor.running:
                    self._supervisor.old_files.offer()
        return list(self._supervisor.old_files.left_over)

    # ---- status and events

    def status(self) -> MasterStatus:
        """The status of each child, from the master and from the files that the children have written."""
        self._supervise()
        supervisor, notifier = self._supervisor, self._notifier
        return MasterStatus(supervisor.running, len(notifier.stamps), supervisor.statuses(), len(notifier.holds))

    def events(self, since: Mapping[str, tuple[int, int]] | None = None) -> "tuple[list[ChildEvent], EventPosition]":
        """The events of the children, by time: those behind the position ``since`` (None: all that the files hold), and the
        position to ask with the next time. Each event has ``extension`` and ``event`` (epoch, n, at, kind, fields)."""
        from .child_events import events_since

        self._supervise()
        return events_since(self._state_dirs(), since)

    def on_event(self, callback: "EventCallback") -> "EventCallback":
        """Have ``callback(child_event)`` called for each event from now on, by :meth:`check_pending_notifications`, in the app's
        own thread. An error that it raises is logged. Returns the callback (so it may decorate one); :meth:`off_event` ends it."""
        from .child_events import Listeners

        if self._listeners is None:
            self._listeners = Listeners(self._state_dirs(), self.logger)
        self._listeners.add(callback)
        return callback

    def off_event(self, callback: "EventCallback") -> None:
        """Call this one no more. ValueError where it was never added."""
        if self._listeners is None:
            raise ValueError("this callback was never added")
        self._listeners.remove(callback)

    def wait_delivered(self, path: str | bytes | os.PathLike[str], timeout: float) -> bool:
        """Wait, ``timeout`` seconds at most, until every destination has confirmed the file as it is now (size and time);
        whether it has. For scripts: an app that must not wait asks :meth:`events` or ``receipts.jsonl`` instead."""
        from .child_events import wait_delivered

        whole = os.path.abspath(os.fsdecode(path))
        return wait_delivered(whole, list(self._state_dirs().values()), timeout, self.check_pending_notifications)

    # ---- requests

    def pause(self, *names: str) -> None:
        """Send nothing, or these files not (remote names or paths that are queued), until :meth:`resume`; kept over restarts.

        A request, like ``resume`` and ``set``: it does not wait. The children carry it out at their next tick and confirm it by
        an event; a dead child does so at its next start. OSError where the request cannot be written.
        """
        self._order("pause", {"names": list(names)})

    def resume(self, *names: str) -> None:
        """Go on with these files, or, without a name, with everything that was paused. OSError as for ``pause``."""
        self._order("resume", {"names": list(names)})

    def set(self, keep: bool = False, **settings: "Unpack[LiveSettings]") -> None:
        """Change live settings (see ``docs/config.md``) of the children that have them: ``master.set(RateLimit=50_000)``.

        ``keep`` keeps the values over restarts, until the config is changed. All are checked first: after a ConfigError nothing
        is changed. OSError as for ``pause``.
        """
        from .live_settings import checked

        plans = [managed.plan for managed in self._supervisor.children]
        for state_dir, values in checked(plans, settings):
            self._order("set", {"settings": values, "keep": keep}, state_dir)

    def _order(self, op: str, args: dict[str, Any], state_dir: str | None = None) -> None:
        from ..common.requests import myself, send

        for folder in [state_dir] if state_dir is not None else self._state_dirs().values():
            make_ready(folder, first_folder(self._task.entries), fresh=False)
            send(folder, op, args, myself(f"{self.display_name}.{op}"))
        self._supervise()

    # ---- supervision

    def _state_dirs(self) -> Mapping[str, str]:
        return {managed.plan.extension: managed.plan.state_dir for managed in self._supervisor.children}

    def _supervise(self, work: float = _WORK_SECS) -> None:
        """What every call does besides its own work: never waits, and checks the children at most four times a second."""
        stamps = self._notifier.stamps
        if stamps.waiting:
            stamps.again()
        if self._supervisor.check(work):
            daily = self._supervisor.old_files.daily
            self.start()
            self._supervisor.old_files.daily = daily

    def _is_owner(self, *, take_over: bool = False) -> bool:
        """Whether this process is the one that supervises the children; a forked copy of it is not."""
        supervisor = self._supervisor
        if supervisor.owner.is_this_process():
            return True
        if not take_over or supervisor.owner.is_alive():
            supervisor.owner.report_copy(self.logger)
            return False
        for managed in supervisor.children:
            managed.forget()
        if supervisor.alerter is not None:
            supervisor.alerter.forget()
        self._own(supervisor.children, supervisor.alerter)
        return True


class TaskMaster(BaseMaster):
    """A master with one child for every destination that ``config`` switches on.

    ``config``: a module, an object or a mapping with the sections base, ftp, dropbox, burst_mode and
    alerts; missing sections and settings take the defaults; it is never changed. The rest is as in
    :class:`BaseMaster`.
    """

    display_name = "TaskMaster"
    display_module = "pysubtask"

    def __init__(
        self,
        watchfilesdirs: "Sequence[WatchEntry]",
        config: "Config | object",
        LogFileName: str | None = "",
        LogToConsole: bool = True,
        Logger: "logging.Logger | str | None" = None,
    ) -> None:
        self._prepare_extensions(watchfilesdirs, config, None, LogFileName, LogToConsole, Logger)

    def _prepare_extensions(
        self,
        watchfilesdirs: object,
        config: Any,
        modules: Mapping[str, str] | None,
        log_file: str | None,
        console: bool,
        app_logger: "logging.Logger | str | None" = None,
    ) -> None:
        from .checked_config import entries_and_plans

        config_file = "" if self._origin is None else self._origin.path
        entries, plans = entries_and_plans(watchfilesdirs, config, modules, config_file)
        self._prepare(entries, plans, log_file, console, app_logger, config)


BaseTaskMaster = BaseMaster
