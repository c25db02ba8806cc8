"""Files that must be quiet for a while before they are taken: new ones in watched folders, and changed ones."""

from __future__ import annotations

from typing import NamedTuple

from ..common.entries import Entry
from ..common.notify import Stamp
from .scan import Folder

MOST_SETTLES = 10
LEAST_LONGEST_SECS = 10.0


def longest_wait(settle_secs: float) -> float:
    """Seconds after which a file that changes all the time is taken though it is not quiet. Pure."""
    return max(LEAST_LONGEST_SECS, MOST_SETTLES * settle_secs) if settle_secs else 0.0


class Found(NamedTuple):
    """A file that settles: its ``folder`` (None for a named file) and ``entry``, how it was ``seen`` last, ``since`` when it
    looks like that, since when it waits (``first``; both monotonic seconds), and why it will be due."""

    folder: Folder | None
    entry: Entry
    seen: Stamp
    since: float
    first: float
    cause: str

    @property
    def quiet_at(self) -> float:
        """When it will have been quiet for long enough."""
        return self.since + self.entry.settle_secs

    @property
    def taken_at(self) -> float:
        """When it is taken at the latest. A new file must be quiet: half a photo is of no use to anybody. What is known on the
        server, and grows without a pause, goes now and then."""
        return self.first + longest_wait(self.entry.settle_secs) if self.cause == "change" else float("inf")

    def is_ripe(self, now: float) -> bool:
        """Whether it may be taken, as far as is known without a look."""
        return now >= min(self.quiet_at, self.taken_at)


class Settling:
    """The files that settle, by their paths."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._found

    def put(self, folder: Folder | None, entry: Entry, path: str, seen: Stamp, since: float, cause: str) -> None:
        """A file looks like this since then; another look than before makes it begin anew."""
        old = self._found.get(path)
        if old is None or old.folder is not folder:
            self._found[path] = Found(folder, entry, seen, since, since, cause)
        elif old.seen != seen:
            self._found[path] = old._replace(seen=seen, since=since)

    def drop(self, path: str) -> None:
        """It does not settle any more."""
        self._found.pop(path, None)

    def ripe(self, now: float, everything: bool) -> list[tuple[str, Found]]:
        """Those that were quiet for long enough, as far as is known without a look, or waited for the longest time;
        ``everything``: all."""
        return [(path, found) for path, found in self._found.items() if everything or found.is_ripe(now)]

    def next_at(self) -> float | None:
        """When the next one is ripe."""
        return min((min(found.quiet_at, found.taken_at) for found in self._found.values()), default=None)
