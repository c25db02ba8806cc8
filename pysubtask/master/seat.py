"""The places of the children, and what a master says about them."""

from typing import Any, NamedTuple

from ..common.process import is_alive
from ..common.status import read_status
from .child import Child, Restarts
from .destinations import Plan


class ChildStatus(NamedTuple):
    """One child. ``pid`` None: not started. ``restarts``: how often it ended by itself since ``start``.

    ``last_exit``: how it last ended, in words; ``next_restart_in``: seconds, or None where none is due.
    ``page``: what the child last wrote about itself (``status.json``), or None; ``stale``: why that may be over, '' where it is of
    the present.
    """

    extension: str
    pid: int | None
    alive: bool
    restarts: int
    last_exit: str | None
    next_restart_in: float | None
    page: dict[str, Any] | None
    stale: str = ""


class MasterStatus(NamedTuple):
    """``running``: between start and stop. ``unstamped``: notifies that could not be written yet.

    ``held``: files that burst mode holds back.
    """

    running: bool
    unstamped: int
    children: tuple[ChildStatus, ...]
    held: int = 0


class Seat:
    """The place of one child: its plan, and the child that sits there at the moment."""

    __slots__ = ("child", "last_exit", "plan", "restarts", "stopped")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.child: Child | None = None
        self.restarts = Restarts()
        self.last_exit: str | None = None
        self.stopped = False


def status_of(seat: Seat, now: float) -> ChildStatus:
    """The child of this seat at ``now`` (monotonic seconds)."""
    child, due = seat.child, seat.restarts.due
    alive = child is not None and child.poll() is None and is_alive(child.pid, "")
    page = read_status(seat.plan.state_dir)
    return ChildStatus(
        seat.plan.extension,
        child.pid if child is not None else None,
        alive,
        seat.restarts.times,
        seat.last_exit,
        max(0.0, due - now) if due is not None else None,
        page,
        _why_stale(seat.plan.state_dir, page) if alive and page is not None else "",
    )


def _why_stale(state_dir: str, page: dict[str, Any]) -> str:
    import time

    from ..common.stale import why_stale  # who never asks for a status does not pay for it

    return why_stale(state_dir, page, time.time())
