"""What becomes of the jobs in the queue: the interface that the process of a child has to its delivery."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..requests.request_context import LiveDelivery
from ..snapshot.interfaces import QueueNames, QueueReader


class Health(NamedTuple):
    """``failure``: why the process has to end, so that the master starts it again. ``hang``: why it has to be replaced by exec.
    Both are empty while all is well."""

    failure: str = ""
    hang: str = ""


class Delivery(QueueReader, LiveDelivery, Protocol):
    """Hands jobs to the user's ``process_notify`` (:class:`HookDelivery`), or uploads them (:class:`UploadDelivery`). Called by
    the main thread: by the pipeline as QueueReader, by requests as LiveDelivery, and by the process as follows."""

    @property
    def names(self) -> QueueNames:
        """The names of files in the queue."""

    def start(self) -> None:
        """Called once, before the first tick. Raises PysubtaskError."""

    def work(self, now: float) -> float | None:
        """Called at each tick: do what has to be done on the main thread; when to be called next (monotonic seconds), None where a
        new job or a request will tell. Raises DiskLow."""

    def check(self, now: float) -> Health:
        """Called after each tick."""

    def send_heartbeat(self) -> None:
        """Write and send a heartbeat as soon as possible."""

    def finish(self, deadline: float) -> None:
        """Deliver the queue until ``deadline`` (monotonic seconds)."""

    def close(self) -> None:
        """Called once at the end, and before the process starts over."""
