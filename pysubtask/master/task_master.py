"""The master: starts and supervises one child for each destination, and notifies them of changed files.

It runs in the app of the user. No call waits on the network, raises because of it, or starts a thread; only
``stop`` waits, for its children and with a limit, and ``wait_delivered``, which is there for that. A child that
died is started again, with back-off, by the next call of anything.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..common.entries import Entry, filled_in
from ..common.errors import ConfigError
from ..common.logs import follow, log_options, set_level, setup_logging
from ..common.process import EXIT_STOPPED, is_alive, process_start
from ..common.watched import Watched
from .child import Child, Launch, Restarts, can_be_started, folders_for, wait
from .child_config import UPLOADERS, Plan, check_mount_covers, check_state, closed_paths, own_module, placed, with_sections
from .child_control import ChildControl
from .managed_child import ChildStatus as ChildStatus
from .managed_child import ManagedChild, status_of
from .managed_child import MasterStatus as MasterStatus
from .notify_writer import Stamps
from .state_dir import make_ready, remove_handled

if TYPE_CHECKING:
    from ..common.config_types import Config
    from ..common.entry_types import WatchEntry
    from ..common.settings_types import BaseSettings
    from .alerter import Alerter
    from .app_lines import AppLines

# Seconds that a call may spend on old files: check_pending_notifications, which is called on a timer, and any other call.
_TIMER_SECS = 0.05
_WORK_SECS = 0.005
_SUPERVISE_EVERY_SECS = 0.25  # an app may notify thousands of times a second
_FOLLOW_SECS = 3.0  # between two checks for a log that was moved away
_FOLDER_SECS = 1.0  # between two checks for a watched folder that is missing
_KILL_WAIT_SECS = 5.0  # SIGKILL takes effect at once, except in a system call that hangs
_STOP_MARGIN_SECS = 5.0  # beyond StopWaitSecs, for closing the connection and the queue


class BaseMaster(ChildControl):
    """A master with one child that runs ``SubtaskModuleName``.

    ``WatchFilesDirs``: entries, see :mod:`pysubtask.common.entries`. ``pconfig``: the base section, or a
    config with sections; it is never changed. ``LogFileName``: '' takes ``Master_Log_FileName`` of the
    settings, None logs to no file. ``Logger``: a logger of the app, or its name, to hand all lines to, those of the master to
    ``<name>.master`` and those of a child to ``<name>.<extension>``; nothing goes to stderr then, and no log file is made unless
    one is named. Everything is checked here: ConfigError names key and remedy. Nothing is started, and no file made but the log.
    """

    display_name = "BaseTaskMaster"
    display_module = "base"
    _config_file = ""
    _beside: Mapping[str, str] = {}
    """Files that are no data, besides those of the plans: absolute path -> what it is."""
    _closed_beside: tuple[str, ...] = ()
    """Folders that are left out, besides those of the plans."""
    _read_from: Mapping[str, tuple[str, int, int]] | None = None
    """The files that the settings were read from, as they were then; None: the modules of the config as they are now."""

    _app_lines: "AppLines | None" = None
    """The app's own logging, where it was asked for."""

    _started_again = "'pysubtask start' or reset() starts it again"
    """For the log: what starts a child that was stopped by an order."""

    def __init__(
        self,
        WatchFilesDirs: "Sequence[WatchEntry] | Sequence[object]",
        pconfig: "BaseSettings | Config | object" = None,
        SubtaskModuleName: str = "pysubtask.base",
        LogFileName: str | None = "",
        LogToConsole: bool = True,
        Logger: "logging.Logger | str | None" = None,
    ) -> None:
        module = own_module(SubtaskModuleName, _script())
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
        if app_logger is not None:
            from .app_lines import AppLines, logger_of, without_default_logs

            self._app_lines = AppLines(logger_of(app_logger))
            plans, console = [without_default_logs(each, config) for each in plans], False
        _check_not_imported_again()
        for each in plans:
            can_be_started(each.module)
        entries = filled_in(entries, plans[0].label)
        if os.name == "posix":
            from ..common.run_as import IN_APP, check_folders, check_process

            check_process(each.settings["RunAs"] for each in plans)
            check_folders(entries, IN_APP)
            from ..common.named_files import check_files

            for each in plans:
                check_files(each.extension, each.settings)
        self._alerter: Alerter | None = None
        if plans[0].alerts["Command"] is not None:
            from .alerter import create

            self._alerter = create(plans[0].alerts)
        self._entries = entries
        self._children = [ManagedChild(plan) for plan in plans]
        # Modules that only an instance needs are loaded here: importing this module must cost an app next to nothing.
        from .burst import Rule

        self._rule = Rule.of(plans[0].burst)
        # A restart may come after the app has changed its working folder or sys.path: the present ones are kept.
        self._cwd = os.getcwd()
        script = _script()
        search = [*sys.path, *([os.path.dirname(os.path.abspath(script))] if script else []), self._cwd]
        self._folders = [folders_for(plan.module, _package_file(), search) for plan in plans]
        self._console = console
        self._log_file = plans[0].settings["Master_Log_FileName"] if log_file == "" else log_file
        logs = [self._log_file, *(plan.settings["Subtask_Log_FileName"] for plan in plans)]
        self._logs = [os.path.normpath(os.path.join(self._cwd, log)) for log in logs if log is not None]
        self._closed = (*closed_paths(entries, plans, self._logs), *self._closed_beside)
        check_mount_covers(entries, plans)
        check_state(plans)
        from .excluded_files import CONFIG, all_own, check_entries

        self._never_sent = all_own(entries, plans, self._logs, self._beside)
        check_entries(entries, self._never_sent)
        if self._read_from is None:
            from ..common.read_from import stamps_of

            self._read_from = stamps_of({path: "the config" for path, what in plans[0].own.items() if what == CONFIG})
        self._watched = Watched(entries, set(self._closed), self._never_sent)
        self._static = list(self._watched.files.values())
        self._running = False
        self._own()
        if not entries:
            self.logger.error("No Watch files or dirs specified!")

    def _own(self) -> None:
        """This process supervises the children from here on."""
        self._pid = os.getpid()
        self._start = process_start(self._pid) or ""
        self._session = _session()
        self._lock = threading.RLock()  # may be taken again: a signal handler of the app may call in at any moment
        self._busy = False
        self._next_follow = 0.0
        self._next_check = 0.0
        self._reported_copy = False
        first = self._children[0].plan
        logger_name = f"{self.display_module}.{self.display_name}.{self._pid}"
        self.logger = setup_logging(logger_name, self._log_file, self._console, task=first.task, **log_options(first.settings))
        set_level(self.logger, first.settings["LogLevel"])
        from ..common.line_rate import limit

        limit(self.logger)
        if self._app_lines is not None:
            self._app_lines.begin(self.logger, self._children)
        self._stamps = Stamps(self.logger)
        from .burst_holds import Holds
        from .housekeeping import OldFiles

        self._holds = Holds(self._rule, self._stamps, self.logger)
        from .places import Places

        self._places = Places(self._entries, [managed.plan for managed in self._children])
        self._old_files = OldFiles(self._entries, [managed.plan for managed in self._children], self._never_sent, self.logger)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be given to another process: it minds children of this one. Make it in the process "
            "that shall have it, or notify from the other process with pysubtask.base.notify_file(path)."
        )

    def __enter__(self) -> Self:
        if not self._running:
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
        if not self._owned(take_over=True):
            return
        with self._lock:
            if self._running:
                self.logger.warning("START!: %s is running already.", self.display_name)
                return
            if any(managed.child is not None for managed in self._children):
                self.stop(forcekill=True)  # an earlier stop was interrupted
            self._old_files.start(precleanup_old_files)
            self.logger.info("START!")
            self._tell_of_state()
            self._running = True
            for index, managed in enumerate(self._children):
                managed.restarts = Restarts()
                self._spawn(index)
            self._supervise_alerter(time.monotonic())

    def stop(self, forcekill: bool = True) -> None:
        """Notify what a burst holds back, then stop the children and reap them.

        ``forcekill=True`` kills at once; what was notified is delivered after the next start. With False
        each child may go on for ``StopWaitSecs`` to deliver what is due, and the ``.notify`` and ``.hold``
        files that every destination has handled are removed. Harmless before a start, and twice.
        """
        if not self._owned():
            return
        with self._lock:
            children = [(managed, managed.child) for managed in self._children if managed.child is not None]
            if not self._running and not children:
                return
            self._running = False
            self._holds.release()
            self._stamps.again()
            if self._alerter is not None:
                self._alerter.end()
            for managed, child in children:
                self.logger.info("STOP!: %s attempting to stop %s [%d]...", self.display_name, managed.plan.child_name, child.pid)
            if not forcekill:
                for _, child in children:
                    child.terminate()
                limit = max(managed.plan.settings["StopWaitSecs"] for managed in self._children) + _STOP_MARGIN_SECS
                for child in wait([child for _, child in children], limit):
                    self.logger.warning("Process [%d] did not stop in time: killing it.", child.pid)
            for _, child in children:
                child.kill()
            for child in wait([child for _, child in children], _KILL_WAIT_SECS):
                self.logger.error("Process [%d] was killed, but the system has not ended it yet.", child.pid)
            for managed, child in children:
                managed.last_exit, managed.child = child.poll() or "killed", None
            for managed in self._children:
                managed.restarts = managed.restarts._replace(due=None)
            self._old_files.left_over = []
            if not forcekill:
                remove_handled([managed.plan.state_dir for managed in self._children], self._watched.has, self.logger)
            names = ", ".join(managed.plan.settings["SubtaskDescription"] for managed in self._children)
            self._tell_sums(everything=True)
            if self._app_lines is not None:
                self._app_lines.read(everything=True)
            self.logger.info("***** GOODBYE!: [%s] *****", names)

    def reset(self) -> None:
        """Kill the children and start new ones."""
        if not self._owned():
            return
        names = " and ".join([self.display_name, *(managed.plan.child_name for managed in self._children)])
        self.logger.info("RESET: %s (Timer)!", names)
        daily = self._old_files.daily
        self.stop(forcekill=True)
        self.start()
        self._old_files.daily = daily

    # ---- notify

    def notify_all_files(self) -> bool:
        """Notify every static file, burst or not (folders are watched by themselves); whether all are stamped."""
        stamped = [self._stamp(path) for path in self._static]
        self._supervise()
        return all(stamped)

    def notify_file_by_index(self, i: int, ignore_burst_mode: bool = False) -> bool:
        """Notify one static file, counted from 0 in the order of the list; whether it is stamped (or held).

        A file with ``burstmode`` may be held back for a while: see ``burst_mode`` in the settings. False
        where there is no such file, or the stamp cannot be written now: it is then kept and written by the
        next call that can.
        """
        if not isinstance(i, int) or not 0 <= i < len(self._static):
            self.logger.error("Notify file index [%s] out of range!", i)
            self._supervise()
            return False
        notify = self._static[i]
        at_once = ignore_burst_mode or notify not in self._watched.bursting or self._stamps.is_closed(notify)
        stamped = self._stamp(notify) if at_once else self._holds.call(notify)
        self._supervise()
        return stamped

    def notify_file(self, path: str | bytes | os.PathLike[str], ignore_burst_mode: bool = False) -> bool:
        """Notify a static file, or a file inside a watched folder, by its path; whether it is stamped (or held).

        A relative path starts at the present working folder. In a folder with ``burstmode`` each file has
        its own bursts. False, and an error in the log, for a file that is not watched, or left out by its folder's patterns.
        """
        try:
            notify = self._watched.notify_of(os.path.abspath(os.fsdecode(path)))
        except (TypeError, ValueError, OSError):
            notify = None
        if notify is None:
            self.logger.error("Notify file [%s] is not watched!%s", path, self._why_own(path))
            stamped = False
        elif ignore_burst_mode or not self._watched.bursts(notify) or self._stamps.is_closed(notify):
            stamped = self._stamp(notify)
        else:
            stamped = self._holds.call(notify)
        self._supervise()
        return stamped

    def _why_own(self, path: str | bytes | os.PathLike[str]) -> str:
        try:
            why = self._never_sent.why(os.path.abspath(os.fsdecode(path)))
        except (TypeError, ValueError, OSError):
            return ""
        return f" It is never sent: {why}." if why else ""

    def check_pending_notifications(self) -> None:
        """Handle what waits: held data that is due, stamps that could not be written, dead children, old files, and the
        app's callbacks for events.

        Call it on a timer.
        """
        self._holds.check_due()
        self._supervise(_TIMER_SECS)
        self._serve()

    def _stamp(self, notify: str) -> bool:
        stamped = self._stamps.stamp(notify)
        if stamped:
            self._holds.clear(notify)
        return stamped

    # ---- old files

    def archive_expired_files(self) -> int:
        """Move old files into ``ArchiveToFolder``/YYYYMM/DD, by their time; how many were moved at once.

        Scanned are all files directly in the first entry's folder and in the watched folders, last changed
        before the local midnight of ``ArchiveAfterDaysOld`` days ago. What this task uploads is moved only
        once every destination has confirmed it as it is. Logs, signal files, hidden files, and what this
        program has loaded or open stay. Where there are thousands of files, later calls move the rest.
        """
        if not self._owned():
            return 0
        with self._lock:
            return self._old_files.archive()

    def copy_residual_files(self) -> list[str]:
        """Have files of earlier runs delivered: those beside the first static file with an ending of any static file.

        They go out under their own names, each once unless it changes; what was delivered as it is does not
        go again. (The children find files in watched folders in any case.) Running children take them within
        ``TimerIntervalSecs``; before a start they are kept for it. Returns their paths.
        """
        if self._owned():
            with self._lock:
                self._old_files.scan()
                if self._running:
                    self._old_files.offer()
        return list(self._old_files.left_over)

    # ---- children

    def status(self) -> MasterStatus:
        """The status of each child, from the master and from the files that the children have written."""
        self._supervise()
        now = time.monotonic()
        children = tuple(status_of(managed, now, self._places.why) for managed in self._children)
        return MasterStatus(self._running, len(self._stamps), children, len(self._holds))

    def _supervise(self, work: float = _WORK_SECS) -> None:
        """What every call does besides its own work: never waits, and checks the children at most four times a second."""
        if self._stamps:
            self._stamps.again()
        now = time.monotonic()
        if now >= self._next_check and self._running and os.getpid() != self._pid:
            self._next_check = now + _SUPERVISE_EVERY_SECS
            if self._is_daemon_now():
                daily = self._old_files.daily
                self.start()
                self._old_files.daily = daily
                return
        if now < self._next_check or not self._running or not self._owned() or not self._lock.acquire(blocking=False):
            return
        try:
            # A signal handler of the app may call in while this very thread is in here.
            if self._busy or not self._running:
                return
            self._busy = True
            try:
                self._next_check = now + _SUPERVISE_EVERY_SECS
                if now >= self._next_follow:
                    self._next_follow = now + _FOLLOW_SECS
                    follow(self.logger)
                    self._tell_sums()
                for index in range(len(self._children)):
                    self._check_child(index, now)
                self._supervise_alerter(now)
                self._old_files.work(work)
                if self._app_lines is not None:
                    self._app_lines.read()
            finally:
                self._busy = False
        finally:
            self._lock.release()

    def _tell_sums(self, *, everything: bool = False) -> None:
        from ..common.line_rate import tell_sums

        tell_sums(self.logger, everything=everything)

    def _check_child(self, index: int, now: float) -> None:
        managed = self._children[index]
        if managed.child is not None:
            ending = managed.child.poll()
            if ending is None:
                return
            pid, managed.child, managed.last_exit = managed.child.pid, None, ending
            if ending == f"exit status {EXIT_STOPPED}":
                managed.last_exit, managed.stopped = "stopped by an order", True
                self.logger.warning("%s [%d] was stopped by an order: %s.", managed.plan.child_name, pid, self._started_again)
                return
            managed.restarts = managed.restarts.ended(now)
            text = "%s [%d] ended by itself (%s): next start in [%g] secs."
            self.logger.error(text, managed.plan.child_name, pid, ending, managed.restarts.wait)
        elif managed.stopped:
            from ..common.requests import is_start_requested

            if is_start_requested(managed.plan.state_dir):
                managed.stopped = False
                self._spawn(index)
        elif managed.restarts.due is not None and now >= managed.restarts.due:
            self._spawn(index)

    def _spawn(self, index: int) -> None:
        managed = self._children[index]
        managed.stopped = False
        waited, usable = bool(self._places.why), self._places.check(self.logger)
        if usable and self._places.is_new():
            self._place_again()
        self._stamps.closed = self._places.closed
        if not usable:
            managed.last_exit = f"not started: {self._places.why}"
            managed.restarts = managed.restarts._replace(due=time.monotonic() + _FOLDER_SECS)
            return
        if waited and self._old_files.daily:
            self._old_files.start(True)
        managed.restarts = managed.restarts.began(time.monotonic())
        try:
            make_ready(managed.plan.state_dir, self._places.folder)
            self._note_read_from(managed.plan.state_dir)
            child = self._launch(index)
        except OSError as exc:
            managed.last_exit = f"not started: {exc}"
            managed.restarts = managed.restarts.ended(time.monotonic())
            text = "%s cannot be started (%s): next try in [%g] secs."
            self.logger.error(text, managed.plan.child_name, exc, managed.restarts.wait)
            return
        if not self._running:  # a signal handler of the app has called stop in between
            child.kill()
            wait([child], _KILL_WAIT_SECS)
            return
        managed.child = child
        self.logger.info("%s PID = [%d] %s PID = [%d]", self.display_name, self._pid, managed.plan.child_name, child.pid)

    def _supervise_alerter(self, now: float) -> None:
        if self._alerter is not None:
            self._alerter.supervise(now, self._alert_launch, self.logger)
            if not self._running:  # a signal handler of the app has called stop in between
                self._alerter.end()

    def _alert_launch(self) -> tuple[Launch, int]:
        from .alerter import handed

        first = self._children[0].plan
        log_file = None if self._log_file is None else os.path.normpath(os.path.join(self._cwd, self._log_file))
        assert self._alerter is not None
        fd = handed(
            [managed.plan for managed in self._children],
            self._entries,
            self._alerter.settings,
            log_file,
            self._console,
            (self._pid, self._start),
        )
        from ..common.alert_handoff import MODULE

        return Launch(MODULE, folders_for(MODULE, _package_file(), ()), self._cwd, self._console, log_file, first.label), fd

    def _place_again(self) -> None:
        """The first folder was missing when the master was created: only now it is known whether it may hold the state."""
        before = [managed.plan for managed in self._children]
        for managed in self._children:
            managed.plan = placed(managed.plan, self._places.folder)
        plans = [managed.plan for managed in self._children]
        if plans == before:
            return
        from .housekeeping import OldFiles

        self._places.take(plans)
        if self._alerter is not None:
            self._alerter.renew()
        daily, self._old_files = self._old_files.daily, OldFiles(self._entries, plans, self._never_sent, self.logger)
        self._old_files.daily = daily
        self._tell_of_state()

    def _tell_of_state(self) -> None:
        for managed in self._children:
            if managed.plan.state_why:
                text = "%s keeps its state in [%s]: %s."
                self.logger.info(text, managed.plan.child_name, managed.plan.state_dir, managed.plan.state_why)

    def _note_read_from(self, state_dir: str) -> None:
        """For the reason of a refused login: a file may have been corrected since it was read."""
        from ..common.read_from import write

        try:
            write(state_dir, self._read_from or {})
        except OSError as exc:
            self.logger.info("Nobody will be told which files of the config were changed since the start: %s", exc)

    def _launch(self, index: int) -> Child:
        plan = self._children[index].plan
        log_file = plan.settings["Subtask_Log_FileName"]
        log_file = os.path.normpath(os.path.join(self._cwd, log_file)) if log_file is not None else None
        from ..common.handoff import Handoff, write

        fd = write(
            Handoff(
                task=plan.task,
                extension=plan.extension,
                module=plan.module,
                entries=self._entries,
                settings=plan.settings,
                burst=plan.burst,
                state_dir=plan.state_dir,
                bak_dir=plan.bak_dir,
                log_file=log_file,
                log_to_console=self._console,
                master_pid=self._pid,
                master_start=self._start,
                residual=self._old_files.left_over,
                owns_heartbeat=index == 0,
                mark=plan.settings_fingerprint,
                left_out=self._closed,
                label=plan.label,
                config_file=plan.config_file,
                own=self._never_sent.files,
                state_why=plan.state_why,
                state_elsewhere=plan.state_elsewhere,
                log_lines=self._app_lines is not None,
            )
        )
        try:
            return Child(Launch(plan.module, self._folders[index], self._cwd, self._console, log_file, plan.label), fd)
        finally:
            os.close(fd)

    def _is_daemon_now(self) -> bool:
        """Whether this forked copy continues the app as a daemon: the original has ended, and this copy has left its session. A
        worker that outlives its app is still in that session, and takes nothing over."""
        return _session() != self._session and not is_alive(self._pid, self._start)

    def _owned(self, *, take_over: bool = False) -> bool:
        """Whether this process is the one that supervises the children; a forked copy of it is not."""
        pid = os.getpid()
        if pid == self._pid:
            return True
        if take_over and not is_alive(self._pid, self._start):
            self._running = False
            for managed in self._children:
                managed.child = None
            if self._alerter is not None:
                self._alerter.forget()
            self._own()
            return True
        if not self._reported_copy:
            self._reported_copy = True
            text = "Process [%d] is a copy of [%d]: it may notify, but does not start or stop children."
            self.logger.warning(text, pid, self._pid)
        return False


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

        entries, plans = entries_and_plans(watchfilesdirs, config, modules, self._config_file)
        self._prepare(entries, plans, log_file, console, app_logger, config)


BaseTaskMaster = BaseMaster


def _check_not_imported_again() -> None:
    """A process of multiprocessing that is spawned imports the app's main module once more, as ``__mp_main__``: a master that is
    created by that import would be a second one of the same task. ConfigError."""
    again = sys.modules.get("__mp_main__")
    if again is not None and again is not sys.modules.get("__main__"):
        problem = "it is made a second time, while a process of multiprocessing ('spawn', 'forkserver') imports the main module"
        raise ConfigError("TaskMaster", problem, "Make it below: if __name__ == '__main__':")


def _session() -> int | None:
    """The session that this process is in; None on a system without."""
    return os.getsid(0) if hasattr(os, "getsid") else None


def _script() -> str | None:
    return getattr(sys.modules.get("__main__"), "__file__", None)


def _package_file() -> str:
    return sys.modules[__name__.partition(".")[0]].__file__ or __file__
