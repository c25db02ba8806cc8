"""The places of the children, and what a master says about them."""

from typing import TYPE_CHECKING, NamedTuple, cast

from ..common.process import is_alive
from .child import Child, Restarts
from .child_config import Plan

if TYPE_CHECKING:
    from ..common.page_types import StatusPage


class ChildStatus(NamedTuple):
    """One child. ``pid`` None: not started. ``restarts``: how often it ended by itself since ``start``.

    ``last_exit``: how it last ended, in words; ``next_restart_in``: seconds, or None where none is due.
    ``page``: what the child last wrote about itself (``status.json``), with what it has delivered and told since, or None;
    ``stale``: why that may be over, '' where it is of the present. ``why``: what it does, or why nothing moves, in a sentence,
    as ``pysubtask status`` has it.
    """

    extension: str
    pid: int | None
    alive: bool
    restarts: int
    last_exit: str | None
    next_restart_in: float | None
    page: "StatusPage | None"
    stale: str = ""
    why: str = ""


class MasterStatus(NamedTuple):
    """``running``: between start and stop. ``unstamped``: notifies that could not be written yet.

    ``held``: files that burst mode holds back.
    """

    running: bool
    unstamped: int
    children: tuple[ChildStatus, ...]
    held: int = 0

    @property
    def why(self) -> str:
        """What the only child does, or why nothing moves, in a sentence; of several each one's, behind its extension."""
        if len(self.children) == 1:
            return self.children[0].why
        return " ".join(f"{child.extension}: {child.why}" for child in self.children)


class ManagedChild:
    """The place of one child: its plan, and the child that sits there at the moment."""

    __slots__ = ("child", "last_exit", "plan", "restarts", "stopped")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.child: Child | None = None
        self.restarts = Restarts()
        self.last_exit: str | None = None
        self.stopped = False


def status_of(managed: ManagedChild, now: float, missing: str = "") -> ChildStatus:
    """The child of this seat at ``now`` (monotonic seconds); ``missing``: what keeps its folder from being used."""
    import time

    from ..common.present import present  # who never asks for a status does not pay for it

    child, due = managed.child, managed.restarts.due
    alive = child is not None and child.poll() is None and is_alive(child.pid, "")
    started = child.pid if child is not None and alive else None
    found = present(managed.plan.state_dir, time.time(), why_missing=lambda: missing, started=started)
    return ChildStatus(
        managed.plan.extension,
        child.pid if child is not None else None,
        alive,
        managed.restarts.times,
        managed.last_exit,
        max(0.0, due - now) if due is not None else None,
        cast("StatusPage | None", found.page),
        found.stale if alive and found.page is not None else "",
        found.why,
    )
