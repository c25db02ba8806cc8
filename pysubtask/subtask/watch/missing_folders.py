"""Watched folders that are missing: reported in the log and on the status page until they exist."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from ...common.entries import Entry
from ...common.events import utc
from ...common.place import existing, is_in, near
from .unmounted_folders import UnmountedFolders

POLL_SECS = 5.0
REPORT_AGAIN_SECS = 900.0
# A check takes some 5 us for a folder. Up to this number the interval is POLL_SECS; more folders make it longer in proportion.
_FEW_FOLDERS = 1000


class MissingFolders:
    """``mount``: the setting RequiresMount. ``unmounted``: which folders have lost their disk. ``wall``: seconds since the epoch;
    other times are monotonic."""

    def __init__(
        self,
        entries: Sequence[Entry],
        mount: str | None,
        log: logging.Logger,
        wall: Callable[[], float],
        unmounted: UnmountedFolders | None = None,
    ) -> None:
        self._folders: dict[str, int] = {}
        for index, entry in enumerate(entries):
            self._folders.setdefault(entry.path if entry.kind == "dir" else os.path.dirname(entry.path), index)
        self._entries = entries
        self._unmounted = unmounted
        self._mount = mount
        self._log = log
        self._wall = wall
        self._found: dict[str, dict[str, Any]] = {}
        self._reported_at: dict[str, float] = {}
        self._next = float("-inf")

    def poll(self, now: float) -> list[dict[str, Any]]:
        """The folders missing as of now, or of a moment ago: ``entry`` (number, from 0), ``path``, ``since`` (UTC),
        ``reason``."""
        if now >= self._next:
            self._next = now + POLL_SECS * max(1.0, len(self._folders) / _FEW_FOLDERS)
            no_mount = self._mount is not None and not os.path.ismount(self._mount)
            inside = {folder: self._entry_of(folder) for folder in (self._unmounted.gone if self._unmounted is not None else ())}
            for folder, index in {**inside, **self._folders, **{one: row["entry"] for one, row in self._found.items()}}.items():
                self._check_folder(folder, index, no_mount, now)
        return [dict(row) for row in self._found.values()]

    def poll_soon(self) -> None:
        """Have the next :meth:`poll` check all folders: a disk was mounted or unmounted."""
        self._next = float("-inf")

    def next_at(self) -> float | None:
        """When to poll again though nothing else happens (monotonic seconds); None while nothing is missing."""
        return self._next if self._found else None

    def _entry_of(self, folder: str) -> int:
        """The entry that a folder inside another belongs to."""
        return next((index for above, index in self._folders.items() if is_in(folder, above)), 0)

    def _check_folder(self, folder: str, index: int, no_mount: bool, now: float) -> None:
        reason = self._unmounted.why(folder) if self._unmounted is not None else ""
        if no_mount and self._mount is not None and is_in(folder, self._mount):
            reason = f"{self._mount} is not mounted (RequiresMount)"
        elif not reason and folder in self._folders and not os.path.isdir(folder):
            there = existing(folder)
            reason = f"there is no folder {folder}{near(folder)}" if os.path.isdir(there) else f"{there} is a file"
        if not reason:
            if self._found.pop(folder, None) is not None:
                self._reported_at.pop(folder, None)
                self._log.info("Folder [%s] is there now: what is in it is sent.", folder)
            return
        row = self._found.setdefault(folder, {"entry": index, "path": self._path_of(folder, index), "since": utc(self._wall())})
        if row.get("reason") != reason or now - self._reported_at[folder] >= REPORT_AGAIN_SECS:
            row["reason"], self._reported_at[folder] = reason, now
            self._log.error("Watch entry %d waits: %s. Its files are sent when it is there; it is not made.", index + 1, reason)

    def _path_of(self, folder: str, index: int) -> str:
        return self._entries[index].path if folder in self._folders else folder


def watched_folders(entries: Sequence[Entry]) -> dict[str, bool]:
    """The folders that files are watched in, each with whether what is inside it is watched, too."""
    found: dict[str, bool] = {}
    for entry in entries:
        folder = entry.path if entry.kind == "dir" else os.path.dirname(entry.path)
        found[folder] = found.get(folder, False) or (entry.kind == "dir" and entry.recursive)
    return found
