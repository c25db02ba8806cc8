"""Temporary files that a server did not let be removed: recorded by name, reported, and reused when no late request can reach them.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import Any

MOST_LEFT = 200
"""Files that could not be removed, kept by name: more are only counted, so that the record stays small."""
REST_SECS = 3600.0
"""Seconds for which a file of an upload that was cut is not reused: a server that was frozen may still carry out a WRITE to it, or
its rename."""
MOST_RESTING = 64
"""Above this number of resting files, the one that has rested longest is reused."""


class LeftoverTemps:
    """Of one server; for any thread. ``wall``: the wall clock, in seconds. ``on_change`` is called when there is a change to store.

    ``left``: the files by path; True where one may be written to again. ``rests``: since when (wall clock) those of uploads that
    were cut are left alone, as something that was asked about them may be unanswered. ``left_more``: how many beyond those that
    are kept by name. ``pending``: temporary files under names that are on record here alone, from before they are made until
    they are gone.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._guard = RLock()
        self.left: dict[str, bool] = {}
        self.rests: dict[str, float] = {}
        self.left_more = 0
        self.pending: set[str] = set()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def crowded(self) -> bool:
        """Whether no more names of files that could not be removed are kept."""
        return len(self.left) >= MOST_LEFT

    def hold(self, path: str) -> None:
        """A temporary file is about to be created under this path, which is on record only here."""
        with self._guard:
            self.pending.add(path)
            self.on_change()

    def leave(self, path: str, *, reusable: bool, rests: bool = False) -> None:
        """A temporary file could not be removed. ``rests``: a request about it may still be unanswered."""
        with self._guard:
            self.pending.discard(path)
            if path in self.left or not self.crowded:
                self.left[path] = reusable
                if rests:
                    self.rests[path] = self._wall()
            else:
                self.left_more += 1
            self.on_change()

    def take_left(self, folder: str) -> str | None:
        """A file in this folder that was left there and may be written to again; nobody else gets it until it is left again."""
        with self._guard:
            here = [path for path, reusable in self.left.items() if reusable and path.rpartition("/")[0] == folder]
            path = next((each for each in here if not self._is_resting(each)), None)
            if path is None and len(self.rests) > MOST_RESTING:
                path = min(here, key=lambda each: self.rests[each], default=None)
            if path is not None:
                self.left[path] = False
                self.rests.pop(path, None)
                self.on_change()
            return path

    def _is_resting(self, path: str) -> bool:
        return path in self.rests and 0 <= self._wall() - self.rests[path] < REST_SECS

    def take(self, path: str) -> bool:
        """Whether this one may be written to again; nobody else gets it until it is left again."""
        with self._guard:
            reusable = self.left.get(path, False)
            if reusable:
                self.left[path] = False
            return reusable

    def gone(self, paths: Iterable[str]) -> None:
        """Files of these paths do not exist any more."""
        if not self.left and not self.pending:
            return
        with self._guard:
            gone = set(paths)
            if gone & (self.left.keys() | self.pending):
                self.left = {path: reusable for path, reusable in self.left.items() if path not in gone}
                self.rests = {path: since for path, since in self.rests.items() if path not in gone}
                self.pending -= gone
                self.on_change()

    def _left_to_dict(self) -> dict[str, Any]:
        return {"left": self.left, "rests": self.rests, "left_more": self.left_more, "pending": sorted(self.pending)}

    def _load_left(self, kept: Mapping[str, Any]) -> None:
        """ValueError, TypeError or AttributeError where it cannot be read; ``rests`` is what versions before have not kept."""
        self.left = {str(path): bool(reusable) for path, reusable in kept.get("left", {}).items()}
        self.rests = {str(path): float(at) for path, at in kept.get("rests", {}).items() if str(path) in self.left}
        self.left_more = int(kept.get("left_more", 0))
        self.pending = set(map(str, kept.get("pending", [])))
