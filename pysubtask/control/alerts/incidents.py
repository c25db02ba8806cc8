"""The incidents of a task on disk: one small file in the folder of the registry, which is available when the disk of the data
is not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ...common import own_files, registry
from .incident import QUIET, Incident

FOLDER = "alerts"
_FORMAT = 1
_MOST_BYTES = 1024 * 1024  # a larger file is not one of pysubtask
_TIMES = ("since", "first", "gone", "begun", "reported")


def name_of(folder: str, task: str) -> str:
    """The name of a task's files, without an ending. ``folder``: the first folder that the task watches."""
    return hashlib.sha256(os.fsencode(os.path.realpath(folder)) + b"\0" + os.fsencode(task)).hexdigest()[:20]


class Incidents:
    """The incidents of one task, by child and kind. ``problem``: why they cannot be kept on disk, '' where they can."""

    def __init__(self, name: str) -> None:
        self.problem = ""
        self._file = f"{name}.json"
        self._all: dict[tuple[str, str], Incident] = {}
        self._kept: bytes | None = None
        try:
            self.place = registry.make_folder(FOLDER)
            self._kept = own_files.read(self.place, self._file, most=_MOST_BYTES)
            self._all = _read(self._kept)
        except FileNotFoundError:
            pass  # no incident was kept yet
        except OSError as exc:
            self.problem = str(exc)

    def of(self, child: str, kind: str) -> Incident:
        """The incident of this ``kind`` of the ``child`` (its extension); QUIET where there is none."""
        return self._all.get((child, kind), QUIET)

    def set(self, child: str, kind: str, one: Incident) -> None:
        """Replace an incident, in memory only."""
        self._all[child, kind] = one

    def keep(self) -> bool:
        """Write the incidents to disk where they have changed. False where that failed; then ``problem`` has the reason."""
        data = _written(self._all)
        if data == self._kept:
            return True
        try:
            own_files.replace(registry.make_folder(FOLDER), self._file, data, sync=True)
        except OSError as exc:
            self.problem = str(exc)
            return False
        self._kept, self.problem = data, ""
        return True


def _written(found: Mapping[tuple[str, str], Incident]) -> bytes:
    """The file's content: only the values that a restart needs, as the others change with each observation and would cause a
    write each time."""
    rows = [
        {
            "child": child,
            "kind": kind,
            "open": one.open,
            "since": one.since if one.open else None,
            "begun": one.begun,
            "reported": one.reported,
            "times": one.times,
        }
        for (child, kind), one in sorted(found.items())
        if one.begun is not None
    ]
    return json.dumps({"format": _FORMAT, "incidents": rows}, indent=1).encode("ascii")


def _read(data: bytes) -> dict[tuple[str, str], Incident]:
    """The incidents of a file; none of a damaged file or of another format, after which an alert is sent once more."""
    try:
        found = json.loads(data)
        if found["format"] != _FORMAT:
            return {}
        return {(str(row["child"]), str(row["kind"])): _incident(row) for row in found["incidents"]}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _incident(row: Mapping[str, Any]) -> Incident:
    times = {key: float(row[key]) for key in _TIMES if row.get(key) is not None}
    is_open = row["open"] is True
    first = {"first": times["since"]} if is_open and "since" in times else {}
    return Incident(is_open, times=int(row["times"]), **(times | first))
