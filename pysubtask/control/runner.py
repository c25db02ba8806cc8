"""``pysubtask run``: keeps the tasks of a config running until it is told to stop, and takes up what changes in the config."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..common import requests
from ..common.errors import ConfigError, PysubtaskError
from ..common.lock import StateLock
from ..common.logs import setup_logging
from ..common.remedy import says_more, sentence
from ..common.requests import myself, reply_to, send
from ..common.status import read_status
from . import opening
from .changes import Changes, compare
from .config_task import TaskConfig
from .exits import FAILED, LOCKED, OK, CommandError
from .running import RunningTask
from .sd_notify import Notifier
from .signals import Signals

RELOAD = "reload"
TICK_SECS = 0.5
_STATUS_SECS = 2.0
_ANSWER_SECS = 15.0
_AGAIN_SECS = 10.0
_INTERRUPTED = 130


class _Reload:
    """A reload that goes on: who waits for it, what is still open, what it has come to."""

    def __init__(self, waiting: list[tuple[str, str]], found: Changes, now: float) -> None:
        self.waiting = waiting
        self.found = found
        self.until = now + _ANSWER_SECS
        self.sets: list[tuple[str, str, str]] = []  # (label, state folder, id)
        self.refused: list[str] = []


class Runner:
    """Runs the tasks that ``load`` gives, and loads them anew where that is asked for.

    ``load`` raises ConfigError or CommandError where they cannot be run.
    """

    def __init__(self, load: Callable[[], Sequence[TaskConfig]], notifier: Notifier, clock: Callable[[], float] = time.monotonic):
        self._load = load
        self._notifier = notifier
        self._clock = clock
        self._log: logging.Logger
        self._tasks: dict[str, RunningTask] = {}
        self._missing: dict[str, TaskConfig] = {}
        self._again_at = 0.0
        self._signals = Signals()
        self._reload: _Reload | None = None
        self._next_ping = self._next_status = 0.0

    def run(self) -> int:
        """Run until stopped; the exit status. CommandError, ConfigError or OSError where it cannot begin."""
        tasks = self._load()
        every = [plan.settings["LogFormat"] for task in tasks for plan in task.plans]
        self._log = setup_logging(f"control.Runner.{os.getpid()}", None, True, form="json" if set(every) == {"json"} else "text")
        with self._signals:
            try:
                self._begin(tasks)
                self._notifier.say("READY=1")
                self._log.info("Running: %s", ", ".join(self._tasks))
                return self._loop()
            finally:
                self._end()

    def _begin(self, tasks: Sequence[TaskConfig]) -> None:
        """Start all. One whose folder cannot be used now does not keep the others from running; if that goes for all, it is
        the runner's own error."""
        error: CommandError | None = None
        for task in tasks:
            opening.say(task, self._log)
            try:
                self._tasks[task.name] = RunningTask(task)
            except CommandError as exc:
                if exc.status == LOCKED:
                    raise
                error = exc
                self._missing[task.name] = task
                self._cannot_start(task, exc)
                continue
            self._sweep(self._tasks[task.name])
        if error is not None and not self._tasks:
            raise error
        self._again_at = self._clock() + _AGAIN_SECS

    # -- the loop -----------------------------------------------------------------------------------------

    def _loop(self) -> int:
        tick = TICK_SECS
        if self._notifier.watchdog_secs is not None:
            tick = min(tick, self._notifier.watchdog_secs / 4)
        while not self._signals.stops:
            now = self._clock()
            for task in self._tasks.values():
                if not task.is_ending:
                    task.master.check_pending_notifications()
            self._replace_ended(now)
            self._look_for_orders(now)
            self._go_on_reloading(now)
            self._tell(now)
            if not self._tasks and not self._missing:
                self._log.error("No task is left to run")
                return FAILED
            if self._tasks and not self._missing and all(task.master.is_stopped() for task in self._tasks.values()):
                self._log.info("Every child was stopped by an order: nothing is left to do")
                return OK
            self._signals.wait(tick)
        return _INTERRUPTED if self._signals.stops[0] == signal.SIGINT else OK

    def _tell(self, now: float) -> None:
        """A sign of life while all is in order, and a line about what goes on."""
        limit = self._notifier.watchdog_secs
        if limit is not None and now >= self._next_ping and all(task.master.is_in_order() for task in self._tasks.values()):
            self._next_ping = now + limit / 3
            self._notifier.say("WATCHDOG=1")
        if self._notifier.is_heard and now >= self._next_status:
            self._next_status = now + _STATUS_SECS
            self._notifier.status(summary([task.config for task in self._tasks.values()]))

    def _end(self) -> None:
        """Stop everything; a second signal hurries the children, a third kills them."""
        self._notifier.say("STOPPING=1", "STATUS=delivering what is due")
        for task in self._tasks.values():
            task.end()
        hurried = 1
        while any(task.is_ending for task in self._tasks.values()):
            if self._notifier.watchdog_secs is not None:
                self._notifier.say("WATCHDOG=1")
            if len(self._signals.stops) > hurried:
                hurried = len(self._signals.stops)
                self._log.warning("Stopping at once; what is queued goes at the next start")
                for task in self._tasks.values():
                    task.master.hurry(kill=hurried > 2)
            self._signals.wait(0.1)
        self._notifier.close()

    # -- a changed config ---------------------------------------------------------------------------------

    def _sweep(self, task: RunningTask) -> None:
        """Orders that came while nobody ran: the config was read just now."""
        requests.sweep(task.folder, time.time())
        for order in task.orders():
            self._answer(task.folder, order.id, result=["the config was read at the start"])

    def _look_for_orders(self, now: float) -> None:
        if self._reload is not None:
            return
        asked = []
        for task in self._tasks.values():
            for order in task.orders():
                if order.op == RELOAD:
                    asked.append((task.folder, order.id))
                else:
                    self._answer(task.folder, order.id, error=order.problem or f"{order.op!r} is not known here. Known: {RELOAD}.")
        if asked or self._signals.hung_up:
            self._signals.hung_up = False
            self._begin_reload(asked, now)

    def _begin_reload(self, asked: list[tuple[str, str]], now: float) -> None:
        self._notifier.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            wanted = {task.name: task for task in self._load()}
        except (ConfigError, CommandError, OSError) as exc:
            self._log.error("RELOAD is refused, and nothing was changed: %s", exc)
            for folder, id in asked:
                self._answer(folder, id, error=f"nothing was changed: {exc}")
            self._notifier.say("READY=1")
            self._notifier.status("reload refused: the config cannot be used")
            self._next_status = now + 30
            return
        found = compare({name: task.config for name, task in self._tasks.items()}, list(wanted.values()))
        self._reload = _Reload(asked, found, now)
        for name in found.stop:
            self._tasks[name].end()
        for name, why in found.restart.items():
            self._log.info("RELOAD: task [%s] starts anew: %s", name, why)
            self._tasks[name].next = wanted[name]
            self._tasks[name].end()
        for name, values in found.live.items():
            self._set_live(wanted[name], values)
        self._missing = {name: wanted[name] for name in found.start}
        self._again_at = now
        self._start_missing(now)

    def _set_live(self, task: TaskConfig, values: dict[str, dict[str, Any]]) -> None:
        assert self._reload is not None
        running = self._tasks[task.name]
        running.master.take(task.plans)
        running.config = task
        for plan in task.plans:
            if plan.state_dir not in values or StateLock(os.path.join(plan.state_dir, "lock")).holder() is None:
                continue  # a dead child starts with the new values
            label, settings = f"{task.name}/{plan.extension}", values[plan.state_dir]
            self._log.info("RELOAD: [%s] takes %s", label, ", ".join(f"{key} = {value}" for key, value in settings.items()))
            try:
                id = send(plan.state_dir, "set", {"settings": settings}, myself("pysubtask run: reload"))
                self._reload.sets.append((label, plan.state_dir, id))
            except (OSError, ValueError) as exc:
                self._reload.refused.append(f"{label}: {exc}")

    def _go_on_reloading(self, now: float) -> None:
        """Answer when everything has come about, or does not within a time."""
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
        moving = any(task.is_ending or task.has_ended for task in self._tasks.values()) or self._missing
        if (still and now < reload.until) or (moving and now < reload.until + _ANSWER_SECS):
            return
        self._reload = None
        lines = words(reload.found) + [f"{label}: it has not answered yet" for label, _, _ in still]
        lines += [f"{name}: it cannot be started yet; the log says why" for name in self._missing]
        for line in lines:
            self._log.info("RELOAD: %s", line)
        for folder, id in reload.waiting:
            if os.path.isdir(folder):
                error = "; ".join(reload.refused)
                self._answer(folder, id, result=lines, error=error)
        self._notifier.say("READY=1")

    def _replace_ended(self, now: float) -> None:
        for name, task in list(self._tasks.items()):
            if task.has_ended:
                del self._tasks[name]
                if task.next is not None:
                    self._missing[name] = task.next
                    self._again_at = now
        self._start_missing(now)

    def _start_missing(self, now: float) -> None:
        if not self._missing or now < self._again_at:
            return
        self._again_at = now + _AGAIN_SECS
        for name, config in list(self._missing.items()):
            try:
                self._tasks[name] = RunningTask(config)
            except (PysubtaskError, OSError) as exc:
                self._cannot_start(config, exc)
                continue
            opening.say(config, self._log)
            del self._missing[name]

    def _cannot_start(self, task: TaskConfig, exc: Exception) -> None:
        words = sentence(str(exc), "", says_more(task.file))
        self._log.error("Task [%s] cannot be started, next try in [%g] secs: %s", task.name, _AGAIN_SECS, words)

    def _answer(self, folder: str, id: str, *, result: Any = None, error: str = "") -> None:
        try:
            requests.answer(folder, id, result=result, error=error)
        except OSError as exc:
            self._log.error("An order to reload cannot be answered: %s", exc)


def words(found: Changes) -> list[str]:
    """A reload, a line for each task."""
    lines = [f"{name}: started" for name in found.start] + [f"{name}: stopped" for name in found.stop]
    lines += [f"{name}: started anew ({why})" for name, why in found.restart.items()]
    for name, children in found.live.items():
        values = {key: value for settings in children.values() for key, value in settings.items()}
        lines.append(f"{name}: {', '.join(f'{key} = {value}' for key, value in values.items())}")
    return lines + [f"{name}: nothing changed" for name in found.same]


def summary(tasks: Sequence[TaskConfig]) -> str:
    """What goes on, in one line: ``roof/ftp connected, 3 queued``."""
    parts = []
    for task in tasks:
        for plan in task.plans:
            page = read_status(plan.state_dir) or {}
            queue = page.get("queue") or {}
            count = queue.get("waiting", 0) + queue.get("sending", 0)
            parts.append(f"{task.name}/{plan.extension} {page.get('state', 'starting')}, {count} queued")
    return "; ".join(parts)
