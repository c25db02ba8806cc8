"""What the snapshot pipeline asks of its neighbours: the names of files in the queue, and the reader of the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ..spool.jobs import QueuedSnapshot
from ..watch.watcher import Due


class QueueNames(Protocol):
    """The names of files in the queue: under one name a newer snapshot replaces an older one."""

    def name_of(self, due: Due) -> str:
        """The name of a file in the queue."""

    def claim(self, found: Sequence[Due]) -> dict[str, str]:
        """Claim the names of these files. By their paths, those that may not be queued, each with the reason."""

    def release(self, paths: Collection[str]) -> None:
        """Release the names of data files that have left their folders."""


class QueueReader(Protocol):
    """Takes jobs from the queue."""

    def expect(self) -> None:
        """A snapshot of a file that seems to be new is about to be made: there will be a job soon."""

    def jobs_added(self, entries: Sequence[QueuedSnapshot]) -> None:
        """These entries were committed to the queue."""


class PathNames:
    """Names for a queue that is not uploaded: each file has its own path."""

    def name_of(self, due: Due) -> str:
        """The path of the data file."""
        return due.path

    def claim(self, found: Sequence[Due]) -> dict[str, str]:
        """No name is refused."""
        return {}

    def release(self, paths: Collection[str]) -> None:
        """Nothing has to be released."""
