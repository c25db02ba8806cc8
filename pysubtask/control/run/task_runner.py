"""``pysubtask run``: keeps the tasks of a config running until a signal comes, and applies changes of the config on request."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...common import requests
from ...common.errors import ConfigError, PysubtaskError
from ...common.lock import StateLock
from ...common.logs import setup_logging
from ...common.remedy import says_more, sentence
from ...common.requests import myself, reply_to, send
from ...master.places import Places
from ..config.reload_diff import Changes, compare
from ..config.task_config import TaskConfig
from ..exit_status import FAILED, LOCKED, OK, CommandError
from ..preview import opening
from ..signals import Signals
from .reloading import ANSWER_SECS, Reload, labels
from .run_record import RunRecord
from .running_task import RUN_LOCK, RunningTask, task_folder
from .sd_notify import Notifier
from .service_reports import ServiceReports

RELOAD = "reload"
TICK_SECS = 0.5
_AGAIN_SECS = 10.0
_FORMER_SECS = 60.0
"""Seconds for which the folder of a task that was removed from the config is still searched for requests."""
_INTERRUPTED = 130
_ENDS = "'pysubtask run' ends; it reads the config when it is started again"


class _Missing(NamedTuple):
    """A task that is to be started. ``config``: of the task; ``lock``: of its folder, where this process holds it already."""

    config: TaskConfig
    lock: StateLock | None = None


class TaskRunner:
    """Runs the tasks that ``load`` returns, and calls it again for each request to reload.

    ``load`` raises ConfigError or CommandError where the tasks cannot be run. ``clock``: monotonic seconds.
    """

    def __init__(self, load: Callable[[], Sequence[TaskConfig]], notifier: Notifier, clock: Callable[[], float] = time.monotonic):
        self._load = load
        self._reports = ServiceReports(notifier)
        self._clock = clock
        self._log: logging.Logger
        self._tasks: dict[str, RunningTask] = {}
        self._missing: dict[str, _Missing] = {}
        self._places: dict[str, Places] = {}
        """By the name of the task: the folders that a task which has not started waits for."""
        self._former: dict[str, float] = {}  # folder -> until when it is searched for requests
        self._again_at = 0.0
        self._signals = Signals()
        self._reload: Reload | None = None
        self._record: RunRecord
        self._all_stopped = False

    def run(self) -> int:
        """Run until a signal comes; the exit status. CommandError, ConfigError or OSError where it cannot begin."""
        tasks = self._load()
        every = [plan.settings["LogFormat"] for task in tasks for plan in task.plans]
        self._log = setup_logging(f"control.Runner.{os.getpid()}", None, True, form="json" if set(every) == {"json"} else "text")
        with self._signals:
            try:
                self._record = RunRecord(self._log)
                self._begin(tasks)
                self._record.begin()
                self._write_record()
                self._reports.ready()
                self._log.info("Running: %s", ", ".join(self._tasks) or "no task yet")
                return self._loop()
            finally:
                self._end()

    def _begin(self, tasks: Sequence[TaskConfig]) -> None:
        """Start every task. A task whose folder cannot be used now is tried again later, so that the others run; where none can be
        started, the error is raised. CommandError also where another process runs one of them (LOCKED)."""
        error: CommandError | None = None
        for task in tasks:
            if self._waits(task):
                self._missing[task.name] = _Missing(task)
                continue
            opening.say(task, self._log)
            try:
                self._tasks[task.name] = RunningTask(task)
            except CommandError as exc:
                if exc.status == LOCKED:
                    raise
                error = exc
                self._missing[task.name] = _Missing(task)
                self._cannot_start(task, exc)
                continue
            self._sweep(self._tasks[task.name])
        if error is not None and not self._tasks and not self._places:
            raise error
        self._again_at = self._clock() + _AGAIN_SECS

    # -- the loop -----------------------------------------------------------------------------------------

    def _loop(self) -> int:
        tick = self._reports.at_most(TICK_SECS)
        while not self._signals.stops:
            now = self._clock()
            for task in self._tasks.values():
                if not task.is_ending:
                    task.master.check_pending_notifications()
            self._replace_ended(now)
            self._write_record()
            self._poll_requests(now)
            self._continue_reload(now)
            waiting = [f"{name} waits: {places.why}" for name, places in self._places.items()]
            self._reports.send(now, self._tasks.values(), waiting)
            if not self._tasks and not self._missing:
                self._log.error("No task is left to run")
                return FAILED
            self._log_all_stopped(all(task.master.is_stopped() for task in self._tasks.values()) and not self._missing)
            self._signals.wait(tick)
        return _INTERRUPTED if self._signals.stops[0] == signal.SIGINT else OK

    def _log_all_stopped(self, stopped: bool) -> None:
        """Log once that every child was stopped by a request. The runner goes on all the same: it must be there to start them
        again, since a remote station may have nobody at its keyboard."""
        if stopped and not self._all_stopped:
            self._log.info("Every child was stopped by an order: 'pysubtask start' starts one again, Ctrl-C or SIGTERM ends this")
        self._all_stopped = stopped

    def _end(self) -> None:
        """Stop every task; a second signal hurries the children, a third kills them. Locks are released after all children have
        ended, so that no other runner starts one meanwhile."""
        self._refuse_requests()
        self._reports.stopping()
        for task in self._tasks.values():
            task.end()
        hurried = 1
        while any(task.is_ending for task in self._tasks.values()):
            self._reports.still_stopping()
            if len(self._signals.stops) > hurried:
                hurried = len(self._signals.stops)
                self._log.warning("Stopping at once; what is queued goes at the next start")
                for task in self._tasks.values():
                    task.master.hurry(kill=hurried > 2)
            self._refuse_requests()
            self._signals.wait(0.1)
        for task in self._tasks.values():
            task.release()
        for missing in self._missing.values():
            if missing.lock is not None:
                missing.lock.release()
        self._record.end()
        self._reports.close()

    def _write_record(self) -> None:
        waiting = [_folder_of(missing.config) for missing in self._missing.values()]
        self._record.write(dict.fromkeys([*(task.folder for task in self._tasks.values()), *waiting]))

    def _refuse_requests(self) -> None:
        """Reply to every open request to reload that this process ends."""
        if self._reload is not None:
            for folder, id in self._reload.waiting:
                self._answer(folder, id, error=_ENDS)
            self._reload = None
        for folder in self._folders():
            for request in requests.waiting(folder):
                self._answer(folder, request.id, error=request.problem or _ENDS)

    # -- a changed config ---------------------------------------------------------------------------------

    def _sweep(self, task: RunningTask) -> None:
        """Reply to requests that came while no runner was there: the config was read just now."""
        requests.sweep(task.folder, time.time())
        for request in task.waiting_requests():
            self._answer(task.folder, request.id, result=["the config was read at the start"])

    def _poll_requests(self, now: float) -> None:
        if self._reload is not None:
            return
        asked = []
        self._former = {folder: until for folder, until in self._former.items() if now < until}
        for folder in self._folders():
            for request in requests.waiting(folder):
                if request.op == RELOAD:
                    asked.append((folder, request.id))
                else:
                    self._answer(folder, request.id, error=request.problem or f"{request.op!r} is not known here. Known: {RELOAD}.")
        if asked or self._signals.hung_up:
            self._signals.hung_up = False
            self._begin_reload(asked, now)

    def _folders(self) -> list[str]:
        """The folders that are searched for requests to this runner: those of its tasks, of tasks that it had until just now, and
        its own."""
        folders = [task.folder for task in self._tasks.values()]
        folders += [os.path.dirname(missing.lock.path) for missing in self._missing.values() if missing.lock is not None]
        former = [folder for folder in self._former if StateLock(os.path.join(folder, RUN_LOCK)).holder() is None]
        return list(dict.fromkeys([*folders, *former, *([self._record.folder] if self._record.is_kept else [])]))

    def _begin_reload(self, asked: list[tuple[str, str]], now: float) -> None:
        self._reports.reloading()
        try:
            loaded = {task.name: task for task in self._load()}
        except (ConfigError, CommandError, OSError) as exc:
            self._log.error("RELOAD is refused, and nothing was changed: %s", exc)
            for folder, id in asked:
                self._answer(folder, id, error=f"nothing was changed: {exc}")
            self._reports.refused(now)
            return
        # For a task that is ending, the config that is started after it counts.
        running = {
            name: after
            for name, task in self._tasks.items()
            if (after := task.next if task.is_leaving else task.config) is not None
        }
        found = compare(running, list(loaded.values()))
        self._reload = Reload(asked, found, labels([*running.values(), *loaded.values()]), now)
        for name in found.stop:
            self._tasks[name].next = None
            self._tasks[name].end()
        for name, why in found.restart.items():
            self._log.info("RELOAD: task [%s] starts anew: %s", name, why)
            self._tasks[name].next = loaded[name]
            self._tasks[name].end()
        for name, values in found.live.items():
            self._set_live(loaded[name], values)
        for name in (*found.live, *found.same):
            if name in self._tasks:
                self._tasks[name].read_again(loaded[name])
        self._await(loaded, found.start)
        self._again_at = now
        self._start_missing(now)

    def _await(self, loaded: Mapping[str, TaskConfig], names: Iterable[str]) -> None:
        """Have the tasks ``names`` started, and no others: at once, or where a task of the same name is ending, after that. Locks
        of tasks that are not started any more are released."""
        before, self._missing = self._missing, {}
        for name in names:
            if name in self._tasks:
                self._tasks[name].next = loaded[name]
                continue
            lock = before[name].lock if name in before else None
            kept = lock is not None and os.path.dirname(lock.path) == _folder_of(loaded[name])
            self._missing[name] = _Missing(loaded[name], lock if kept else None)
        held = [missing.lock for missing in self._missing.values()]
        for missing in before.values():
            if missing.lock is not None and missing.lock not in held:
                missing.lock.release()

    def _set_live(self, task: TaskConfig, values: dict[str, dict[str, Any]]) -> None:
        assert self._reload is not None
        running = self._tasks[task.name]
        if running.is_leaving:
            running.next = task
            return
        held = {plan.state_dir for plan in task.plans if running.master.has_child(plan.state_dir)}
        running.master.take(task.plans)
        running.config = task
        for plan in task.plans:
            if plan.state_dir not in values or plan.state_dir not in held:
                continue  # a child that is dead takes the new values when it is started
            label, settings = f"{task.name}/{plan.extension}", values[plan.state_dir]
            self._log.info("RELOAD: [%s] takes %s", label, ", ".join(f"{key} = {value}" for key, value in settings.items()))
            try:
                id = send(plan.state_dir, "set", {"settings": settings}, myself("pysubtask run: reload"))
                self._reload.sets.append((label, plan.state_dir, id))
            except (OSError, ValueError) as exc:
                self._reload.refused.append(f"{label}: {exc}")

    def _continue_reload(self, now: float) -> None:
        """Reply to a reload when every change has taken effect, or when the time for that is over."""
        reload = self._reload
        if reload is None:
            return
        still = []
        for label, state_dir, id in reload.sets:
            reply = reply_to(state_dir, id)
            if reply is None:
                still.append((label, state_dir, id))
            elif not reply.ok:
                reload.refused.append(f"{label}: {reply.error}")
        reload.sets = still
        # A task may wait for its folder for days, so the reply does not wait for it and says so.
        moving = any(task.is_ending or task.has_ended for task in self._tasks.values()) or self._missing.keys() - self._places
        if (still and now < reload.until) or (moving and now < reload.until + ANSWER_SECS):
            return
        self._reload = None
        outcomes = self._outcomes(reload.found) + [(label, "it has not answered yet") for label, _, _ in still]
        for name, text in outcomes:
            self._log.info("RELOAD: %s: %s", name, text)
        lines = [f"{reload.labels.get(name, name)}: {text}" for name, text in outcomes]
        for folder, id in reload.waiting:
            if os.path.isdir(folder):
                error = "; ".join(reload.refused)
                self._answer(folder, id, result=lines, error=error)
        self._reports.ready()

    def _outcomes(self, found: Changes) -> list[tuple[str, str]]:
        """The outcome of a reload: (name of a task, text)."""
        lines = [(name, "started" if self._runs(name) else self._not_yet(name, "started")) for name in found.start]
        lines += [(name, self._not_yet(name, "") if name in self._tasks else "stopped") for name in found.stop]
        for name, why in found.restart.items():
            lines.append((name, f"{'started anew' if self._runs(name) else self._not_yet(name, 'started anew')} ({why})"))
        for name, children in found.live.items():
            values = {key: value for settings in children.values() for key, value in settings.items()}
            lines.append((name, ", ".join(f"{key} = {value}" for key, value in values.items())))
        lines += [(name, "the alerts are taken up") for name in (*found.live, *found.same) if name in found.alerts]
        return lines + [(name, "nothing changed") for name in found.same if name not in found.alerts]

    def _runs(self, name: str) -> bool:
        return name in self._tasks and not self._tasks[name].is_leaving

    def _not_yet(self, name: str, then: str) -> str:
        if name in self._places:
            return f"it waits, and nothing of it is sent: {self._places[name].why}"
        if name not in self._tasks:
            return "it cannot be started yet; the log says why"
        text = f"it is still being stopped, and sends what is due for {self._tasks[name].stop_wait_secs:g} s at most (StopWaitSecs)"
        return f"{text}; then it is {then}" if then else text

    def _replace_ended(self, now: float) -> None:
        for name, task in list(self._tasks.items()):
            if task.has_ended:
                del self._tasks[name]
                kept = task.next is not None and _folder_of(task.next) == task.folder
                if not kept:
                    task.release()
                    self._former[task.folder] = now + _FORMER_SECS
                if task.next is not None:
                    self._missing[name] = _Missing(task.next, task.lock if kept else None)
                    self._again_at = now
        self._start_missing(now)

    def _start_missing(self, now: float) -> None:
        if not self._missing:
            return
        again = now >= self._again_at
        if again:
            self._again_at = now + _AGAIN_SECS
        for name in set(self._places) - set(self._missing):
            del self._places[name]  # a reload has removed the task
        for name, missing in list(self._missing.items()):
            waited = name in self._places
            if self._waits(missing.config) or not (again or waited):
                continue
            try:
                self._tasks[name] = RunningTask(missing.config, missing.lock)
            except (PysubtaskError, OSError) as exc:
                self._cannot_start(missing.config, exc)
                continue
            opening.say(missing.config, self._log)
            del self._missing[name]

    def _waits(self, config: TaskConfig) -> bool:
        """Whether a task waits for its folder; a change of that is logged."""
        places = self._places.get(config.name)
        if places is None or not places.is_of(config.entries, config.plans):
            places = self._places[config.name] = Places(config.entries, config.plans)
        if places.check(self._log):
            del self._places[config.name]
            return False
        return True

    def _cannot_start(self, task: TaskConfig, exc: Exception) -> None:
        words = sentence(str(exc), "", says_more(task.file))
        self._log.error("Task [%s] cannot be started, next try in [%g] secs: %s", task.name, _AGAIN_SECS, words)

    def _answer(self, folder: str, id: str, *, result: Any = None, error: str = "") -> None:
        try:
            requests.answer(folder, id, result=result, error=error)
        except OSError as exc:
            self._log.error("An order to reload cannot be answered: %s", exc)


def _folder_of(task: TaskConfig) -> str:
    return task_folder(task.plans[0].state_dir)
