"""Whose claims count: the tasks that live, and shortly after a start of the machine those that will be started, too."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...common.lock import StateLock
from ...common.process import process_start
from ...common.state_files import LOCK
from ...common.status import read_status

BOOT_SECS = 60.0
"""Seconds after a start of the machine during which the tasks that ran before it count as alive."""
_TRUSTED_SECS = 1.0


class LivingTasks:
    """``clock`` is monotonic. ``lives``: whether a task (by its state folder) is alive; ``expects``: whether a dead one will be
    back soon."""

    def __init__(
        self, clock: Callable[[], float], lives: Callable[[str], bool] | None = None, expects: Callable[[str], bool] | None = None
    ) -> None:
        self._clock = clock
        self._lives = lives or _lives
        self._expects = expects or _ran_before_this_boot
        self._began = clock()
        self._seen: dict[str, float] = {}

    def counts(self, state_dir: str) -> bool:
        """Whether the claims of the task with this state folder count; a positive answer is good for a second."""
        now = self._clock()
        if now - self._seen.get(state_dir, float("-inf")) < _TRUSTED_SECS:
            return True
        if self._lives(state_dir) or (now - self._began < BOOT_SECS and os.path.isdir(state_dir) and self._expects(state_dir)):
            self._seen[state_dir] = now
            return True
        # A negative answer is not cached: the task may come back at any moment.
        return False


def _lives(state_dir: str) -> bool:
    return StateLock(os.path.join(state_dir, LOCK)).holder() is not None


def _ran_before_this_boot(state_dir: str) -> bool:
    """Whether a dead task ended with the machine or before its start: it will be started soon, as this one was."""
    then = str((read_status(state_dir) or {}).get("pid_start") or "").partition("-")[0]
    now = (process_start(os.getpid()) or "").partition("-")[0]
    return bool(then and now) and then != now
