"""When a heartbeat is due, and its files: written when they are sent, never queued, never stale."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...common import own_files
from ...common.heartbeat import content, heartbeat_name
from ...common.notify import remove_signal, replace_signal


class Heartbeat:
    """The schedule of one child. ``interval`` in seconds, 0 for none; ``file`` is the local heartbeat file, ``status`` the path
    of the second file with details (None for none). Times are monotonic seconds.

    ``sent``: the file that is uploaded, where that is not ``file``: other users may write the data folder, and could replace a
    file there between the writing and the upload. ``problem``: why ``file`` could not be written the last time, though ``sent``
    was.
    """

    def __init__(self, interval: float, file: str, status: str | None, sent: str | None = None) -> None:
        self.interval = interval
        self.file = file
        self.status = status
        self.sent = sent or file
        self.problem = ""
        self.last: float | None = None
        self._due = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether a heartbeat is due; the first one is due at once."""
        return self.interval > 0 and now >= self._due

    def next_at(self) -> float | None:
        """When the next heartbeat is due (monotonic seconds); None where none is."""
        return self._due if self.interval > 0 else None

    def asked(self, now: float) -> None:
        """A heartbeat was requested at ``now``: the next is due one interval after this one was due, or after ``now`` where that
        is past."""
        late = now - self._due
        self._due = now + self.interval if late >= self.interval else self._due + self.interval

    def change(self, interval: float, now: float) -> None:
        """From now on a heartbeat is due every ``interval`` seconds, 0 for none."""
        self.interval = interval
        self._due = min(self._due, now + interval)

    def write(self, now: float, details: Mapping[str, Any]) -> list[str]:
        """Write the files with the present time; the paths of the files to upload. Raises OSError."""
        self.last = now
        text = content(self.interval)
        if self.sent == self.file:
            replace_signal(self.file, text)
        else:
            _keep(self.sent, text)
            try:
                replace_signal(self.file, text)
                self.problem = ""
            except OSError as exc:
                self.problem = str(exc.strerror or exc)
        if self.status is None:
            return [self.sent]
        _keep(self.status, json.dumps(dict(details), indent=1) + "\n")
        return [self.sent, self.status]

    def remove(self) -> None:
        """Remove the local files, at start and stop."""
        for path in {self.sent, self.status} - {self.file, None}:
            with contextlib.suppress(OSError):
                own_files.remove(*os.path.split(path or ""))
        with contextlib.suppress(OSError):
            remove_signal(self.file)


def make(settings: Mapping[str, Any], folder: str, state_dir: str, owner: bool, host: Callable[[], str]) -> Heartbeat:
    """The heartbeat that the settings ask for. One child (``owner``) keeps a copy of the file in ``folder``, where a person finds
    it; the file that is uploaded is in ``state_dir``."""
    name = heartbeat_name(settings["HeartbeatName"] or host())
    status = os.path.join(state_dir, name + ".json") if settings["HeartbeatStatus"] else None
    sent = os.path.join(state_dir, name)
    return Heartbeat(settings["HeartbeatIntervalSecs"], os.path.join(folder, name) if owner else sent, status, sent)


def _keep(path: str, text: str) -> None:
    own_files.replace(*os.path.split(path), text.encode("ascii"))
