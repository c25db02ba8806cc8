"""The life of a child's process: lock, open, ticks, end; restart by exec.

It calls the hooks of the user's subtask (:class:`UserHooks`) and none of its other methods, so nothing here can be overridden by
accident.
"""

from __future__ import annotations

import os
import sys

from ...common.entries import first_folder
from ...common.errors import AlreadyRunning, PysubtaskError
from ...common.line_rate import tell_sums
from ...common.program import again_words, here
from ...common.remedy import says_more
from ...common.status import read_status
from ..base_subtask import BaseSubtask
from ..platform.change_times import last_sign
from ..requests.live_settings import LiveSettings
from ..snapshot.bak_folder import warning_about
from ..status import failed_start
from ..status.status_model import StatusModel
from .alarm import Alarm
from .child_context import ChildContext
from .child_end import end
from .child_parts import ChildParts, open_parts
from .deliveries import destination_of
from .exit_status import EXIT_CONFIG, EXIT_FAILED, EXIT_LOCKED, EXIT_OK, EXIT_STOPPED
from .guarded import keep_over_exec
from .master_check import MasterCheck
from .start_report import StartReport
from .state_folder import StateFolder
from .stop_state import StopState
from .tick import Tick


class ChildProcess:
    """One life of a child. ``run`` is all that a program calls; the other methods are the steps of it, in their order."""

    def __init__(self, subtask: BaseSubtask) -> None:
        handoff, alarm = subtask.handoff, Alarm()
        self._subtask = subtask
        self._context = ChildContext(
            handoff,
            first_folder(handoff.entries),
            LiveSettings(handoff.extension, subtask.settings),
            subtask.log,
            StatusModel(subtask.wall),
            alarm,
            StopState(alarm.tick_soon),
            subtask.clock,
            subtask.wall,
            says_more(handoff.config_file),
        )
        self._report = StartReport(self._context)
        self._master_check = MasterCheck()
        self._state_folder = StateFolder(self._context, lambda: destination_of(subtask, self._context.settings.current))
        self._failure = ""

    def run(self) -> int:
        """Live until stopped; the exit status of the process."""
        log, more = self._context.log, self._context.more
        self._context.stop.listen()
        try:
            sign = self.lock()
        except (AlreadyRunning, OSError) as exc:
            log.error("%s; %s", exc, more)
            return EXIT_LOCKED if isinstance(exc, AlreadyRunning) else EXIT_FAILED
        try:
            parts = self.open(sign)
        except (PysubtaskError, OSError) as exc:
            return self._cannot_start(exc)
        try:
            return self._live(parts)
        except PysubtaskError as exc:
            self._failure = str(exc)
            log.error("Cannot go on: %s; %s", exc, more)
            return EXIT_CONFIG if isinstance(exc, ValueError) else EXIT_FAILED
        except Exception as exc:
            self._failure = f"an error of the program itself: {exc!r}"
            raise
        finally:
            self.close(parts)

    def lock(self) -> float | None:
        """Take the lock of the state folder; when the last child was alive (seconds since the epoch), None where that is not known.
        Raises AlreadyRunning, OSError."""
        self._state_folder.lock()
        return last_sign(read_status(self._context.handoff.state_dir))

    def open(self, sign: float | None) -> ChildParts:
        """Open the state; nothing runs yet. ``sign``: the result of :meth:`lock`. Raises PysubtaskError, OSError."""
        return open_parts(self._subtask, self._context, self._state_folder, sign, self._report)

    def close(self, parts: ChildParts) -> None:
        """Close all that :meth:`open` has opened, and write the last status page."""
        parts.watch.stop()
        parts.disk_checks.close()
        parts.delivery.close()
        parts.pipeline.close()
        parts.child.heartbeat.end()
        tell_sums(self._context.log, everything=True)
        self._context.status_model.state("failed" if self._failure else "stopped", self._failure)
        parts.child.write_page(force=True)
        parts.child.spool_thread.close()
        self._state_folder.release_lock()
        self._context.alarm.close()

    def tick_of(self, parts: ChildParts) -> Tick:
        """What runs the ticks of this child."""
        return Tick(parts, self._master_check)

    def _cannot_start(self, exc: Exception) -> int:
        """Report why the child cannot start, in the log and on the status page; the exit status."""
        self._context.log.error("Cannot start: %s; %s", exc, self._context.more)
        failed_start.tell(self._context.handoff, str(exc), self._context.wall())
        self._state_folder.unlock()
        return EXIT_CONFIG if isinstance(exc, ValueError) else EXIT_FAILED

    def _live(self, parts: ChildParts) -> int:
        context, stop = self._context, self._context.stop
        tick = self.tick_of(parts)
        self._begin(parts, tick)
        while not stop.is_requested and not stop.is_orphan:
            now = context.clock()
            tick.run(now)
            self._failure = self._check(parts, now)
            if self._failure:
                context.log.error("%s", self._failure)
                return EXIT_FAILED
            tick.wait(now)
            if parts.control.starts_over and not stop.is_requested:
                context.status_model.state("starting", "reset by an order")
                parts.child.write_page(force=True)
                parts.delivery.close()
                self._start_over(parts, "reset by an order")
        end(parts)
        return EXIT_STOPPED if stop.requested_by else EXIT_OK

    def _begin(self, parts: ChildParts, tick: Tick) -> None:
        """Start what runs beside the main thread, then the user's subtask."""
        context = self._context
        context.log.info("***** HELLO!: [%s] *****", self._subtask.description)
        bak = context.handoff.bak_dir
        if bak is not None and (warning := warning_about(bak)):
            context.log.warning("%s", warning)
        parts.child.heartbeat.begin()
        parts.watch.start()
        parts.request_server.listen(parts.watch.file_events, context.alarm.tick_soon)
        context.status_model.set(watch=parts.watch.mode)
        tick.tell_watch()
        parts.delivery.start()
        parts.child.hooks.start()
        context.log.info("START! Polling every [%s] secs", context.settings.current["TimerIntervalSecs"])
        # A dispatcher that connects meanwhile, or is held, has set its own state.
        context.status_model.leave("starting", "watching")
        parts.delivery.queue_changed()

    def _check(self, parts: ChildParts, now: float) -> str:
        """Why the process has to end as failed, so that the master starts it again; empty while all is well."""
        health = parts.delivery.check(now)
        if health.hang:
            self._start_over(parts, health.hang)
        if gone := parts.disk_checks.state_folders.gone:
            return f"The folder {gone} is gone, or another one is in its place"
        return health.failure

    def _start_over(self, parts: ChildParts, why: str) -> None:
        """Start the child over by exec, with the same process id; nothing that is queued is lost."""
        self._context.status_model.state("starting", why)
        parts.child.write_page(force=True)
        parts.watch.stop()
        parts.child.spool_thread.close()
        self._state_folder.keep_lock_over_exec()
        keep_over_exec(self._context.stop.guard)
        words = again_words(here(), sys.orig_argv)
        os.execv(words[0], words)
