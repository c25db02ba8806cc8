"""Files in watched folders that must be quiet for a while before they are taken."""

from __future__ import annotations

from typing import NamedTuple

from ..common.notify import Stamp
from .scan import Folder


class Found(NamedTuple):
    """A file that settles: how it was ``seen`` last, ``since`` when it looks like that (monotonic seconds), and why it
    will be due."""

    folder: Folder
    seen: Stamp
    since: float
    cause: str


class Settling:
    """The files that settle, by their paths."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._found

    def put(self, folder: Folder, path: str, seen: Stamp, since: float, cause: str) -> None:
        """A file looks like this since then; another look than before makes it begin anew."""
        old = self._found.get(path)
        if old is None or old.folder is not folder:
            self._found[path] = Found(folder, seen, since, cause)
        elif old.seen != seen:
            self._found[path] = old._replace(seen=seen, since=since)

    def drop(self, path: str) -> None:
        """It does not settle any more."""
        self._found.pop(path, None)

    def ripe(self, now: float, everything: bool) -> list[tuple[str, Found]]:
        """Those that were quiet for long enough, as far as is known without a look; ``everything``: all."""
        return [
            (path, found)
            for path, found in self._found.items()
            if everything or now >= found.since + found.folder.entry.settle_secs
        ]

    def next_at(self) -> float | None:
        """When the next one is ripe."""
        return min((found.since + found.folder.entry.settle_secs for found in self._found.values()), default=None)
