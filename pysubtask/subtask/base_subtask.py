"""The child process: the only wait, the timer, and the work of each tick.

A tick finds due files, snapshots them, queues them in one commit, and hands them on. This module is plain and synchronous, for
people who subclass :class:`BaseSubtask`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from ..common import limits, own_files, registry, residual, status_group
from ..common.entries import first_folder
from ..common.errors import AlreadyRunning, DiskLow, PysubtaskError, SourceMissing
from ..common.events import EventLog, utc
from ..common.handoff import Handoff
from ..common.line_rate import each, limit, tell_sums
from ..common.lock import Holder, StateLock, process_start
from ..common.logs import follow, log_options, set_level, setup_logging
from ..common.never_sent import of_task
from ..common.notify import Stamp
from ..common.place import device_of, existing, is_in
from ..common.process import EXIT_STOPPED, is_alive
from ..common.program import again_words, here
from ..common.remedy import says_more
from ..common.state_files import HANDLED, LOCK
from ..common.state_place import SNAPSHOTS, has_queue, inside_of, is_inside, make_outside, own_folders, why_away
from ..common.status import read_status, write_status
from ..common.triggers import when_sent
from ..common.watched import Watched
from ..delivery_rules.retry import Policy, decide
from ..transports.base import RemoteStat
from .platform.change_times import last_sign
from .requests.request_handlers import Levers, RequestHandlers
from .requests.request_server import RequestServer
from .snapshot.bak_folder import sweep_former, warning_about
from .snapshot.extra_copy import copy_to_dir
from .snapshot.pipeline import TURN_SECS, Rules, SnapshotPipeline
from .snapshot.read_errors import ReadErrors
from .snapshot.snapshotter import Snapshotter
from .spool.excluded_jobs import drop_own
from .spool.jobs import ClaimedJob, DeliveryResult, QueuedSnapshot
from .spool.spool_thread import SpoolThread
from .state_migration import StateMigration, tag_of
from .status import failed_start, heartbeat
from .status.status_model import StatusModel
from .status.status_writer import StatusWriter
from .wake_event import WakeEvent
from .watch.missing_folders import MissingFolders, watched_folders
from .watch.settle_queue import LAST_SCAN_SECS
from .watch.state_folder_guard import StateFolderGuard
from .watch.unmounted_folders import UnmountedFolders
from .watch.watcher import Due, Watcher

T = TypeVar("T")
EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_LOCKED = 0, 1, 2, 3

_LEAST_PAUSE = 0.005
_FOLLOW_SECS = 3.0
_LISTED_ENTRIES = 10
"""Number of entries on the status page, which is written often."""


class _Known:
    """The stamps that the watch queries, from dictionaries of the spool that follow its commits."""

    def __init__(self, spool_thread: SpoolThread) -> None:
        self._spool = spool_thread.spool

    def handled(self, notify_path: str) -> Stamp | None:
        return self._spool.stamps.signals.get(notify_path)

    def source(self, path: str) -> Stamp | None:
        found = self._spool.stamps.sources.get(path)
        return None if found is None else found[0]


class BaseSubtask:
    """A child that watches notify files and calls ``process_notify`` with a snapshot of each notified file.

    Override ``process_interval``, ``process_notify``, ``process_heartbeat``, ``start`` and ``stop``. What
    they raise is logged, becomes an event, and never ends the timer; a snapshot whose ``process_notify``
    failed is offered again. ``Enabled = False`` leaves the child running but idle.
    """

    Enabled = True

    def __init__(
        self, handoff: Handoff, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.handoff = handoff
        self.settings: dict[str, Any] = handoff.settings
        self.clock = clock
        self.wall = wall
        self.description = str(self.settings["SubtaskDescription"])
        logger_name = f"{handoff.extension}.{type(self).__name__}.{os.getpid()}"
        self.log = self.baselogger = setup_logging(
            logger_name,
            handoff.log_file,
            handoff.log_to_console,
            task=handoff.task,
            own_output=not handoff.log_to_console,
            own_process=True,
            **log_options(self.settings),
        )
        limit(self.log)
        if handoff.log_lines:
            from ..common import app_log

            lines = app_log.LineFile(handoff.state_dir, logger_name, handoff.task)
            lines.addFilter(app_log.rate(self.log))
            self.log.addHandler(lines)
        self.source_path = ""
        self.status_model = StatusModel(wall)
        self._wake_event = WakeEvent()
        self._lock = StateLock(os.path.join(handoff.state_dir, LOCK))
        self._first = first_folder(handoff.entries)
        self._moving = StateMigration(
            handoff.state_dir,
            handoff.state_elsewhere,
            self._first,
            self.settings["BakToFolder"],
            handoff.bak_dir,
            self.log,
            min_free=lambda: int(self.settings["MinFreeBytes"]),
            stopped=lambda: self._stop_asked > 0,
            announce=self._announce,
        )
        self._moved_from: list[str] = []
        self._last_sign: float | None = None
        self._policy = Policy.of(self.settings)
        self._stop_asked = 0
        self._watch_reason = ""
        self._stopped_by = ""
        self._again = False
        self._orphan = False
        self._parent = os.getppid()
        self._parent_start = process_start(self._parent)
        self._poll_now = False
        self._next_follow = 0.0
        self._failure = ""
        self._more = says_more(handoff.config_file)
        self._last_notice = clock()
        self._spool_thread: SpoolThread
        self.events: EventLog
        self._snapshotter: Snapshotter
        self._status_writer: StatusWriter
        self._watch: Watcher
        self._pipeline: SnapshotPipeline
        self._heartbeat: heartbeat.Heartbeat
        self._request_server: RequestServer

    # -- for subclasses to override -----------------------------------------------------------------------

    def start(self) -> None:
        """Called once before the first tick."""

    def stop(self) -> None:
        """Called once at a graceful end (``master.stop(forcekill=False)``), after everything due was queued."""

    def process_interval(self) -> None:
        """Called at every tick, before anything else."""

    def process_notify(self, snapshot: str) -> None:
        """Called with the path of each new snapshot (``self.source_path`` is the data file). It is removed
        when this returns; an exception means: offer it again later."""
        self.log.info("Subtask Notified!: File [%s] changed.", self.source_path, extra=each("notified"))

    def process_heartbeat(self, file: str) -> None:
        """Called with the path of the heartbeat file when a beat is due."""
        self.write_heartbeat()

    # -- helpers for subclasses ---------------------------------------------------------------------------

    def sleep(self, secs: float) -> None:
        """Sleep politely: a stop ends it."""
        until = self.clock() + secs
        while not self._stop_asked and (left := until - self.clock()) > 0:
            self._wake_event.wait(min(left, 1.0))

    def dead_time(self) -> float:
        """Milliseconds since the last notify (or since the start)."""
        return (self.clock() - self._last_notice) * 1000

    def heartbeat_time(self) -> float | None:
        """Milliseconds since the last heartbeat; None where none was sent."""
        last = self._heartbeat.last
        return None if last is None else (self.clock() - last) * 1000

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files as of now; the paths of those that are to be sent. Raises OSError. From any thread."""
        before = self._heartbeat.problem
        paths = self._heartbeat.write(self.clock(), self._status_writer.summary() if self._heartbeat.status else {})
        if self._heartbeat.problem and self._heartbeat.problem != before:
            self.log.warning(
                "Heartbeat file [%s] cannot be written (%s): only what is sent is.", self._heartbeat.file, self._heartbeat.problem
            )
        return paths

    def copy_file_to_dir(self, from_file: str, to_dir: str) -> str | None:
        """Copy a file with its times into a folder, which is created if missing; the path of the copy, None where the file is
        missing."""
        try:
            return copy_to_dir(from_file, to_dir)
        except SourceMissing:
            self.log.error("File [%s] does not exist to copy", from_file)
            return None

    # -- life ---------------------------------------------------------------------------------------------

    def destination(self) -> str:
        """Whose queue this is; uploaders name their server."""
        return f"hook://{self.handoff.module}"

    def run(self) -> int:
        """Live until stopped; the exit status of the process."""
        self._listen()
        try:
            self._take_lock()
            self._last_sign = last_sign(read_status(self.handoff.state_dir))
        except (AlreadyRunning, OSError) as exc:
            self.log.error("%s; %s", exc, self._more)
            return EXIT_LOCKED if isinstance(exc, AlreadyRunning) else EXIT_FAILED
        try:
            self._open()
        except (PysubtaskError, OSError) as exc:
            return self._cannot_start(exc)
        try:
            return self._live()
        except PysubtaskError as exc:
            self._failure = str(exc)
            self.log.error("Cannot go on: %s; %s", exc, self._more)
            return EXIT_CONFIG if isinstance(exc, ValueError) else EXIT_FAILED
        except Exception as exc:
            self._failure = f"an error of the program itself: {exc!r}"
            raise
        finally:
            self._close()

    def when_there_is_room(self, call: Callable[[], T]) -> T:
        """The result of a call that starts a thread. While the system starts none, the call is tried again at growing intervals.
        Raises PysubtaskError when a stop is requested meanwhile."""
        read_errors = ReadErrors()
        while True:
            try:
                return call()
            except RuntimeError as exc:
                if not limits.is_limit(exc):
                    raise
            words = limits.words()
            if read_errors.add("start", "no thread", self.clock()):
                self.log.error("Waiting to start: %s", words)
            self.status_model.set(problem={"kind": "process_limit", "text": words})
            self.status_model.state("starting", words)
            self._tell_of_the_start()
            self._wake_event.wait(max(0.0, (read_errors.next_at() or 0.0) - self.clock()))
            if self._stop_asked:
                raise PysubtaskError(words)
            self.status_model.set(problem=None)

    def _tell_of_the_start(self) -> None:
        """Write the status page of a child that is starting: with the queue where that is open; else over the page that the last
        child left."""
        if hasattr(self, "_status_writer"):
            self._status_writer.write(self.clock(), force=True)
            return
        pid, handoff = os.getpid(), self.handoff
        page = {"epoch": 0, "n": 0, "queue": {}, "parked": [], **(read_status(handoff.state_dir) or {}), **self.status_model.page()}
        with contextlib.suppress(OSError):  # a full disk, too: the log has it
            write_status(
                handoff.state_dir,
                {**page, "pid": pid, "pid_start": process_start(pid), "at": utc(self.wall())},
                status_group.of(handoff.settings),
            )

    def _cannot_start(self, exc: Exception) -> int:
        """Report why the child cannot start, in the log and on the status page; the exit status."""
        self.log.error("Cannot start: %s; %s", exc, self._more)
        failed_start.tell(self.handoff, str(exc), self.wall())
        self._lock.release()
        self._moving.unlock()
        return EXIT_CONFIG if isinstance(exc, ValueError) else EXIT_FAILED

    def _take_lock(self) -> None:
        first, state_dir = self._first, self.handoff.state_dir
        if not os.path.isdir(first):
            raise FileNotFoundError(errno.ENOENT, "There is no such folder to keep the state in", first)
        pid = os.getpid()
        me = Holder(pid, process_start(pid) or "", self.handoff.master_pid, self.handoff.master_start)
        self._moving.lock(me)
        if not is_inside(state_dir):
            make_outside(state_dir, first)
        self._lock.acquire(me)

    def _open(self) -> None:
        handoff, first = self.handoff, self._first
        self._settle()
        own = of_task(handoff.own, handoff.entries)
        # Where the state is elsewhere, the disk of the watched folder may be removed while the state stays.
        self._footing = StateFolderGuard(handoff.state_dir, *([] if is_inside(handoff.state_dir) else [first]))
        destination = self.destination()
        self._spool_thread = self.when_there_is_room(
            lambda: SpoolThread(handoff.state_dir, destination, lambda *paths: self._snapshotter.drop(*paths), self.wall)
        )
        kept = str(self._spool_thread.run(self._spool_thread.spool.meta.get, "mounts", ""))
        self._disks = UnmountedFolders(watched_folders(handoff.entries), handoff.state_dir, kept, self._sent_from)
        self._missing = MissingFolders(handoff.entries, self.settings.get("RequiresMount"), self.log, self.wall, self._disks)
        tag = str(self._spool_thread.run(self._spool_thread.spool.meta.get, "tag", tag_of(handoff.state_dir)))
        goes_with_it = handoff.bak_dir == os.path.join(handoff.state_dir, SNAPSHOTS)
        self._snapshotter = Snapshotter(
            handoff.bak_dir,
            tag,
            lambda: int(self.settings["MinFreeBytes"]),
            own.why_opened,
            handoff.state_dir if goes_with_it else first,
        )
        self.events = EventLog(handoff.state_dir, self._spool_thread.spool.start.epoch, self.wall, self.status_model.guard)
        self._status_writer = StatusWriter(
            handoff.state_dir, self.status_model, self.events, self._spool_thread, self.wall, status_group.of(self.settings)
        )
        pid = os.getpid()
        self.status_model.set(
            pid=pid,
            pid_start=process_start(pid),
            master_pid=handoff.master_pid,
            master_start=handoff.master_start,
            task=handoff.task,
            extension=handoff.extension,
            mark=handoff.mark,
            destination=self.destination(),
            started_at=utc(self.wall()),
            delivered=0,
            bytes_sent=0,
            receipt=self._spool_thread.run(self._spool_thread.spool.meta.get, "receipt", 0),
            label=handoff.label,
            folder=first,
            config_file=handoff.config_file,
            state_folder=handoff.state_dir,
            state_why=handoff.state_why,
            snapshots=handoff.bak_dir,
            snapshots_elsewhere=self._are_snapshots_elsewhere(),
        )
        listed = [{"path": entry.path, "when": when_sent(entry)} for entry in handoff.entries[:_LISTED_ENTRIES]]
        self.status_model.set(watched=listed, watched_more=len(handoff.entries) - len(listed))
        self.status_model.state("starting")
        self.events.emit("started", pid=pid, destination=self.destination())
        for old in self._moved_from:
            self.events.emit("state_moved", source=old, folder=handoff.state_dir)
        if self._spool_thread.damaged:
            self.log.error("The queue was damaged and is begun anew; every file is offered again: %s", self._spool_thread.damaged)
            self.events.emit("spool_damaged", reason=self._spool_thread.damaged)
            self.status_model.error("spool_damaged", self._spool_thread.damaged)
            self.status_model.over("spool_damaged")
        else:
            kept_copies = self._spool_thread.run(self._spool_thread.spool.queue.snapshots)
            self._snapshotter.sweep(kept_copies)
            if handoff.config_file:
                sweep_former(first, self.settings["BakToFolder"], handoff.bak_dir, tag, kept_copies)
        if self._spool_thread.spool.start.moved:
            self.log.warning("The destination changed: what was queued goes to [%s]", self.destination())
            self.events.emit("destination_changed", destination=self.destination())
        drop_own(self._spool_thread, own, self.events, self.log)
        skip = [folder for folder in (handoff.bak_dir, *own_folders(handoff.state_dir, first)) if folder]
        archive = os.path.normpath(os.path.join(first, self.settings["ArchiveToFolder"] or "."))
        if archive != first:
            skip.append(archive)
        nested = list(handoff.left_out)
        if handoff.log_file:
            skip.append(handoff.log_file)
            nested.append(os.path.dirname(handoff.log_file))
        if self.destination().startswith("file://"):
            skip.append(self.destination().removeprefix("file://"))
        longest_hold = float(handoff.burst["expire_milli"]) / 1000
        self._watch = Watcher(
            handoff.entries,
            _Known(self._spool_thread),
            skip,
            self._poll_soon,
            nested=nested,
            longest_hold=longest_hold,
            own=own,
            last_sign=self._last_sign,
            unmounted=self._disks,
        )
        self._watch.offer(handoff.residual)
        self._pipeline = SnapshotPipeline(
            handoff.entries,
            self._watch,
            self._snapshotter,
            self._spool_thread,
            self.status_model,
            self.events,
            self.log,
            Rules(
                self.queue_name,
                self.clash,
                self._noticed,
                lambda: self._status_writer.write(self.clock()),
                self._poll_soon,
                self.coming,
                self.gone,
                self.claim,
            ),
            self.wall,
            self._more,
        )
        self._heartbeat = heartbeat.make(
            self.settings, first_folder(handoff.entries), handoff.state_dir, handoff.owns_heartbeat, socket.gethostname
        )
        levers = Levers(
            self._settings_changed,
            self.hold_paused,
            self._queue_changed,
            Watched(handoff.entries, set(handoff.left_out), own).has,
            self._stop_ordered,
            self._reset_ordered,
            self.connect_now,
        )
        request_handlers = RequestHandlers(
            handoff.state_dir,
            handoff.extension,
            self.settings,
            handoff.entries,
            self._spool_thread,
            self.status_model,
            self.events,
            self.log,
            levers,
            self.wall,
            self.clock,
            handoff.left_out,
        )
        self._request_server = RequestServer(handoff.state_dir, request_handlers.handlers(), self.log, self.wall)
        self._settings_changed(set(self.settings))
        self._announce()

    def _settle(self) -> None:
        """Move the state to its folder if needed, before anything of it is opened."""
        handoff = self.handoff
        if handoff.state_why:
            self.log.info("The state is kept in [%s]: %s", handoff.state_dir, handoff.state_why)
        inside = inside_of(self._first, handoff.task, handoff.extension)
        away = why_away(inside)
        if away:
            raise PysubtaskError(away)
        before = registry.known(inside)
        if self._moving.is_due:
            self.status_model.state("starting", f"its state is moved to {handoff.state_dir}")
            self._tell_of_the_start()
        self._moved_from = self._moving.settle()
        self._moving.unlock()
        for old in self._moved_from:
            self.log.warning("The state was moved from [%s] to [%s]", old, handoff.state_dir)
        if before is not None and before.destination and not has_queue(handoff.state_dir) and not is_inside(before.state_dir):
            self.log.warning("The queue in [%s] is gone, so a new one is begun: every file is offered again", before.state_dir)
        # Announced before the queue is created, so that commands find every queue.
        self._announce()

    def _announce(self) -> None:
        handoff, outside = self.handoff, not is_inside(self.handoff.state_dir)
        group = status_group.share(handoff.state_dir, self.settings, self.log)
        try:
            registry.announce(
                registry.Record(
                    handoff.task,
                    handoff.extension,
                    self.destination(),
                    handoff.state_dir,
                    handoff.label,
                    self._first,
                    handoff.config_file,
                    device_of(self._first),
                    device_of(handoff.state_dir) if outside else None,
                ),
                group,
            )
        except OSError as exc:
            self.log.info("Commands without a config will not find this task: %s", exc)
            return
        if group is not None:
            status_group.warn_of_closed((handoff.state_dir, registry.folder()), group, self.log)

    def _are_snapshots_elsewhere(self) -> bool:
        """Whether snapshots are on another device than the data, so that the free room of one says nothing about the other."""
        bak = self.handoff.bak_dir
        try:
            return bak is not None and os.stat(existing(bak)).st_dev != os.stat(self._first).st_dev
        except OSError:
            return False

    def _listen(self) -> None:
        """Install the handlers for stop signals; one that came while the process was starting is handled now."""
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _poll_soon(self) -> None:
        """End the wait for a tick; from any thread."""
        self._poll_now = True
        self._wake_event.set()

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop_asked += 1
        self._wake_event.set()

    def _live(self) -> int:
        self.log.info("***** HELLO!: [%s] *****", self.description)
        if self.handoff.bak_dir is not None and (warning := warning_about(self.handoff.bak_dir)):
            self.log.warning("%s", warning)
        self._heartbeat.remove()
        if self._heartbeat.interval > 0:
            self.log.info("Heartbeat: File [%s] every [%s] secs.", self._heartbeat.file, self._heartbeat.interval)
        self._request_server.listen(self._watch.file_events, self._poll_soon)
        self._watch.start()
        self.status_model.set(watch=self._watch.mode)
        self._say_watch()
        self.begin()
        self._guarded("start", self.start)
        self.log.info("START! Polling every [%s] secs", self.settings["TimerIntervalSecs"])
        # A dispatcher that connects meanwhile, or is held, has set its own state.
        self.status_model.leave("starting", "watching")
        self.queue_changed()
        while not self._stop_asked and not self._orphan:
            now = self.clock()
            self.tick(now)
            failure = self.check(now)
            if self._footing.is_gone():
                failure = f"The folder {self._footing.gone} is gone, or another one is in its place"
            if failure:
                self._failure = failure
                self.log.error("%s", failure)
                return EXIT_FAILED
            self._wait(now)
            if self._again and not self._stop_asked:
                self.status_model.state("starting", "reset by an order")
                self._status_writer.write(self.clock(), force=True)
                self.close()
                self.begin_anew("reset by an order")
        self._end()
        return EXIT_STOPPED if self._stopped_by else EXIT_OK

    def _close(self) -> None:
        self._watch.stop()
        self._disks.close()
        self.close()
        self._heartbeat.remove()
        tell_sums(self.log, everything=True)
        self.status_model.state("failed" if self._failure else "stopped", self._failure)
        self._status_writer.write(self.clock(), force=True)
        self._spool_thread.close()
        self._lock.release()
        self._wake_event.close()

    # -- requests -------------------------------------------------------------------------------------------

    def _stop_ordered(self, who: str) -> None:
        self._stopped_by = who
        self._stop_asked = max(1, self._stop_asked)
        # Written before the reply: the command reads the status page as soon as it has the reply.
        self.status_model.state("stopping", f"stopped by {who}")
        self._status_writer.write(self.clock(), force=True)

    def _queue_changed(self) -> None:
        self._status_writer.touch()
        self._poll_soon()
        self.queue_changed()

    def queue_changed(self) -> None:
        """Called when a request has changed the queue, or which versions of it may be sent."""

    def _reset_ordered(self) -> None:
        self._disks.forget()
        with contextlib.suppress(DiskLow, sqlite3.Error):  # the disk is full: the folders are reported as missing once more
            self._spool_thread.run(self._spool_thread.spool.meta.set, "mounts", "")
        self._again = True
        self._poll_soon()

    def connect_now(self) -> dict[str, Any] | None:
        """Called when a person does not want to wait for the next connection; the outcome (see Dispatcher), None where this child
        connects to nothing."""
        return None

    def _settings_changed(self, keys: set[str]) -> None:
        """These settings have new values."""
        self._policy = Policy.of(self.settings)
        set_level(self.log, self.settings["LogLevel"])
        if "HeartbeatIntervalSecs" in keys:
            self._heartbeat.change(float(self.settings["HeartbeatIntervalSecs"]), self.clock())
        self.settings_changed()

    def settings_changed(self) -> None:
        """Called when live settings have new values, and once before ``begin``."""

    def hold_paused(self) -> None:
        """Called when versions were paused that may be in flight."""

    def begin_anew(self, why: str) -> None:
        """Start the child over by exec, with the same process id; nothing that is queued is lost."""
        self.status_model.state("starting", why)
        self._status_writer.write(self.clock(), force=True)
        self._watch.stop()
        self._spool_thread.close()
        self._lock.keep_over_exec()
        words = again_words(here(), sys.orig_argv)
        os.execv(words[0], words)

    # -- for extensions: what an uploader does besides ----------------------------------------------------

    def begin(self) -> None:
        """Called once, before ``start``."""

    def check(self, now: float) -> str:
        """Called after each tick; a returned text ends the process so that the master starts it again."""
        return ""

    def finish(self, deadline: float) -> None:
        """Deliver the queue until ``deadline`` (monotonic)."""
        while not self._hurried() and self.clock() < deadline and self._hand_on(self.clock()):
            self._status_writer.write(self.clock())

    def close(self) -> None:
        """Called once at the end."""

    # -- the tick -----------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Run one tick: requests, disks, due files, the queue, the heartbeat, the status page."""
        self._poll_now = False
        if self._footing.is_gone():
            return
        self._request_server.poll(self._footing.state)
        if not self.Enabled:
            return
        self._check_disks()
        self.status_model.set(missing=self._missing.poll(now))
        self._guarded("process_interval", self.process_interval)
        self._watch.offer(residual.take(self.handoff.state_dir))
        self._pipeline.take(now)
        self._say_watch()
        try:
            while self._hand_on(now) and not self._stop_asked:
                self._status_writer.write(self.clock())
        except DiskLow as exc:
            self.log.error("DISK %s! The queue cannot be written: %s", "FAULT" if exc.problem else "LOW", exc)
        if self._heartbeat.is_due(now):
            self._heartbeat.asked(now)
            self._guarded("process_heartbeat", lambda: self.process_heartbeat(self._heartbeat.file))
        self._orphan = self._master_gone()
        self._status_writer.write(self.clock())
        if now >= self._next_follow:
            self._next_follow = now + _FOLLOW_SECS
            follow(self.log)
            tell_sums(self.log)

    def _check_disks(self) -> None:
        """Check the mounts before any file is read: below the mount point of a disk that was taken away there is another
        folder."""
        before = self._disks.text()
        if not self._disks.check():
            return
        self._missing.poll_soon()
        self._watch.mounted()
        kept = self._disks.text()
        if kept != before:
            try:
                self._spool_thread.run(self._spool_thread.spool.meta.set, "mounts", kept)
            except (DiskLow, sqlite3.Error) as exc:
                self.log.warning("A disk that is missing at the next start will not be missed (%s)", exc)

    def _sent_from(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """The files of a folder that were snapshotted before, with their stamps."""
        for path, (stamp, _) in list(self._spool_thread.spool.stamps.sources.items()):
            if is_in(path, folder):
                yield path, stamp

    def _say_watch(self) -> None:
        """Log how files are watched, and why not by events, whenever that changes."""
        reason = self._watch.mode_reason
        kind = reason.partition(":")[0]  # the number of folders follows
        if kind != self._watch_reason:
            self._watch_reason = kind
            if reason:
                self.log.info("Watching by [%s]: %s", self._watch.mode, reason)
            else:
                self.log.info("Watching by [%s] again", self._watch.mode)

    def _wait(self, now: float) -> None:
        """Wait until the next tick: the end of the timer, a file event, a settling file, the next try of a file with an error.
        The status page is written in between."""
        until = now + float(self.settings["TimerIntervalSecs"])
        for at in (
            self._watch.next_at(now),
            self._pipeline.next_at(),
            self._hook_due(),
            self._heartbeat.next_at(),
            self._missing.next_at(),
        ):
            if at is not None:
                until = min(until, at)
        until = max(until, now + _LEAST_PAUSE)
        while True:
            left = until - self.clock()
            page_at = self._status_writer.due_at()
            if page_at is not None:
                left = min(left, page_at - self.clock())
            self._wake_event.wait(left)
            if self._stop_asked or self._poll_now or self.clock() >= until:
                return
            self._status_writer.write(self.clock())

    def _hook_due(self) -> float | None:
        return self._spool_thread.run(self._spool_thread.spool.job_claims.next_due)

    def _master_gone(self) -> bool:
        pid, parent = self.handoff.master_pid, os.getppid()
        if pid is None or parent == pid:
            return False
        if self._parent != pid and is_alive(pid, self.handoff.master_start or ""):
            # A frozen one-file program has its unpacker between master and child. The master takes the end of the unpacker for
            # that of the child.
            if parent != self._parent or (sys.platform == "win32" and process_start(parent) != self._parent_start):
                self._stop_asked = 2
            return False
        self.log.warning("The master [%s] is gone", pid)
        self.events.emit("orphaned", master_pid=pid)
        return True

    def _guarded(self, what: str, call: Callable[[], None]) -> bool:
        """Run the hook of a user; whether it raised nothing."""
        try:
            call()
        except Exception as exc:  # no exception of a user's code may end the timer
            self.log.exception("%s failed", what)
            self.events.emit("hook_failed", hook=what, reason=repr(exc))
            self.status_model.error("hook_failed", f"{what}: {exc!r}", what)
            return False
        self.status_model.over("hook_failed", about=what)
        return True

    # -- for extensions: what goes into the queue ---------------------------------------------------------

    def queue_name(self, due: Due) -> str:
        """The name of a file in the queue, under which a newer version replaces an older one."""
        return due.path

    def clash(self, due: Due) -> str:
        """Why this file may not be delivered under its name; empty where it may."""
        return ""

    def claim(self, found: list[Due]) -> None:
        """Called before :meth:`clash` is asked of each of these."""

    def coming(self) -> None:
        """Called when a snapshot is about to be made of a file that seems to be new."""

    def queued(self, entries: list[QueuedSnapshot]) -> None:
        """Called after each commit with the new entries of the queue."""

    def gone(self, paths: Collection[str]) -> None:
        """Called when data files have left their folders."""

    def _noticed(self, entries: list[QueuedSnapshot]) -> None:
        self._last_notice = self.clock()
        self._status_writer.touch()
        self.queued(entries)

    # -- the queue into the hook --------------------------------------------------------------------------

    def _hand_on(self, now: float) -> bool:
        """Call ``process_notify`` for one batch of the queue; whether there may be more."""
        taken: list[ClaimedJob] = self._spool_thread.run(self._spool_thread.spool.job_claims.claim, 8, now, self.wall())
        for version in taken:
            self.source_path = version.path
            snapshot = version.snapshot
            if not self._hurried() and self._guarded("process_notify", lambda path=snapshot: self.process_notify(path)):  # type: ignore[misc]
                done = DeliveryResult(version.id, RemoteStat(version.size, None), 0, "hook")
                self._spool_thread.run(self._deliver, done)
            else:
                wait = decide(version.attempts + 1, PysubtaskError(), self._policy, 0.0).secs
                self._spool_thread.run(self._spool_thread.give_back, version.id, "process_notify failed", self.clock() + wait)
        return bool(taken)

    def _deliver(self, done: DeliveryResult) -> None:
        """On the spool's thread, where the status page is written too: so a page has both a delivery and its event, or
        neither."""
        for _, receipt in self._spool_thread.deliver([done]):
            with self.status_model.guard:
                self.events.emit("delivered", name=receipt.name, path=receipt.path, size=receipt.size, receipt=receipt.seq)
                self.status_model.add(delivered=1)
                self.status_model.set(receipt=receipt.seq)

    # -- the end ------------------------------------------------------------------------------------------

    def _hurried(self) -> bool:
        """Whether a second stop was requested: nothing is waited for then."""
        return self._stop_asked > 1

    def _end(self) -> None:
        """Queue all due and held files, then continue to deliver for as long as the reason for the end allows."""
        why = f"stopped by {self._stopped_by}" if self._stopped_by else "stop was asked for"
        self.status_model.state("stopping", "the master is gone" if self._orphan else why)
        linger = float(self.settings["OrphanLingerSecs"] if self._orphan else self.settings["StopWaitSecs"])
        deadline = self.clock() + linger
        if self.Enabled:
            # Files for which the time is too short stay due.
            self._pipeline.take(self.clock(), everything=True, most_secs=max(TURN_SECS, linger / 2))
            self._take_what_settles()
        self._write_handled()
        self.log.info("STOP!")
        self._guarded("stop", self.stop)
        self._status_writer.write(self.clock(), force=True)
        # From here on any further signal is a request to end at once.
        self._stop_asked = max(1, self._stop_asked)
        self.finish(deadline)
        self.events.emit("stopped")

    def _take_what_settles(self) -> None:
        """Wait for a moment where files have just been changed. A file that is being written is not sent in its present state;
        the next start finds it."""
        until = self.clock() + min(LAST_SCAN_SECS, self.settings["StopWaitSecs"])
        while not self._hurried() and (at := self._watch.last_scan_at()) is not None and self.clock() < until:
            self._wake_event.wait(max(0.0, min(at, until) - self.clock()))
            self._pipeline.take(self.clock(), everything=True)

    def _write_handled(self) -> None:
        """Write for the master which notify stamps are safely in the queue, so that it may remove those files."""
        try:
            own_files.replace(self.handoff.state_dir, HANDLED, json.dumps(self._spool_thread.spool.stamps.signals).encode("ascii"))
        except OSError as exc:
            self.log.warning("Notify files will stay, the list of handled ones cannot be written: %s", exc)
