"""What a child does at this moment, whatever has died: from its page, its lock and its last lines.

The app and the command tell it in the same words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import why as reasons
from .disk import fault_of
from .events import FILE as EVENTS_FILE
from .lock import StateLock
from .page_events import followed
from .process import is_alive
from .receipts import FILE as RECEIPTS_FILE
from .settings_file import read_settings_page
from .stale import why_stale
from .state_files import LOCK
from .status import FILE as STATUS_FILE
from .status import read_status


class Present(NamedTuple):
    """One child at ``now``. ``page``: what it last wrote about itself, with the events since; ``pid`` of the living child, None
    where there is none; ``last_sign``: when the child last wrote a file, None where it never did; ``queue``: waiting, sending,
    parked, bytes, oldest; ``limit``: RateLimit in bytes per second; ``frozen``: a signal stopped it; ``missing``: what keeps its
    folder from being used; ``stale``: why the page of a living child may not be of the present; ``fault``: what is wrong with its
    disk; ``elsewhere``: it lives where it cannot be seen from here. Times are seconds since the epoch."""

    page: dict[str, Any] | None
    pid: int | None
    last_sign: float | None
    now: float
    queue: Mapping[str, Any]
    limit: float
    frozen: bool
    missing: str
    stale: str
    fault: str
    elsewhere: bool

    @property
    def why(self) -> str:
        """Why nothing moves, or what does, in a sentence."""
        return reasons.why(
            self.page,
            pid=self.pid,
            last_sign=self.last_sign,
            now=self.now,
            queue=self.queue,
            limit=self.limit,
            frozen=self.frozen,
            missing=self.missing,
            stale=self.stale if self.pid is not None else self.fault,
            elsewhere=self.elsewhere,
        )


def present(
    state_dir: str,
    now: float,
    *,
    why_missing: Callable[[], str],
    started: int | None = None,
    left: Callable[[str], Mapping[str, Any] | None] | None = None,
) -> Present:
    """The present state of the child of this state folder; ``now`` in seconds since the epoch. ``why_missing``: asked where no
    child lives; ``started``: the pid of a living child that may not have its lock yet; ``left``: the queue of a dead child in
    numbers, for who can read it (else it is that of its page)."""
    page, lock = read_status(state_dir), StateLock(os.path.join(state_dir, LOCK))
    holder = lock.holder()
    elsewhere = holder is None and lock.is_held_elsewhere()
    anew = beginning_anew(page) if holder is None else None
    if page is not None:
        page = followed(state_dir, page)
    queue: Mapping[str, Any] = (page or {}).get("queue") or {}
    if holder is None and not elsewhere and anew is None and started is None:
        queue = (left(state_dir) if left is not None else None) or queue
        page = None if page is None else page | {"moving": [], "rate": None}
    pid = holder.pid if holder is not None else anew if anew is not None else started
    frozen = pid is not None and is_frozen(pid)
    return Present(
        page,
        pid,
        last_sign(state_dir),
        now,
        queue,
        rate_limit(state_dir),
        frozen,
        why_missing() if pid is None and not elsewhere else "",
        why_stale(state_dir, page, now, since=locked_at(state_dir)) if holder is not None and not frozen else "",
        fault_of(state_dir),
        elsewhere,
    )


def beginning_anew(page: Mapping[str, Any] | None) -> int | None:
    """The pid of a child that restarts as the same process, and has let go of its lock for a moment; else None."""
    found = page or {}
    pid, start = found.get("pid"), found.get("pid_start")
    if found.get("state") != "starting" or not isinstance(pid, int) or not isinstance(start, str):
        return None
    return pid if is_alive(pid, start) else None


def last_sign(state_dir: str) -> float | None:
    """When the child last wrote its page, an event or a receipt, in seconds since the epoch; None where it never did."""
    signs = []
    for name in (STATUS_FILE, EVENTS_FILE, RECEIPTS_FILE):
        with contextlib.suppress(OSError):
            signs.append(os.stat(os.path.join(state_dir, name)).st_mtime)
    return max(signs, default=None)


def locked_at(state_dir: str) -> float | None:
    """When its lock was last taken, in seconds since the epoch; None where there is none."""
    with contextlib.suppress(OSError):
        return os.stat(os.path.join(state_dir, LOCK)).st_mtime
    return None


def rate_limit(state_dir: str) -> float:
    """RateLimit as it is now, in bytes per second; 0 where none is set, or that is not known."""
    try:
        return float(read_settings_page(state_dir)["settings"].get("RateLimit") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0.0


def is_frozen(pid: int) -> bool:
    """Whether a signal keeps the process from running (proc(5), /proc/pid/stat field 3)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return False
    return stat[stat.rfind(b")") + 2 :][:1] in (b"T", b"t")
