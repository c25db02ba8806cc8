"""The children that a master manages, and the status that the master reports of them."""

from typing import TYPE_CHECKING, NamedTuple, cast

from ..common.process import EXIT_STOPPED, is_alive
from ..common.restarts import Restarts
from .child import Child, ending, shell_code
from .child_config import Plan

if TYPE_CHECKING:
    from ..common.page_types import StatusPage
    from .start_requests import StartRequests


class ChildStatus(NamedTuple):
    """One child, and what it does."""

    extension: str
    """Which child of the task: 'ftp', 'dropbox', or a name of the app's own."""
    pid: int | None
    """Its process id; None where no child has been started, or it has ended."""
    alive: bool
    """Whether the process lives."""
    restarts: int
    """How often the child ended by itself since ``start``."""
    last_exit: str | None
    """How the child last ended, in words; None where it has not ended."""
    next_restart_in: float | None
    """Seconds until the next start; None where no start is due."""
    page: "StatusPage | None"
    """What the child last wrote about itself (``status.json``), with the deliveries and events since; None where it wrote none."""
    stale: str = ""
    """Why ``page`` may be out of date; '' where the page is up to date."""
    why: str = ""
    """What the child does, or why nothing is sent, in a sentence, as ``pysubtask status`` shows it."""


class MasterStatus(NamedTuple):
    """A master and its children."""

    running: bool
    """Whether the master is between ``start`` and ``stop``."""
    unstamped: int
    """Notifies that could not be written yet, as on a full disk; they are tried again by each call."""
    children: tuple[ChildStatus, ...]
    """One status for each destination."""
    held: int = 0
    """Files whose notify burst mode holds back."""

    @property
    def why(self) -> str:
        """What the only child does, or why nothing is sent, in a sentence; of several children one sentence each, behind the
        extension."""
        if len(self.children) == 1:
            return self.children[0].why
        return " ".join(f"{child.extension}: {child.why}" for child in self.children)


class ManagedChild:
    """One child to be kept running: its plan, and the process that runs now. ``folders`` are added to its PYTHONPATH."""

    __slots__ = ("_counted", "child", "folders", "last_exit", "plan", "restarts", "start_requests", "stopped")

    def __init__(self, plan: Plan, folders: tuple[str, ...], start_requests: "StartRequests") -> None:
        self.plan = plan
        self.folders = folders
        self.start_requests = start_requests
        """The requests to start it that its next start carries out."""
        self.child: Child | None = None
        self.restarts = Restarts()
        self.last_exit: str | None = None
        self._counted = 0
        self.stopped = False
        """Whether it was stopped by a request."""

    def take_ends(self) -> str | None:
        """How the child has ended since the last call, where its guard has started it again or will; None where it has not."""
        times, last_exit, _ = self.ends()
        if times == self.restarts.times or self.child is None or self.child.guard is None:
            return None
        again = self.child.guard.record().restarts
        self._counted = again.times
        self.restarts, self.last_exit = self.restarts._replace(times=times, wait=again.wait), last_exit
        return last_exit

    def _take_restarts(self) -> None:
        """Go on where the back-off of the guard was."""
        self.take_ends()
        if self.child is not None and self.child.guard is not None:
            again = self.child.guard.record().restarts
            if again.times:
                self.restarts = self.restarts._replace(wait=again.wait, started=again.started)

    def ends(self) -> tuple[int, str | None, float | None]:
        """How often the child has ended by itself, how last, and the monotonic second of its next start (None: no start is due)."""
        if self.child is None or self.child.guard is None:
            return self.restarts.times, self.last_exit, self.restarts.due
        record = self.child.guard.record()
        more = record.restarts.times - self._counted
        if record.status is None or more <= 0:
            return self.restarts.times, self.last_exit, record.restarts.due
        return self.restarts.times + more, ending(shell_code(record.status)), record.restarts.due

    def reap(self, now: float) -> str | None:
        """None while the process runs; once it has ended, how, in words. ``now``: monotonic seconds."""
        how = None if self.child is None else self.child.poll()
        if how is None:
            return None
        self._take_restarts()
        self.child, self.last_exit, self._counted = None, how, 0
        if how == f"exit status {EXIT_STOPPED}":
            self.last_exit, self.stopped = "stopped by an order", True
        else:
            self.restarts = self.restarts.ended(now)
        return how

    def is_due(self, now: float) -> bool:
        """Whether it has to be started again at ``now`` (monotonic seconds)."""
        return self.restarts.due is not None and now >= self.restarts.due

    def wait_until(self, due: float, why: str) -> None:
        """The start is tried again at ``due`` (monotonic seconds), since it cannot be started now."""
        self.last_exit = f"not started: {why}"
        self.restarts = self.restarts.postponed(due)

    def failed(self, now: float, exc: OSError) -> None:
        """A start has failed at ``now`` (monotonic seconds)."""
        self.last_exit = f"not started: {exc}"
        self.restarts = self.restarts.ended(now)

    def forget(self) -> None:
        """In a copy of the app that takes the task over: the process is that of the original."""
        self.child = None


def status_of(managed: ManagedChild, now: float, missing: str = "") -> ChildStatus:
    """The status of a managed child at ``now`` (monotonic seconds); ``missing``: what keeps its folder from being used."""
    import time

    from ..common.present import present  # who never asks for a status does not pay for it

    child, (restarts, last_exit, due) = managed.child, managed.ends()
    pid = None if child is None else child.pid if child.guard is None else child.guard.record().pid
    alive = child is not None and pid is not None and child.poll() is None and is_alive(pid, "")
    started = pid if alive else None
    found = present(managed.plan.state_dir, time.time(), why_missing=lambda: missing, started=started)
    return ChildStatus(
        managed.plan.extension,
        pid,
        alive,
        restarts,
        last_exit,
        max(0.0, due - now) if due is not None else None,
        cast("StatusPage | None", found.page),
        found.stale if alive and found.page is not None else "",
        found.why,
    )
