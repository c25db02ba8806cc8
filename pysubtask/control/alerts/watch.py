"""The process of the alerts: it observes the children of one task until their master ends, and runs the user's program.

The process writes to no file of the children, and no other process waits for it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ...common import registry
from ...common.alert_command import display, secrets_of
from ...common.alert_handoff import AlertHandoff, Watched, read
from ...common.errors import AlreadyRunning
from ...common.lock import Holder, StateLock
from ...common.logs import close_logging, follow, log_options, set_level, setup_logging
from ...common.process import is_alive, process_start
from ...common.program import for_others
from ...common.redact import know
from ..config.setting_values import forget_secrets
from ..signals import Signals
from ..tasks.task import Task
from ..view.task_status import TaskStatus, task_status
from .incident import Rules, due, observed, tried
from .incidents import FOLDER, Incidents, name_of
from .kinds import Seen, seen
from .message import Message, message
from .program import Ended, Program, begin
from .retry import Retry

_LONGEST_INTERVAL_SECS = 10.0
_SHORTEST_INTERVAL_SECS = 0.2
_TICK_SECS = 0.05  # between two polls of the running program
_MASTER_SECS = 1.0  # between two checks that the master is alive
_LOCK_SECS = 5.0  # between two attempts at a lock that another process has
_OUTPUT_CHARS = 600  # of the program's output in the log
_NOT_FOR_OTHERS = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class _Running(NamedTuple):
    """The running program, its message, and the key (extension, kind) of the incident."""

    program: Program
    message: Message
    key: tuple[str, str]


class Watch:
    """The watch over one task. ``read_one`` reads the status of a child, ``wall`` and ``clock`` are the wall clock and the
    monotonic clock."""

    def __init__(
        self,
        handoff: AlertHandoff,
        read_one: Callable[[Watched, float], TaskStatus],
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = handoff.settings
        self._children = handoff.children
        self._read_one, self._wall, self._clock = read_one, wall, clock
        self._rules = Rules(self._settings["SettleSecs"], self._settings["RepeatSecs"])
        self._name = name_of(self._children[0].folder, self._children[0].task)
        self._environ = environment(os.environ, handoff.python_path)
        self._incidents: Incidents
        self._running: _Running | None = None
        self._retry = Retry()
        self._warned_not_kept = False
        self._seen: dict[tuple[str, str], tuple[Seen, TaskStatus]] = {}
        first = self._children[0]
        self.log = setup_logging(
            f"alerts.{first.label}.{os.getpid()}",
            handoff.log_file,
            handoff.log_to_console,
            task=first.task,
            **log_options(handoff.log),
        )
        set_level(self.log, handoff.log["LogLevel"])

    @property
    def interval_secs(self) -> float:
        """Seconds between two observations: a quarter of the shorter of SettleSecs and SilentSecs, within limits."""
        shortest = min(self._rules.settle_secs, self._settings["SilentSecs"])
        return float(min(_LONGEST_INTERVAL_SECS, max(_SHORTEST_INTERVAL_SECS, shortest / 4)))

    @property
    def lock(self) -> StateLock:
        """The lock against a second process that alerts for the same task."""
        return StateLock(os.path.join(registry.make_folder(FOLDER), f"{self._name}.lock"))

    def begin(self) -> None:
        """Read the incidents that an earlier process kept."""
        self._incidents = Incidents(self._name)
        self.log.info("Alerts are given by [%s]", display(self._settings["Command"]))
        self._warn_not_kept()

    def observe(self) -> None:
        """Observe the children, and update the incidents."""
        now = self._wall()
        for child in self._children:
            try:
                one = self._read_one(child, now)
                kinds = seen(one, self._settings["SilentSecs"])
            except OSError as exc:
                self.log.debug("%s/%s cannot be looked at: %s", child.label, child.extension, exc)
                continue
            for kind, found in kinds.items():
                key = (child.extension, kind)
                self._seen[key] = (found, one)
                self._incidents.set(*key, observed(self._incidents.of(*key), found, now, self._rules))
        follow(self.log)

    def work(self) -> bool:
        """Start the program for an alert that is due, or poll the running one; returns whether the program runs."""
        now = self._clock()
        if self._running is None:
            self._start(now)
        if self._running is not None:
            ended = self._running.program.poll(now)
            if ended is not None:
                running, self._running = self._running, None
                self._note(running, ended)
        return self._running is not None

    def end(self) -> None:
        """Kill the program if it runs; its alert is sent again after the next start."""
        if self._running is not None:
            self._running.program.kill()
            self.log.warning("ALERT: the program was ended, as this process ends: it is tried again after the next start")
            self._running = None
        close_logging(self.log)

    def _start(self, now: float) -> None:
        if not self._retry.may(now):
            return
        for key, (found, one) in self._seen.items():
            incident = self._incidents.of(*key)
            event = due(incident, found, self._wall(), self._rules)
            if not event:
                continue
            child = next(child for child in self._children if child.extension == key[0])
            alert = message(event, key[1], one, socket.gethostname(), incident.since, task=child.label, extension=child.extension)
            # The incident is on disk before the program starts: a restart then knows that it is open.
            self._incidents.set(*key, tried(incident, event, self._wall(), heard=False))
            self._keep()
            self.log.warning("ALERT: %s: %s", alert.subject, alert.why)
            started = begin(
                self._settings["Command"],
                {**self._environ, **alert.environment()},
                alert.as_json(),
                self._settings["TimeoutSecs"],
                now,
            )
            if isinstance(started, str):
                self._failed(started, "")
            else:
                self._running = _Running(started, alert, key)
            return

    def _note(self, running: _Running, ended: Ended) -> None:
        if ended.problem:
            self._failed(ended.problem, ended.output)
            return
        self._incidents.set(*running.key, tried(self._incidents.of(*running.key), running.message.event, self._wall(), heard=True))
        self._keep()
        says = f"; it says: {_cut(ended.output)}" if ended.output else ""
        again = " again" if self._retry.failures else ""
        self.log.info("ALERT: the program has taken it%s, in %.1f s%s", again, ended.secs, says)
        self._retry = Retry()

    def _failed(self, problem: str, output: str) -> None:
        now = self._clock()
        self._retry = self._retry.failed(now)
        says = f"; it says: {_cut(output)}" if output else ""
        text = "ALERT: the program of alerts.Command has failed: %s%s. It is tried again, next in %.0f s"
        if self._retry.failures == 1:
            self.log.error(text + "; further failures are not told", problem, says, self._retry.not_before - now)
        else:
            self.log.debug(text, problem, says, self._retry.not_before - now)

    def _keep(self) -> None:
        self._incidents.keep()
        self._warn_not_kept()

    def _warn_not_kept(self) -> None:
        if self._incidents.problem and not self._warned_not_kept:
            self._warned_not_kept = True
            self.log.warning(
                "What was alerted cannot be kept (%s): it may be alerted again after a restart", self._incidents.problem
            )


def _cut(text: str) -> str:
    return text if len(text) <= _OUTPUT_CHARS else f"{text[:_OUTPUT_CHARS]}..."


def environment(environ: Mapping[str, str], python_path: str | None) -> dict[str, str]:
    """The environment of the user's program: the app's own, without pysubtask's secrets and module path. ``python_path``: the
    app's PYTHONPATH."""
    found = for_others(environ)
    forget_secrets(found)
    for key in (*_NOT_FOR_OTHERS, "PYTHONPATH"):
        found.pop(key, None)
    return found | ({"PYTHONPATH": python_path} if python_path else {})


def read_child(child: Watched, now: float) -> TaskStatus:
    """The status of a child, as ``status`` shows it."""
    record = registry.Record(child.task, child.extension, "", child.state_dir, child.label, child.folder, child.config_file)
    return task_status(Task(record), now)


def run() -> None:
    """Watch the task that stdin hands over, until the master has ended or a signal comes. Raises ConfigError for other input on
    stdin."""
    with Signals() as signals:
        if sys.platform != "win32":
            signal.pthread_sigmask(
                signal.SIG_UNBLOCK, [signal.SIGTERM]
            )  # a SIGTERM from before the handlers were set is delivered now
        handoff = read()
        know(secrets_of(handoff.settings["Command"]))
        watch = Watch(handoff, read_child)

        def goes_on() -> bool:
            return not signals.stops and is_alive(handoff.master_pid, handoff.master_start)

        lock = _locked(watch, handoff, goes_on, signals)
        try:
            if goes_on():
                _loop(watch, goes_on, signals)
        finally:
            watch.end()
            if lock is not None:
                lock.release()


def _loop(watch: Watch, goes_on: Callable[[], bool], signals: Signals) -> None:
    watch.begin()
    next_observation = next_master = 0.0
    while not signals.stops:
        now = time.monotonic()
        if now >= next_master:
            next_master = now + _MASTER_SECS
            if not goes_on():
                return
        if now >= next_observation:
            next_observation = now + watch.interval_secs
            watch.observe()
        busy = watch.work()
        signals.wait(_TICK_SECS if busy else max(_TICK_SECS, min(next_observation, next_master) - time.monotonic()))


def _locked(watch: Watch, handoff: AlertHandoff, goes_on: Callable[[], bool], signals: Signals) -> StateLock | None:
    """The lock of the task, after the end of another process that has it; None where the lock file cannot be written, or this
    process is to end."""
    me = Holder(os.getpid(), process_start(os.getpid()) or "", handoff.master_pid, handoff.master_start)
    waits_known = False
    while goes_on():
        try:
            lock = watch.lock
            lock.acquire(me, patience=_MASTER_SECS)
            return lock
        except AlreadyRunning as exc:
            if not waits_known:
                watch.log.info("Alerts wait: %s", exc)
            waits_known = True
            until = time.monotonic() + _LOCK_SECS
            while time.monotonic() < until and goes_on():
                signals.wait(_MASTER_SECS)
        except OSError:
            return None  # the folder cannot be written, which ``begin`` logs
    return None
