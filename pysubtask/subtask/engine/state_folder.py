"""The state folder of a child at its start: locked, moved there if needed, announced to commands."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ...common import registry, status_group
from ...common.errors import PysubtaskError
from ...common.lock import Holder, StateLock, process_start
from ...common.place import device_of
from ...common.state_files import LOCK
from ...common.state_place import has_queue, inside_of, is_inside, make_outside, why_away
from ..state_migration import StateMigration
from .child_context import ChildContext


class StateFolder:
    """``destination``: returns whose queue this is; it may raise ConfigError."""

    def __init__(self, context: ChildContext, destination: Callable[[], str]) -> None:
        handoff = context.handoff
        self._context = context
        self._destination = destination
        self._lock = StateLock(os.path.join(handoff.state_dir, LOCK))
        self._moving = StateMigration(
            handoff.state_dir,
            handoff.state_elsewhere,
            context.first,
            context.settings.current["BakToFolder"],
            handoff.bak_dir,
            context.log,
            min_free=lambda: int(context.settings.current["MinFreeBytes"]),
            stopped=lambda: context.stop.is_requested,
            announce=self.announce,
        )

    def lock(self) -> None:
        """Take the lock of the folder, which the child holds for life, and of other folders that may hold its queue. Raises
        AlreadyRunning, FileNotFoundError, OSError."""
        first, state_dir = self._context.first, self._context.handoff.state_dir
        if not os.path.isdir(first):
            raise FileNotFoundError(errno.ENOENT, "There is no such folder to keep the state in", first)
        pid = os.getpid()
        me = Holder(pid, process_start(pid) or "", self._context.handoff.master_pid, self._context.handoff.master_start)
        self._moving.lock(me)
        if not is_inside(state_dir):
            make_outside(state_dir, first)
        self._lock.acquire(me)

    def release_lock(self) -> None:
        """Release the lock of the folder: the child ends."""
        self._lock.release()

    def unlock(self) -> None:
        """Release the lock, and those of other folders that are held still."""
        self.release_lock()
        self._moving.unlock()

    def keep_lock_over_exec(self) -> None:
        """The process that replaces this one has the lock from its beginning."""
        self._lock.keep_over_exec()

    def settle(self, tell: Callable[[], None]) -> list[str]:
        """Move the state to its folder if needed, before anything of it is opened; the folders that it was moved from. ``tell``
        writes the status page while that goes on. Raises PysubtaskError, OSError."""
        handoff, log = self._context.handoff, self._context.log
        if handoff.state_why:
            log.info("The state is kept in [%s]: %s", handoff.state_dir, handoff.state_why)
        inside = inside_of(self._context.first, handoff.task, handoff.extension)
        away = why_away(inside)
        if away:
            raise PysubtaskError(away)
        before = registry.known(inside)
        if self._moving.is_due:
            self._context.status_model.state("starting", f"its state is moved to {handoff.state_dir}")
            tell()
        moved_from = self._moving.settle()
        self._moving.unlock()
        for old in moved_from:
            log.warning("The state was moved from [%s] to [%s]", old, handoff.state_dir)
        if before is not None and before.destination and not has_queue(handoff.state_dir) and not is_inside(before.state_dir):
            log.warning("The queue in [%s] is gone, so a new one is begun: every file is offered again", before.state_dir)
        # Announced before the queue is created, so that commands find every queue.
        self.announce()
        return moved_from

    def announce(self) -> None:
        """Put the task into the registry, where commands find it."""
        handoff, outside = self._context.handoff, not is_inside(self._context.handoff.state_dir)
        first, log = self._context.first, self._context.log
        group = status_group.share(handoff.state_dir, self._context.settings.current, log)
        try:
            registry.announce(
                registry.Record(
                    handoff.task,
                    handoff.extension,
                    self._destination(),
                    handoff.state_dir,
                    handoff.label,
                    first,
                    handoff.config_file,
                    device_of(first),
                    device_of(handoff.state_dir) if outside else None,
                ),
                group,
            )
        except OSError as exc:
            log.info("Commands without a config will not find this task: %s", exc)
            return
        if group is not None:
            status_group.warn_of_closed((handoff.state_dir, registry.folder()), group, log)
