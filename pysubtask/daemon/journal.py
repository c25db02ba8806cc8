"""The journal of a daemon's calls and sets: a line before one is begun and a line with its result, so that no id is used twice and
a result outlives the daemon."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from ..common import own_files
from ..common.events import lines_of
from .folders import JOURNAL

ROTATE_BYTES = 4 * 1024 * 1024
"""Bytes after which a new journal is begun; the one before it is kept."""
TAKEN, DONE, FAILED, CANCELLED = "taken", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)


class Journal:
    """The journal in a folder. ``rows``: the last line of each id, in the order in which they were taken."""

    def __init__(self, folder: str, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._folder, self._rotate_bytes = folder, rotate_bytes
        self.rows: dict[str, dict[str, Any]] = {}
        self._before: set[str] = set()  # the ids of the journal before this one, which the next rotation forgets
        self._oldest = ""
        self._dropped = False

    def load(self) -> list[str]:
        """Read what was written; the ids that were begun and have no result."""
        self.rows = read_rows(self._folder)
        self._before = {row["id"] for row in _rows(self._folder, JOURNAL + ".1")}
        self._dropped = bool(self._before)
        self._note_oldest()
        return [id for id, row in self.rows.items() if row["state"] not in ENDED]

    def is_too_old(self, id: str) -> bool:
        """Whether an id is from before all that is remembered, so that nobody can tell whether it was used."""
        return self._dropped and id[:14].isdigit() and id < self._oldest

    def write(self, row: dict[str, Any]) -> None:
        """Add a line. Raises OSError: what cannot be written must not be begun."""
        line = json.dumps(row).encode("ascii") + b"\n"
        size = own_files.append_lines(self._folder, JOURNAL, line)
        self.rows[row["id"]] = {**self.rows.get(row["id"], {}), **row}
        if size + len(line) > self._rotate_bytes:
            self._rotate()

    def _rotate(self) -> None:
        with contextlib.suppress(OSError):
            own_files.rename(self._folder, JOURNAL, JOURNAL + ".1")
            going = {id: row for id, row in self.rows.items() if row["state"] not in ENDED}
            if going:  # a call that runs is not forgotten with the journal that has its beginning
                own_files.append_lines(self._folder, JOURNAL, b"".join(json.dumps(row).encode() + b"\n" for row in going.values()))
            forgotten = self._before - set(going)
            self._before = set(self.rows) - forgotten
            for id in forgotten:
                del self.rows[id]
            self._dropped = self._dropped or bool(forgotten)
            self._note_oldest()

    def _note_oldest(self) -> None:
        self._oldest = min((id for id in self.rows if id[:14].isdigit()), default="")


def read_rows(folder: str) -> dict[str, dict[str, Any]]:
    """The last line of each id in a folder, also of a dead daemon."""
    found: dict[str, dict[str, Any]] = {}
    for name in (JOURNAL + ".1", JOURNAL):
        for row in _rows(folder, name):
            found[row["id"]] = {**found.get(row["id"], {}), **row}
    return found


def _rows(folder: str, name: str) -> list[dict[str, Any]]:
    found = []
    if not os.path.isdir(folder):
        return []
    for line in lines_of(folder, name, any_owner=False):
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("state"), str):
                found.append(row)
    return found
