"""One tick of a child: requests, disks, due files, the queue, the heartbeat, the status page; and the wait for the next."""

from __future__ import annotations

from ...common import residual
from ...common.errors import DiskLow
from ...common.line_rate import tell_sums
from ...common.logs import follow
from .child_parts import ChildParts
from .master_check import MasterCheck

_LEAST_PAUSE = 0.005
_FOLLOW_SECS = 3.0


class Tick:
    """Belongs to the main thread; times are monotonic seconds."""

    def __init__(self, parts: ChildParts, master_check: MasterCheck) -> None:
        self._parts = parts
        self._master_check = master_check
        self._next_follow = 0.0
        self._next_job_at: float | None = None
        self._watch_reason = ""

    def run(self, now: float) -> None:
        """Run one tick. A child that is not enabled carries out requests, and notices the end of its master."""
        parts, child, context = self._parts, self._parts.child, self._parts.child.context
        context.alarm.tick_begins()
        state_folders = parts.disk_checks.state_folders
        if state_folders.is_gone():
            return
        parts.request_server.poll(state_folders.state)
        self._next_job_at = None
        if child.hooks.is_enabled:
            self._work(now)
        context.stop.is_orphan = self._master_check.is_gone(context, child.events)
        child.write_page()
        if now >= self._next_follow:
            self._next_follow = now + _FOLLOW_SECS
            follow(context.log)
            tell_sums(context.log)

    def wait(self, now: float) -> None:
        """Wait until the next tick: the end of the timer, a file event, a settling file, the next try of a file with an error.
        The status page is written in between."""
        parts, context = self._parts, self._parts.child.context
        until = now + float(context.settings.current["TimerIntervalSecs"])
        for at in (
            parts.watch.next_at(now),
            parts.pipeline.next_at(),
            self._next_job_at,
            parts.child.heartbeat.next_at(),
            parts.disk_checks.next_at(),
        ):
            if at is not None:
                until = min(until, at)
        until = max(until, now + _LEAST_PAUSE)
        while True:
            left = until - context.clock()
            page_at = parts.child.status_writer.due_at()
            if page_at is not None:
                left = min(left, page_at - context.clock())
            context.alarm.wait(left)
            if context.stop.is_requested or context.alarm.is_tick_due or context.clock() >= until:
                return
            parts.child.write_page()

    def tell_watch(self) -> None:
        """Log how files are watched, and why not by events, whenever that changes."""
        watch, log = self._parts.watch, self._parts.child.context.log
        kind = watch.mode_reason.partition(":")[0]  # the number of folders follows
        if kind != self._watch_reason:
            self._watch_reason = kind
            if watch.mode_reason:
                log.info("Watching by [%s]: %s", watch.mode, watch.mode_reason)
            else:
                log.info("Watching by [%s] again", watch.mode)

    def _work(self, now: float) -> None:
        parts, child, context = self._parts, self._parts.child, self._parts.child.context
        if parts.disk_checks.poll(now):
            parts.watch.mounted()
        child.hooks.process_interval()
        parts.watch.offer(residual.take(context.handoff.state_dir))
        parts.pipeline.take(now)
        child.spool_thread.compaction.daily(int(context.settings.current["ReceiptKeepMonths"]), parts.disk_checks.may_come_back)
        self.tell_watch()
        try:
            self._next_job_at = parts.delivery.work(now)
        except DiskLow as exc:
            context.log.error("DISK %s! The queue cannot be written: %s", "FAULT" if exc.problem else "LOW", exc)
        file = child.heartbeat.due_file(now)
        if file is not None:
            child.hooks.process_heartbeat(file)
