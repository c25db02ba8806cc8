"""The folder that a task keeps its state in: whether it may be used, the report where it may not, and its making."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from ..common import beneath, registry
from ..common.entries import Entry, first_folder
from ..common.place import UNKNOWN_DISK, device_of, existing, is_in, near, why_not
from ..common.run_as import stranger, stranger_above
from ..common.state_place import base_of, inside_of, is_inside, why_away
from .child_config import Plan

REPORT_AGAIN_SECS = 900.0  # an obstacle that lasts is logged four times an hour


class Places:
    """Of one task; ``plans``: its children, which all keep their state in the first entry's folder, or all elsewhere."""

    def __init__(self, entries: Sequence[Entry], plans: Sequence[Plan], timer: Callable[[], float] = time.monotonic) -> None:
        self.folder = first_folder(entries)
        self.why = ""
        """Why the folder cannot be used, as of the last check."""
        self._entries = entries
        self._plans = plans
        self._timer = timer
        self._reported_at = float("-inf")
        self._is_there = True
        self._was_missing = not os.path.isdir(self.folder)
        self._device: int | None = None
        """The device that the folder was on when this task last worked there."""

    def check(self, logger: logging.Logger) -> bool:
        """Whether the task may work here now. The reason against it is logged at once, and again after REPORT_AGAIN_SECS;
        where MakeFolders says so, missing folders are made."""
        if not os.path.isdir(existing(self.folder)):
            self.why = ""
            # A file is in its place: there is no folder to wait for, and the making of the state folder fails with the reason.
            return True
        plan = self._plans[0]
        strange = stranger(self._entries)
        self._is_there = strange is None
        if strange is not None:
            self._is_there = False
            return self._tell(f"{strange.problem} (RunAs)", logger, "that has changed")
        mount, make = plan.settings["RequiresMount"], plan.settings["MakeFolders"]
        why = why_not(self.folder, plan.state_dir, mount=mount, device=self._remembered(self._inside(plan)))
        why = why or self._other_disk(plan)
        if make and (not why or not os.path.exists(self.folder)):
            why = self._make(mount, why)
        self._is_there = not why
        why = why or self._state_away()
        if not why:
            before, self.why = self.why, ""
            self._device = device_of(self.folder)
            if before:
                logger.info("Folder [%s] is there now: work begins.", self.folder)
            return True
        waited = bool(self.why)
        self._tell(why, logger, "the folder is there", "" if make else " It is not made (MakeFolders).")
        if not waited:
            self._announce(logger)
        return False

    def _tell(self, why: str, logger: logging.Logger, until: str, more: str = "") -> bool:
        """Keep why the task waits, and log it at once, and again after REPORT_AGAIN_SECS. Always False."""
        plan, before, self.why = self._plans[0], self.why, why
        now = self._timer()
        if why != before or now - self._reported_at >= REPORT_AGAIN_SECS:
            self._reported_at = now
            others = len(self._entries) - 1
            whole = f" Its other {'entry waits' if others == 1 else f'{others} entries wait'} too." if others else ""
            logger.error("Task [%s] waits: %s. It begins by itself when %s.%s", plan.label or plan.task, why, until, more + whole)
        return False

    def is_new(self) -> bool:
        """Whether the folder was missing when this was made, and is there since the last time this was asked."""
        was_missing, self._was_missing = self._was_missing, self._was_missing and not os.path.isdir(self.folder)
        return was_missing and not self._was_missing

    def take(self, plans: Sequence[Plan]) -> None:
        """The plans as they are now."""
        self._plans = plans

    def _other_disk(self, plan: Plan) -> str:
        """Why a folder that is there is not the one this task has worked on: a USB stick was exchanged for another one.
        A user who wants that restarts the task."""
        device = device_of(self.folder)
        if os.path.lexists(plan.state_dir) or self._device is None or device in (None, self._device):
            return ""
        if not os.path.ismount(self.folder):
            return ""
        return (
            f"another disk is mounted on {self.folder} than the one with the queue of this task. Put that one back, or start "
            "the task again to begin with an empty queue on this one"
        )

    def is_of(self, entries: Sequence[Entry], plans: Sequence[Plan]) -> bool:
        """Whether these are its entries and plans."""
        return list(entries) == list(self._entries) and list(plans) == list(self._plans)

    @property
    def closed(self) -> str:
        """The folder that must not be written into, since its disk is missing or it is another user's; '' where there is none
        such."""
        return self.folder if self.why and not self._is_there and os.path.isdir(self.folder) else ""

    def _inside(self, plan: Plan) -> str:
        """The key of the record of a child."""
        return inside_of(self.folder, plan.task, plan.extension)

    def _state_away(self) -> str:
        """Why the folder cannot be used that the state is in where it is not in the watched one; '' where it can."""
        for plan in self._plans:
            if plan.settings["StateFolder"] is not None and not is_inside(plan.state_dir):
                base = base_of(plan.state_dir)
                if not os.path.isdir(base):
                    return f"there is no folder {base}{near(base)} (StateFolder)"
            why = why_away(self._inside(plan))
            if why:
                return why
        return ""

    def _make(self, mount: str | None, why: str) -> str:
        """Make the missing folders that may be made; why the first folder still cannot be used."""
        if why and not why.startswith("there is no folder"):
            return why
        for entry in self._entries:
            folder = entry.path if entry.kind == "dir" else os.path.dirname(entry.path)
            if mount is not None and is_in(folder, mount) and not os.path.ismount(mount):
                continue
            strange = None if os.path.isdir(folder) else stranger_above(folder)
            if strange is not None:
                if folder == self.folder:
                    return f"{folder} is not made: {strange.problem} (RunAs)"
                continue
            try:
                beneath.make_folders(folder)
            except OSError as exc:
                if folder == self.folder:
                    return f"{folder} cannot be made: {exc.strerror or exc}"
        return ""

    @staticmethod
    def _remembered(inside: str) -> int | None:
        """The device of the last time. UNKNOWN_DISK (it was never there) does not count: the settings say what to wait for."""
        record = registry.known(inside)
        return None if record is None or record.device == UNKNOWN_DISK else record.device

    def _announce(self, logger: logging.Logger) -> None:
        """Have a task that never ran be found by 'pysubtask status'."""
        from ..common import status_group

        waits = UNKNOWN_DISK if self.closed else None
        for plan in self._plans:
            if registry.known(self._inside(plan)) is not None:
                continue
            try:
                registry.announce(
                    registry.Record(
                        plan.task, plan.extension, "", plan.state_dir, plan.label, self.folder, plan.config_file, waits
                    ),
                    status_group.of(plan.settings),
                )
            except OSError as exc:
                logger.info("Commands without a config will not find this task: %s", exc)
